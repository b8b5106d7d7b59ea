"""How every stage runs: inputs in, one stage over them, outputs, books, exit code."""

import contextlib
import hashlib
import json
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli import __version__
from omnicli.commands.options.checks import StreamOptions, check_streams, is_folder, is_live, parse_max_bad
from omnicli.console import Console, closing_line, rejected_by_reason
from omnicli.errors import Interrupted, OmniError, TooManyBad

if TYPE_CHECKING:
    from omnicli.streams.multipass.passes import MultipassInput, MultipassStage
    from omnicli.streams.record import Record
    from omnicli.streams.shards.writer import ShardWriter
    from omnicli.streams.stage_run import Observe, Stage, StageRun
    from omnicli.streams.write.resume import Journal


def nothing_more(counters: Mapping[str, int]) -> list[str]:
    """No lines beyond the closing line."""
    return []


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """What the runner has to know of a stage.

    Attributes:
        name: the subcommand.
        make: loads what the stage needs and returns it; called after the options are checked.
        options: everything that changes the output, as JSON values; for the journal, markers, shards and summary.
        whole_stream: the option that makes the stage decide over the whole stream, or None.
        pieces: one input may become several records.
        in_passes: the stage goes through its input more than once: ``make`` returns a ``MultipassStage``.
        shard_kind: what ``--shards`` holds ("features", "scores", "frames"), or None.
        shard_keeps_paths: lines go on naming their media, not the rows of the shards.
        observe: counts more of each record than kept or rejected.
        check: looks at the counters before an output appears, and raises what is wrong with the whole of it.
        closing: lines after the closing line, from the counters.
        facts: for the summary and the shards: what ``make`` found out and puts here.
    """

    name: str
    make: "Callable[[], Stage | MultipassStage]"
    options: Mapping[str, Any]
    whole_stream: str | None = None
    pieces: bool = False
    in_passes: bool = False
    shard_kind: str | None = None
    shard_keeps_paths: bool = False
    observe: "Observe | None" = None
    check: Callable[[Mapping[str, int]], None] | None = None
    closing: Callable[[Mapping[str, int]], list[str]] = nothing_more
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Books:
    """What a whole command counted, over one or many output files."""

    counters: Counter[str] = field(default_factory=Counter)
    num_resumed: int = 0
    too_many_bad: list[str] = field(default_factory=list)
    started_at: float = field(default_factory=time.monotonic)

    def closing_line(self) -> str:
        """The sum so far."""
        seconds = time.monotonic() - self.started_at
        return closing_line(self.counters, seconds=seconds, num_now=self.counters["in"] - self.num_resumed)


def run_stage(run: StageSpec, streams: StreamOptions) -> None:
    """Run one stage from INPUTs to outputs.

    Raises:
        OmniError: whatever ended it; ``app`` turns it into a line and an exit code.
    """
    from omnicli.streams.partition import parse_part

    check_streams(streams, whole_stream=run.whole_stream)
    shard = parse_part(streams.shard) if streams.shard else None
    deciding = {"omni": __version__, "command": run.name, **run.options, "limit": streams.limit}
    if streams.dry_run:
        print_options(deciding | {"inputs": streams.inputs or ["-"], "shard": streams.shard, "out": streams.out})
        return
    console = Console(run.name, quiet=streams.quiet, verbose=streams.verbose)
    books = Books()
    with stopping_on_sigterm(resumable=_leaves_a_state(run, streams)) as stop_if_asked:
        run = replace(run, make=partial(_made, run.make, stop_if_asked))
        if is_folder(streams.out):
            from omnicli.commands.run.output_folder import run_folder

            finished = run_folder(run, streams, shard, deciding, console, books)
        else:
            run_file(run, streams, deciding | {"shard": streams.shard}, console, books)
            finished = True
    if finished:
        close_books(run, streams, books, console)


def _leaves_a_state(run: StageSpec, streams: StreamOptions) -> bool:
    """True if a run that is stopped can go on."""
    from omnicli.streams.write.atomic import is_special

    return bool(streams.out) and not run.whole_stream and not is_special(Path(streams.out or ""))


def _made(make: "Callable[[], Stage | MultipassStage]", stop_if_asked: Callable[[], None]) -> "Stage | MultipassStage":
    """The stage, loaded; what is imported for it may have swallowed the exception of a signal."""
    stage = make()
    stop_if_asked()
    return stage


