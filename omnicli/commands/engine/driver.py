"""The driver of an engine: hands jobs to workers as they become free, and adds up what they did.

A job belongs to the driver that hands it out. Attempts are idempotent, so a worker that dies costs the job that it
ran: another worker continues it from its saved state.
"""

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omnicli import __version__
from omnicli.commands.engine.pool import Died, Event, Pool
from omnicli.commands.engine.worker import Opened, Trouble, WorkerSetup
from omnicli.commands.invocation import current_argv
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.jobs import JobResult
from omnicli.commands.run.one_output import StageSpec
from omnicli.console import Console
from omnicli.errors import JobsFailed, OmniError, UsageError
from omnicli.streams.files.stored import is_fifo
from omnicli.streams.files.urls import shown

if TYPE_CHECKING:
    from omnicli.streams.write.output_folder import Job

DEATHS_TO_FAIL = 3  # of workers, with the same job
TICK_SEC = 0.5
OF_THE_DRIVER = ("--files-from", "--summary")  # options whose files workers neither read nor write


class Driver:
    """Runs jobs on a pool.

    Args:
        jobs: in any order; the longest input files are handed out first.
        pool: the workers.
        spec: the stage, not loaded; gets the classes and facts that the first worker found out.
        accountant: gets the results.
        console: names failed jobs and shows one line of progress.
    """

    def __init__(
        self, jobs: "Iterable[Job]", pool: Pool, spec: StageSpec, accountant: RecordAccountant, console: Console
    ) -> None:
        from omnicli.streams.files.stored import size_and_time

        sizes = {job: size_and_time(job.source)[0] for job in jobs}
        self._sizes = sizes
        self._waiting = deque(sorted(sizes, key=lambda job: (-sizes[job], job.key)))
        self._running: dict[Hashable, Job] = {}
        self._deaths: Counter[Job] = Counter()
        self._deaths_at_start = 0
        self._pool, self._spec, self._accountant, self._console = pool, spec, accountant, console
        self._ready: set[Hashable] = set()
        self._bytes_done = 0
        self._num_done = 0
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Run all jobs. Raises OmniError: what stops every job."""
        with self._console.progress(self.progress_line):
            while self._waiting or self._running:
                for worker in self._pool.idle(len(self._waiting)):
                    if not self._waiting:
                        break
                    self._running[worker] = self._waiting.popleft()
                    self._pool.give(worker, self._running[worker])
                for event in self._pool.wait(TICK_SEC):
                    self._hear(event)

    def progress_line(self) -> str:
        """Jobs, records, rate, kept share and time left, from the jobs that are finished."""
        counters, seconds = self._accountant.counters, time.monotonic() - self._started_at
        num_in = counters["in"]
        rate = (num_in - self._accountant.num_resumed) / seconds if seconds > 0 else 0.0
        kept = f"{counters['kept'] / num_in:.0%} kept" if num_in else "none kept yet"
        left = sum(self._sizes.values()) - self._bytes_done
        eta = timedelta(seconds=round(seconds * left / self._bytes_done)) if self._bytes_done else "unknown"
        return (
            f"{self._num_done:,} of {len(self._sizes):,} jobs, {num_in:,} records, {rate:,.0f}/s, {kept}, "
            f"{len(self._ready):,} workers, ETA {eta}"
        )

    def _hear(self, event: Event) -> None:
        match event.news:
            case Opened():
                self._ready.add(event.worker)
                self._open(event.news)
            case JobResult():
                self._settle(self._running.pop(event.worker), event.news)
            case Died() if event.worker not in self._ready:
                self._lose_at_start(event.news)
            case Died():
                self._ready.discard(event.worker)
                self._lose(self._running.pop(event.worker, None), event.news)
            case Trouble():
                job = self._running.get(event.worker)
                where = f"{shown(job.source)}: " if job and shown(job.source) not in event.news.message else ""
                raise JobsFailed(f"{where}{event.news.message}", exit_code=event.news.exit_code)

    def _open(self, opened: Opened) -> None:
        if opened.version != __version__:
            raise OmniError(f"{opened.where} has omni {opened.version}, the driver {__version__}: install one version")
        self._deaths_at_start = 0
        self._console.detail(f"{len(self._ready)} workers are ready: {opened.where}")
        if not self._accountant.notes:
            self._accountant.notes.extend(opened.lines)
            self._spec.classes[:] = opened.classes
            for name, value in opened.facts.items():  # what the driver itself counts stays
                cast(dict[str, Any], self._spec.facts).setdefault(name, value)

    def _settle(self, job: "Job", result: JobResult) -> None:
        self._num_done += 1
        self._bytes_done += self._sizes[job]
        self._accountant.add_job(result, self._console)
        counts = f"{result.counters['in']:,} in, {result.counters['kept']:,} kept"
        self._console.detail(f"{result.source} -> {result.out}: {result.status}, {counts}")

    def _lose_at_start(self, died: Died) -> None:
        self._deaths_at_start += not died.with_node
        if self._deaths_at_start >= DEATHS_TO_FAIL:
            raise OmniError(f"{DEATHS_TO_FAIL} workers died while they loaded the stage, the last one: {died.how}")

    def _lose(self, job: "Job | None", died: Died) -> None:
        if job is None:
            return
        self._deaths[job] += not died.with_node
        if self._deaths[job] < DEATHS_TO_FAIL:
            self._console.say(f"{job.source}: its worker died ({died.how}); another one continues the job")
            self._waiting.appendleft(job)
            return
        reason = f"its worker died {DEATHS_TO_FAIL} times, the last one: {died.how}"
        self._settle(
            job, JobResult(status="failed", source=shown(job.source), out=shown(job.out), reason=reason, exit_code=1)
        )


def run_on_engine(
    jobs: "Iterable[Job]", spec: StageSpec, streams: StreamOptions, accountant: RecordAccountant, console: Console
) -> None:
    """Run the jobs of ``-o DIR/`` on the engine of ``--engine``.

    Raises:
        UsageError: the options do not fit the engine.
        OmniError: what stops every job.
    """
    if (device := str(spec.options.get("device", ""))).startswith("cuda:"):
        raise UsageError(f"--device {device} is one GPU, and --engine gives each worker its own: use --device cuda")
    _refuse_pipes(current_argv())
    setup = WorkerSetup(
        argv=current_argv(),
        folder=str(Path.cwd()),
        environment={name: value for name, value in os.environ.items() if name.startswith("OMNI_")},
        driver=os.urandom(8).hex(),
    )
    uses_gpu = device in ("auto", "cuda")
    with _only_driver(Path(streams.output or ".")), contextlib.closing(_pool(setup, streams, uses_gpu)) as pool:
        Driver(jobs, pool, spec, accountant, console).run()


def _refuse_pipes(argv: Sequence[str]) -> None:
    """Raises UsageError: an option names a pipe that the workers would have to read."""
    for before, word in pairwise(("", *argv)):
        option, _, name = word.partition("=") if word.startswith("--") else (before, "", word)
        if option not in OF_THE_DRIVER and is_fifo(name):
            raise UsageError(f"{option} {name}: a pipe, which the processes of --engine cannot read; give a file")


def _pool(setup: WorkerSetup, streams: StreamOptions, uses_gpu: bool) -> Pool:
    if streams.engine == "ray":
        from omnicli.commands.engine.ray_pool import RayPool

        return RayPool(
            setup, address=streams.ray_address, gpus=streams.gpus_per_worker, cpus=streams.cpus_per_worker,
            uses_gpu=uses_gpu,
        )  # fmt: skip
    from omnicli.commands.engine.local_pool import LocalPool, visible_gpus

    gpus = visible_gpus() if uses_gpu else []
    return LocalPool(setup, streams.processes or len(gpus) or 1, gpus)


@contextlib.contextmanager
def _only_driver(folder: Path) -> Iterator[None]:
    """Refuse a second driver on one ``-o DIR/``. Raises OmniError."""
    from omnicli.streams.files.stored import make_folder
    from omnicli.streams.write.atomic import named_errors
    from omnicli.streams.write.resume import claim_output

    with named_errors(str(folder)):
        make_folder(folder)
    claim = claim_output(folder / "driver", waits=True, name=f"{folder}/")
    try:
        yield
    finally:
        claim.close()
