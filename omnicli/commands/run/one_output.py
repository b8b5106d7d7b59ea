"""One run of a stage: from its inputs to one output, its rejects and its shards."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.expected import TimeLeft
from omnicli.commands.run.fetched import count_fetched
from omnicli.console import Console
from omnicli.errors import Interrupted
from omnicli.streams.files.urls import url_of

if TYPE_CHECKING:
    from omnicli.streams.multipass.passes import MultipassInput, MultipassStage
    from omnicli.streams.reading import InFlight
    from omnicli.streams.record import Record
    from omnicli.streams.shards.writer import ShardWriter
    from omnicli.streams.stage_run import Observe, Stage, StageRun
    from omnicli.streams.write.claims import Claim
    from omnicli.streams.write.resume import Journal


def no_lines(counters: Mapping[str, int]) -> list[str]:
    """No lines after the closing line."""
    return []


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A stage as the runner sees it.

    Attributes:
        name: the subcommand.
        make: loads what the stage needs and returns it; called after the options are checked.
        options: everything that changes the output, as JSON values; for the journal, markers, shards and summary.
        whole_stream: the option that makes the stage decide over the whole stream, or None.
        one_to_many: one input may become several records.
        is_multipass: the stage reads its input more than once: ``make`` returns a ``MultipassStage``.
        shard_kind: what ``--shards`` holds ("features", "scores", "frames"), or None.
        shard_keeps_paths: output lines keep naming their media instead of the rows of the shards.
        observe: counts more of each record than kept or rejected.
        check: raises what is wrong with the whole output, from the counters, before it appears.
        closing: lines after the closing line, from the counters.
        facts: what ``make`` found out, for the summary and the shards.
        classes: of the teacher, known after ``make``; those with hardly any kept record are named at the end.
        remedy: what to do about these.
        by_query: queries of which hardly anything was kept are named at the end, too.
        conclude: called at the end of ``-o DIR/``; what it returns joins the summary.
    """

    name: str
    make: "Callable[[], Stage | MultipassStage]"
    options: Mapping[str, Any]
    whole_stream: str | None = None
    one_to_many: bool = False
    is_multipass: bool = False
    shard_kind: str | None = None
    shard_keeps_paths: bool = False
    observe: "Observe | None" = None
    check: Callable[[Mapping[str, int]], None] | None = None
    closing: Callable[[Mapping[str, int]], list[str]] = no_lines
    facts: Mapping[str, Any] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    by_query: bool = False
    remedy: str = "lower the threshold, or collect more"
    conclude: Callable[[Console], Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class OneOutput:
    """What a stage runs with.

    Attributes:
        spec: the stage.
        streams: its inputs and its one output.
        deciding: every option that changes the output, as JSON values.
        accountant: gets the counters.
        console: shows progress.
        shard_prefix: of the names of shards.
        should_stop: asked before each record; True ends the run with its state saved.
        claim: of the caller on the output; None: the run claims it.
    """

    spec: StageSpec
    streams: StreamOptions
    deciding: Mapping[str, Any]
    accountant: RecordAccountant
    console: Console
    shard_prefix: str = ""
    should_stop: Callable[[], bool] | None = None
    claim: "Claim | None" = None

    @cached_property
    def _time_left(self) -> TimeLeft:
        return TimeLeft(self.streams)

    def run(self, stage: "Stage | MultipassStage") -> Counter[str]:
        """Run the stage from the inputs to the output, and return its counters. Raises OmniError."""
        with contextlib.ExitStack() as stack:
            kept, rejects, journal = self._open_outputs(stack)
            shards = self._open_shards(journal, stack)
            in_flight = self._open_in_flight(journal, stack)
            run: Any
            records: Any
            if self.spec.is_multipass:
                from omnicli.streams.multipass.passes import MultipassRun

                run = MultipassRun(kept=kept, rejects=rejects, journal=journal)
                records = self._open_multipass()
            else:
                run = self._stage_run(kept, rejects, journal, shards, in_flight)
                records = self._until_stopped(self._open_records(run, kept))
            with self.console.progress(lambda: self._progress_line(run.counters, run.num_resumed)):
                run.run(stage, records)
            kept.flush()
            if self.spec.check:
                self.spec.check(run.counters)
            if shards is not None:
                shards.remove_later()
            if journal:
                journal.publish()
            if in_flight:
                in_flight.close(finished=True)
        counters: Counter[str] = run.counters
        count_fetched(counters)
        self.accountant.add_run(
            counters, num_resumed=run.num_resumed, name=self.streams.output or "stdout", examples=run.examples
        )
        return counters

    def _progress_line(self, counters: Mapping[str, int], num_resumed: int) -> str:
        """The counts of the run so far, and the time left; of one of several jobs nobody knows that."""
        line = self.accountant.progress_line(counters, num_resumed)
        if self.accountant.counters["in"] or self.claim is not None:
            return line
        return line + self._time_left.describe(counters, num_resumed=num_resumed, seconds=self.accountant.seconds)

    def _open_outputs(self, stack: contextlib.ExitStack) -> Any:
        """Writers of the kept and the rejected lines, and the journal of ``-o FILE``."""
        from omnicli.streams.write.atomic import is_special, open_atomic
        from omnicli.streams.write.resume import Journal
        from omnicli.streams.write.stdout import StreamWriter, open_stdout

        streams, live = self.streams, self.streams.is_live
        if streams.output and not is_special(Path(streams.output)):
            rejects_path = Path(streams.rejects) if streams.rejects else None
            resume = streams.resume and not self.spec.whole_stream  # a decision over the whole stream starts over
            shards = {"shards": str(streams.shards_dir)} if streams.shards_dir else {}
            journal = Journal.open(
                Path(streams.output),
                rejects=rejects_path,
                options={**self.deciding, **shards},
                resume=resume,
                claim=self.claim,
            )
            stack.callback(journal.close)
            return journal.kept, journal.rejects, journal
        if streams.output:
            file = stack.enter_context(open_atomic(Path(streams.output)))
            kept = StreamWriter(file, name=streams.output, live=live)
        else:
            kept = open_stdout(live=live)
        rejects = None
        if streams.rejects:
            file = stack.enter_context(open_atomic(Path(streams.rejects)))
            rejects = StreamWriter(file, name=streams.rejects, live=False)
        return kept, rejects, None

    def _open_shards(self, journal: "Journal | None", stack: contextlib.ExitStack) -> "ShardWriter | None":
        spec, streams, prefix = self.spec, self.streams, self.shard_prefix
        if spec.shard_kind is None or streams.shards_dir is None:
            return None
        from omnicli.streams.partition import parse_part
        from omnicli.streams.shards.ownership import (
            hold_shards,
            refuse_shards_of_other_stages,
            refuse_shards_of_others,
            require_shards,
        )
        from omnicli.streams.shards.writer import ShardWriter

        if streams.part:
            part = parse_part(streams.part)
            prefix = f"{prefix}{part.index}of{part.total}-"
        stack.enter_context(hold_shards(streams.shards_dir, prefix))
        resumed = journal.resumed if journal else None
        require_shards(streams.shards_dir, prefix, resumed.shards if resumed else 0)
        is_remote = url_of(streams.shards_dir) is not None
        writer = ShardWriter(
            # readers prepend --root to a relative path
            streams.shards_dir.absolute() if streams.root and not is_remote else streams.shards_dir,
            stage=spec.name,
            kind=spec.shard_kind,
            provenance={**self.deciding, **spec.facts},
            prefix=prefix,
            first_index=resumed.shards if resumed else 0,
            keep_paths=spec.shard_keeps_paths,
        )
        stack.callback(writer.abort)  # closed shards stay; an open one leaves nothing
        if writer.keep_paths:
            refuse_shards_of_other_stages(streams.shards_dir, prefix, spec.name)
        elif resumed is None:
            if streams.resume:
                output = Path(streams.output) if streams.output else None
                refuse_shards_of_others(streams.shards_dir, prefix, output)
            if journal:
                journal.save(consumed=0, digest="", shards=0, counters={})  # from now on this run owns these shards
        return writer

    def _open_in_flight(self, journal: "Journal | None", stack: contextlib.ExitStack) -> "InFlight | None":
        """The records that an earlier process was reading when it died, and those of this one."""
        if journal is None or self.spec.is_multipass:
            return None
        from omnicli.streams.reading import InFlight

        resumed = journal.resumed
        in_flight = InFlight(
            journal.in_flight_path, consumed=resumed.consumed if resumed else 0, resume=self.streams.resume
        )
        stack.callback(in_flight.close)
        return in_flight

    def _stage_run(
        self, kept: Any, rejects: Any, journal: Any, shards: "ShardWriter | None", in_flight: "InFlight | None"
    ) -> "StageRun":
        from omnicli.streams.stage_run import StageRun, observe_nothing

        return StageRun(
            kept=kept,
            rejects=rejects,
            journal=journal,
            shards=shards,
            in_flight=in_flight,
            strict=self.streams.strict,
            one_to_many=self.spec.one_to_many,
            observe=self.spec.observe or observe_nothing,
            by_query=self.spec.by_query,
        )

    def _open_records(self, run: "StageRun", kept: Any) -> "Iterator[Record]":
        from omnicli.streams.partition import parse_part
        from omnicli.streams.read.reader import read_records

        streams = self.streams
        return read_records(
            streams.inputs or [],
            files_from=streams.files_from,
            null_separated=streams.null_separated,
            root=streams.root,
            part=parse_part(streams.part) if streams.part else None,
            limit=streams.limit,
            lists=streams.lists(),
            frames=streams.frames,
            on_drop=run.reject_early,
            on_wait=kept.flush,
            on_hidden=self.accountant.on_hidden,
            outputs=streams.files_written,
        )

    def _until_stopped(self, records: "Iterator[Record]") -> "Iterator[Record]":
        """The records, until ``should_stop``. Raises Interrupted."""
        return records if self.should_stop is None else stopping_when(self.should_stop, records)

    def _open_multipass(self) -> "MultipassInput":
        """The inputs, to be read as often as needed; a pipe is read once into a temporary file."""
        from omnicli.streams.multipass.passes import MultipassInput
        from omnicli.streams.read.folder import ignore_hidden
        from omnicli.streams.read.reader import find_records

        streams = self.streams
        counting = iter([self.accountant.on_hidden])  # by the first of several passes

        def read(**parsing: Any) -> "Iterator[Any]":
            return find_records(
                streams.inputs or [],
                files_from=streams.files_from,
                null_separated=streams.null_separated,
                root=streams.root,
                on_hidden=next(counting, ignore_hidden),
                outputs=streams.files_written,
                **parsing,
            )

        once = streams.is_live or bool(streams.files_from) or any(map(url_of, streams.inputs or []))
        return MultipassInput(read, spooled=once, limit=streams.limit)


def stopping_when(should_stop: Callable[[], bool], records: "Iterator[Record]") -> "Iterator[Record]":
    """The records. Raises Interrupted: ``should_stop()`` is True."""
    for record in records:
        if should_stop():
            raise Interrupted("stopped; run the same job again to continue")
        yield record