def run_file(
    run: StageSpec,
    streams: StreamOptions,
    deciding: Mapping[str, Any],
    console: Console,
    books: Books,
    *,
    stage: "Stage | MultipassStage | None" = None,
    shard_prefix: str = "",
) -> Counter[str]:
    """Run the stage once, from the inputs of ``streams`` to its output; adds to the books.

    Returns:
        The counters of this run.
    """
    stage = stage or run.make()
    with contextlib.ExitStack() as stack:
        kept, rejects, journal = _open_outputs(run, streams, deciding, stack)
        if run.in_passes:
            from omnicli.streams.multipass.passes import MultipassRun

            flow: Any = MultipassRun(kept=kept, rejects=rejects, journal=journal)
            records: Any = _open_passes(streams)
        else:
            shards = _open_shards(run, streams, deciding, shard_prefix, journal, stack)
            flow = _open_flow(run, kept, rejects, journal, shards)
            records = _open_records(streams, flow, kept)
        with console.progress(lambda: _describe(flow, books)):
            flow.run(stage, records)
        kept.flush()
        if run.check:
            run.check(flow.counters)
        if not run.in_passes and shards is not None:
            shards.remove_later()
        if journal:
            journal.publish()
    counters: Counter[str] = flow.counters
    books.counters += counters
    books.num_resumed += flow.num_resumed
    _note_bad(streams, counters, books, streams.out or "stdout")
    return counters


def close_books(run: StageSpec, streams: StreamOptions, books: Books, console: Console) -> None:
    """Say the closing line, write ``--summary``, and judge ``--max-bad``."""
    console.say(books.closing_line())
    for line in run.closing(books.counters):
        console.say(line)
    if streams.summary:
        write_summary(streams.summary, _summary(run, books))
    if books.too_many_bad:
        raise TooManyBad("; ".join(books.too_many_bad))


def print_options(options: Mapping[str, Any]) -> None:
    """``--dry-run``: the resolved options, as one JSON object."""
    print(json.dumps(options, ensure_ascii=False, indent=2, default=str))  # noqa: T201 (what was asked for)


