"""The wheel and the sdist: complete, free of tests, and runnable in an environment of their own."""

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from omnicli import __version__
from omnicli.extras import EXTRAS

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGED = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "omnicli").rglob("*")
    if path.suffix in {".py", ".jinja", ".js"} or path.name == "py.typed"
)


def run(*command, cwd=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [str(part) for part in command]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with both archives, built from the tracked files alone, without the network."""
    pytest.importorskip("build")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("needs a git checkout")
    for name in filter(None, tracked.stdout.split("\0")):
        if (REPOSITORY / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((REPOSITORY / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source)
    return out


@pytest.fixture(scope="module")
def omni(dist, tmp_path_factory):
    """``omni`` of a fresh environment: the wheel is installed, its dependencies come from this environment."""
    root = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", root)
    python = root / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (wheel,) = dist.glob("*.whl")
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("".join(f"{path}\n" for path in ours))
    return root / "bin" / "omni"


def test_the_version_is_one_everywhere():
    changelog, citation = ((REPOSITORY / name).read_text() for name in ("CHANGELOG.md", "CITATION.cff"))
    heading = re.search(r"^## \[(\d[^]]*)\] - (\d{4}-\d\d-\d\d)$", changelog, re.MULTILINE)
    assert heading is not None
    assert heading[1] == __version__
    assert f"\nversion: {__version__}\ndate-released: {heading[2]}\n" in citation


def test_the_wheel_says_what_it_needs(dist):
    """The page of an index has the README; each extra is one that ``omnicli.extras`` knows."""
    (wheel,) = dist.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    text = archive.read(f"omnicli-{__version__}.dist-info/METADATA").decode()
    about = email.message_from_string(text)
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("omnicli", __version__, "Apache-2.0")
    assert about["Description-Content-Type"] == "text/markdown"
    assert about.get_payload().lstrip().startswith("# omni")
    assert set(about.get_all("Provides-Extra")) == {*EXTRAS, "dev"}
    assert not any("Private" in name for name in about.get_all("Classifier"))
    assert sum(info.file_size for info in archive.infolist()) < 4 << 20


def test_the_wheel_holds_the_package_and_nothing_else(dist):
    (wheel,) = dist.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packaged = [name for name in names if ".dist-info/" not in name]
    assert sorted(packaged) == PACKAGED
    assert f"omnicli-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_the_package_and_no_test_data(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(PACKAGED) <= names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert [name for name in names if name.startswith(("tests/", "examples/", "benchmarks/"))] == []
    assert sdist.stat().st_size < 2 << 20


def test_the_installed_command_runs(omni, tmp_path):
    assert run(omni, "--version", cwd=tmp_path) == f"omni {__version__}\n"
    assert "teacher-train" in run(omni, "--help", cwd=tmp_path)
    where = run(omni.with_name("python"), "-c", "import omnicli; print(omnicli.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(omni.parents[1])


def test_the_installed_command_reads_its_own_data_files(omni, tmp_path):
    (tmp_path / "classes.txt").write_text("burning candle\n")
    queries = run(omni, "queries", "--hashtags", "classes.txt", cwd=tmp_path)
    assert json.loads(queries.splitlines()[0])["class_name"] == "burning candle"
    (tmp_path / "web.jsonl").write_text('{"id": "a.jpg", "path": "a.jpg", "media": "image"}\n')
    run(omni, "report", "web.jsonl", "-o", "page.html", cwd=tmp_path)
    assert "a.jpg" in (tmp_path / "page.html").read_text()


def test_the_installed_command_filters_on_ray(omni, teacher, world, tmp_path):
    """Ray's workers run the installed package too."""
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    images = sorted((world / "web" / "image").rglob("*.jpg"))[:6]
    for number in range(2):
        lines = (json.dumps({"path": str(path)}) for path in images[number::2])
        (tmp_path / f"{number}.jsonl").write_text("".join(f"{line}\n" for line in lines))
    words = ["filter", "--teacher", teacher, "--rule", "paper", "--threshold", "0.2", "--device", "cpu", "--precision"]
    words += ["float32", "0.jsonl", "1.jsonl", "-o"]
    run(omni, *words, "plain/", cwd=tmp_path)
    run(omni, *words, "ray/", "--engine", "ray", "--cpus-per-worker", "1", cwd=tmp_path)
    made = {kind: [(tmp_path / kind / f"{n}.jsonl").read_bytes() for n in range(2)] for kind in ("plain", "ray")}
    assert made["ray"] == made["plain"]
    assert any(made["ray"])


@pytest.mark.skipif("TEST_INDEX" not in os.environ, reason="asks the package index, minutes long: TEST_INDEX=1")
@pytest.mark.parametrize("extra", ["ray", "s3,gcs,hf"])
def test_the_extras_of_the_wheel_resolve_on_the_index(dist, extra):
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*pip, f"{wheel}[{extra}]"], capture_output=True, text=True, timeout=600, cwd=dist)
    assert done.returncode == 0, done.stderr
    found = {entry["metadata"]["name"].lower() for entry in json.loads(done.stdout)["install"]}
    assert {"omnicli", "torch", *({"ray"} if extra == "ray" else {"s3fs", "gcsfs", "huggingface-hub"})} <= {
        name.replace("_", "-") for name in found
    }
