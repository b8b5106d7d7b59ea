"""What every test may use: a small world of real media, a shell as users have it, and repeatable surroundings."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("random", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("random"), derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))  # "random" looks for new failures
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["OMP_NUM_THREADS"] = "1"  # tests import torch and numpy in their own modules, after this one
for _name in [name for name in os.environ if name.startswith("OMNI_")]:
    del os.environ[_name]  # a developer's own settings must not decide a test

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))  # what tests of several modules make their data with

from free_port import free_port  # noqa: E402  the line above is what finds it
from made_once import made_once  # noqa: E402

from omnicli.cpus import available_cores  # noqa: E402


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """``-n auto`` (tests/run.sh): a worker per core that this process may use."""
    return available_cores()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with the most slow tests first, where workers share the files: none is left alone with one at the end."""
    if not hasattr(config, "workerinput"):
        return
    num_slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -num_slow[item.path])


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Progress(config), "progress")


class _Progress:
    """Says at once which test failed, and which one took minutes: a run that is cut off has no summary."""

    MANY_SEC = 60

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None and (report.failed or report.duration > self.MANY_SEC):
            terminal.ensure_newline()
            terminal.write_line(f"{report.nodeid}: {report.when} {report.outcome} after {report.duration:.0f} s")


class Shell(Protocol):
    """``sh(script)`` runs ``script`` as users do; see the fixture."""

    def __call__(
        self, script: str, *, stdin: str = "", cwd: Path | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(autouse=True)
def _own_crash_log() -> None:
    """No test writes to the log of another, whose folder may be gone."""
    from omnicli.process import crash_log

    crash_log.path = None
    crash_log._kinds.clear()


@pytest.fixture(autouse=True)
def _empty_memory() -> Iterator[None]:
    """Remote files in memory (memory://), and what is counted as fetched, are of one test."""
    yield
    remote = sys.modules.get("omnicli.streams.files.remote")
    if remote is not None:
        remote.traffic.take()
    memory = sys.modules.get("fsspec.implementations.memory")
    if memory is not None:
        memory.MemoryFileSystem.store.clear()
        memory.MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def _ordinary_scheduling() -> Iterator[None]:
    """SVT-AV1's encoder, run by root, leaves a real-time process: it and its children starve all others."""
    yield
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small made world (examples/make_world.py, seed 0), made once; read it, never write into it."""

    def make(folder: Path) -> None:
        command = [sys.executable, str(REPOSITORY / "examples" / "make_world.py"), str(folder / "world")]
        subprocess.run([*command, "--scale", "small"], check=True, timeout=900)

    return made_once(tmp_path_factory, "world", make) / "world"


@pytest.fixture(scope="session")
def teacher(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small model trained on the world's target for a few seconds: knows the classes, not well."""
    return made_once(tmp_path_factory, "teacher", lambda folder: _train_teacher(world, folder / "tsn.pth")) / "tsn.pth"


def _train_teacher(world: Path, path: Path) -> None:
    import torch

    from omnicli.stages.teacher_train import train_teacher
    from omnicli.streams.read.reader import read_records
    from omnicli.training.context import TrainingContext
    from omnicli.training.recipes import TEACHER_RECIPES

    torch.set_num_threads(1)
    recipe = replace(
        TEACHER_RECIPES["few-clips-scratch"], model="tsn-resnet10t", short_side=72, crop_size=64, epochs=10
    )
    dropped: list[object] = []
    target = read_records([str(world / "target" / "train")], on_drop=lambda *drop: dropped.append(drop))
    for _ in train_teacher(
        target, recipe=recipe, out=path, context=TrainingContext(workers=2), on_drop=lambda *drop: None
    ):
        pass
    assert not dropped


@pytest.fixture(scope="session")
def shell_environment() -> dict[str, str]:
    """The environment of a user's shell in which ``omni`` is the one under test."""
    # PYTHONUNBUFFERED would hide a missing flush from the streaming tests.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    return environment


@pytest.fixture
def torchrun(shell_environment):
    """Start ``torchrun ... -m omnicli ARGUMENTS`` with two processes on a free port."""

    started = []

    def start(*arguments, options=(), environment=shell_environment):
        words = ["torchrun", "--nproc-per-node", 2, "--master-port", free_port(), *options, "-m", "omnicli", *arguments]
        started.append(
            subprocess.Popen(
                [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=environment, start_new_session=True,
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for launcher in started:
        launcher.terminate()  # it ends its workers, which have sessions of their own
        launcher.communicate(timeout=300)


@pytest.fixture(scope="session")
def sh(shell_environment: dict[str, str]) -> Shell:
    """Bash, stop at the first failure, pipes included: ``sh("omni index web | head -1", cwd=world).stdout``."""

    def run(
        script: str, *, stdin: str = "", cwd: Path | None = None, timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-euo", "pipefail", "-c", script]
        return subprocess.run(
            command, input=stdin, text=True, capture_output=True, env=shell_environment, cwd=cwd, timeout=timeout
        )

    return run


@pytest.fixture(autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """Results and times that do not depend on the machine's cores; torch is not imported for tests that need none."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    yield