def digest_of(path: Path, error: type[OmniError]) -> str:
    """SHA-256 of a file that decides the output, hex; ``error`` is raised if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise error(f"{path}: {problem.strerror or problem}".replace("No such file", "no such file")) from None


@contextlib.contextmanager
def stopping_on_sigterm(*, resumable: bool) -> Iterator[Callable[[], None]]:
    """Let SIGTERM end the block as an exception, so that files are closed and the state stays good.

    Yields:
        A function that raises the exception again, for where somebody else's code may have caught it. Whatever other
        exception such code makes of it ends the block as the stop that it was.
    """
    stopped: list[Interrupted] = []

    def stop(number: int, frame: object) -> None:
        what = "run the same command again to go on" if resumable else "nothing to go on from without -o"
        stopped.append(Interrupted(f"stopped by {signal.Signals(number).name}; {what}", resumable=resumable))
        raise stopped[0]

    def stop_if_asked() -> None:
        if stopped:
            raise stopped[0]

    if threading.current_thread() is not threading.main_thread():
        yield stop_if_asked
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield stop_if_asked
    except Exception:
        stop_if_asked()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _open_outputs(
    run: StageSpec, streams: StreamOptions, deciding: Mapping[str, Any], stack: contextlib.ExitStack
) -> Any:
    """Writers of the kept and the rejected lines, and the journal of ``-o FILE``."""
    from omnicli.streams.write.atomic import is_special, open_atomic
    from omnicli.streams.write.resume import Journal
    from omnicli.streams.write.stdout import StreamWriter, open_stdout

    live = is_live(streams)
    if streams.out and not is_special(Path(streams.out)):
        rejects_path = Path(streams.rejects) if streams.rejects else None
        resume = streams.resume and not run.whole_stream  # a decision over the whole stream starts over
        options = {**deciding, "shards": str(streams.shards_dir)} if streams.shards_dir else deciding
        journal = Journal.open(Path(streams.out), rejects=rejects_path, options=options, resume=resume)
        stack.callback(journal.close)
        return journal.kept, journal.rejects, journal
    if streams.out:
        kept = StreamWriter(stack.enter_context(open_atomic(Path(streams.out))), name=streams.out, live=live)
    else:
        kept = open_stdout(live=live)
    rejects = None
    if streams.rejects:
        rejects = StreamWriter(
            stack.enter_context(open_atomic(Path(streams.rejects))), name=streams.rejects, live=False
        )
    return kept, rejects, None


def _open_shards(
    run: StageSpec,
    streams: StreamOptions,
    deciding: Mapping[str, Any],
    prefix: str,
    journal: "Journal | None",
    stack: contextlib.ExitStack,
) -> "ShardWriter | None":
    if run.shard_kind is None or streams.shards_dir is None:
        return None
    from omnicli.streams.partition import parse_part
    from omnicli.streams.shards.ownership import hold_shards, refuse_shards_of_other_stages, refuse_shards_of_others
    from omnicli.streams.shards.writer import ShardWriter

    if streams.shard:
        shard = parse_part(streams.shard)
        prefix = f"{prefix}{shard.index}of{shard.total}-"
    stack.enter_context(hold_shards(streams.shards_dir, prefix))
    resumed = journal.resumed if journal else None
    writer = ShardWriter(
        streams.shards_dir.absolute() if streams.root else streams.shards_dir,  # readers put the root before the rest
        stage=run.name,
        kind=run.shard_kind,
        provenance={**deciding, **run.facts},
        prefix=prefix,
        first_index=resumed.shards if resumed else 0,
        keep_paths=run.shard_keeps_paths,
    )
    stack.callback(writer.abort)  # what is closed stays; an open shard leaves nothing
    if writer.keep_paths:
        refuse_shards_of_other_stages(streams.shards_dir, prefix, run.name)
    elif resumed is None:
        if streams.resume:
            refuse_shards_of_others(streams.shards_dir, prefix, Path(streams.out) if streams.out else None)
        if journal:
            journal.save(consumed=0, digest="", shards=0, counters={})  # from now on these shards are ours
    return writer


def _open_flow(run: StageSpec, kept: Any, rejects: Any, journal: Any, shards: "ShardWriter | None") -> "StageRun":
    from omnicli.streams.stage_run import StageRun, observe_nothing

    return StageRun(
        kept=kept,
        rejects=rejects,
        journal=journal,
        shards=shards,
        pieces=run.pieces,
        observe=run.observe or observe_nothing,
    )


def _open_records(streams: StreamOptions, flow: "StageRun", kept: Any) -> "Iterator[Record]":
    from omnicli.streams.partition import parse_part
    from omnicli.streams.read.reader import read_records

    return read_records(
        streams.inputs or [],
        files_from=streams.files_from,
        null_separated=streams.null_separated,
        root=streams.root,
        part=parse_part(streams.shard) if streams.shard else None,
        limit=streams.limit,
        list_format=streams.list_format,
        frames=streams.frames,
        on_drop=flow.reject_early,
        on_wait=kept.flush,
    )


def _open_passes(streams: StreamOptions) -> "MultipassInput":
    """The inputs, to be gone through as often as wanted; what may be a pipe is read once and spooled."""
    from omnicli.streams.multipass.passes import MultipassInput
    from omnicli.streams.read.reader import find_records

    read = partial(
        find_records,
        streams.inputs or [],
        files_from=streams.files_from,
        null_separated=streams.null_separated,
        root=streams.root,
    )
    return MultipassInput(read, spooled=is_live(streams) or bool(streams.files_from), limit=streams.limit)


def _describe(flow: "StageRun", books: Books) -> str:
    counters = flow.counters
    seconds = time.monotonic() - books.started_at
    rate = (counters["in"] - flow.num_resumed) / seconds if seconds > 0 else 0.0
    rejected = sum(rejected_by_reason(dict(counters)).values())
    bad = counters["unreadable"]
    return f"{counters['in']:,} in, {counters['kept']:,} kept, {rejected:,} rejected, {bad:,} unreadable, {rate:,.0f}/s"


def _note_bad(streams: StreamOptions, counters: Mapping[str, int], books: Books, name: str) -> None:
    limit = parse_max_bad(streams.max_bad, counters.get("in", 0))
    bad = counters.get("unreadable", 0)
    if limit is not None and bad > limit:
        books.too_many_bad.append(f"{name}: {bad:,} unreadable, more than --max-bad {streams.max_bad}")


def write_summary(path: Path, fields: Mapping[str, Any]) -> None:
    """``--summary``: what a command did, with its version. Raises OutputError."""
    from omnicli.streams.write.atomic import open_atomic

    summary = {"omni": __version__, "python": sys.version.split()[0], **fields}
    with open_atomic(path) as file:
        file.write(json.dumps(summary, ensure_ascii=False, indent=2, default=str).encode() + b"\n")


def _summary(run: StageSpec, books: Books) -> dict[str, Any]:
    counters = books.counters
    extra = {key: count for key, count in counters.items() if key.startswith(f"{run.name}: ")}
    seconds = time.monotonic() - books.started_at
    return {
        "command": run.name,
        "in": counters["in"],
        "kept": counters["kept"],
        "out": counters["out"],
        "rejected": rejected_by_reason(counters),
        "unreadable": counters["unreadable"],
        "resumed": books.num_resumed,
        "seconds": round(seconds, 3),
        "options": dict(run.options),
        **({"counts": extra} if extra else {}),
        **run.facts,
    }
