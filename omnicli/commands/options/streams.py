"""Options for inputs and outputs, and their checks before anything is opened."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.engine import EngineOptions
from omnicli.commands.options.groups import INPUT_OUTPUT, RARE
from omnicli.errors import OutputError, UsageError
from omnicli.streams.files.stored import is_fifo
from omnicli.streams.files.urls import url_of
from omnicli.streams.rounding import part_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from omnicli.streams.read.folder import OnHidden
    from omnicli.streams.read.list_options import ListOptions
    from omnicli.streams.record import OnDrop, Record

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Media files, folders, .jsonl[.gz|.zst], .h5 shards, .tar archives, annotation lists, or - for stdin. "
        "Default: stdin, if it is a pipe.",
        show_default=False,
    ),
]
OutputFile = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE", help="Output file, written atomically. Default: stdout.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
CheckpointFile = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Checkpoint to write (required); it appears when training is "
                 "complete.", rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
ShardsDir = Annotated[
    Path | None,
    typer.Option("--shards", metavar="DIR", help="Write arrays to HDF5 shards in this folder.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
RequiredShardsDir = Annotated[
    Path | None,
    typer.Option("--shards", metavar="DIR", help="Folder for the HDF5 shards (required).",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
AsMedia = Annotated[
    bool,
    typer.Option("--as-media", help="Write rows of feature shards as the images and videos they were made from.",
                 rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip
Root = Annotated[
    str | None,
    typer.Option("--root", metavar="DIR", help="Folder that relative paths in records start from.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
Rejects = Annotated[
    str | None,
    typer.Option("--rejects", metavar="FILE", help="Write every rejected record with its reason.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
Summary = Annotated[
    Path | None,
    typer.Option("--summary", metavar="FILE", help="Write counts, options and versions as JSON.",
                 rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip
MaxBad = Annotated[
    str | None,
    typer.Option("--max-bad", metavar="N|P%", help="Exit with 3 if more than N records, or P % of them, are "
                 "unreadable or fail. The output is complete.", show_default="no limit",
                 rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip
Strict = Annotated[
    bool,
    typer.Option("--strict", help="Stop at the first internal error or damaged tar, instead of rejecting what it "
                 "concerns.", rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Continue an interrupted run with the same -o.",
                 rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """What records are read."""

    inputs: Inputs = None
    files_from: Annotated[
        str | None,
        typer.Option("--files-from", metavar="FILE", help="Read INPUTs from FILE, one per line; - is stdin.",
                     rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None  # fmt: skip
    null_separated: Annotated[
        bool, typer.Option("-0", help="--files-from is separated by NUL, as find -print0 writes it.",
                           rich_help_panel=INPUT_OUTPUT), RARE,
    ] = False  # fmt: skip
    root: Root = None
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help="Stop after N records.", rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None  # fmt: skip
    list_format: str | None = None
    split: str | None = None
    each_clip: bool = False
    raw_videos: bool = False
    data_prefix: str | None = None
    frames: bool = False

    @property
    def names(self) -> list[str]:
        """INPUTs and the list of them; "-" is stdin, which is read if nothing is named."""
        return [*(self.inputs or []), *([self.files_from] if self.files_from else [])] or ["-"]

    def lists(self) -> "ListOptions":
        """How annotation lists are read."""
        from omnicli.streams.read.list_options import ListOptions

        return ListOptions(
            list_format=self.list_format, split=self.split, each_clip=self.each_clip, raw_videos=self.raw_videos,
            data_prefix=self.data_prefix,
        )  # fmt: skip

    def read(self, on_drop: "OnDrop", on_hidden: "OnHidden | None" = None) -> "Iterator[Record]":
        """The records of INPUTs; those that the reader drops go to ``on_drop``, hidden files to ``on_hidden``."""
        from omnicli.streams.read.folder import ignore_hidden
        from omnicli.streams.read.reader import read_records

        return read_records(
            self.inputs or [], files_from=self.files_from, null_separated=self.null_separated, root=self.root,
            limit=self.limit, on_drop=on_drop, on_hidden=on_hidden or ignore_hidden,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StreamOptions(EngineOptions, InputOptions):
    """What a stage reads and writes."""

    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE|DIR/", help="Output file, written atomically, resumable. DIR/ "
                     "writes one file per input file. Default: stdout.", rich_help_panel=INPUT_OUTPUT),
    ] = None  # fmt: skip
    rejects: Rejects = None
    summary: Summary = None
    shards_dir: Path | None = None
    part: Annotated[
        str | None,
        typer.Option("--part", metavar="I/N|auto|next", help="Read only part I (0-based) of N, by hash of the id. "
                     "auto reads the variables of Slurm, torchrun, Kubernetes or SkyPilot. next, with -o DIR/: input "
                     "files that no other task has taken, longest first. {part} in names of outputs is the "
                     "part.", rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None  # fmt: skip
    missing: Annotated[
        bool, typer.Option("--missing", help="With -o DIR/: print the unfinished parts as a Slurm --array= value.",
                           rich_help_panel=INPUT_OUTPUT), RARE,
    ] = False  # fmt: skip
    parts: Annotated[
        int | None,
        typer.Option("--parts", metavar="N", min=1, help="Number of parts, for --missing.",
                     rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None  # fmt: skip
    resume: Resume = True
    max_bad: MaxBad = None
    strict: Strict = False

    def check(self, *, whole_stream: str | None) -> None:
        """Refuse options that contradict each other.

        Args:
            whole_stream: the option that makes the stage decide over the whole stream, or None.

        Raises:
            UsageError: names the options and what to do instead.
            OutputError: the folder of an output does not exist.
        """
        if whole_stream and (self.part or self.engine or self.to_folder):
            clash = "--part" if self.part else "--engine" if self.engine else "-o DIR/"
            raise UsageError(
                f"{whole_stream} decides over the whole stream and cannot be combined with {clash}: score in parts "
                "(filter --score-only), concatenate the results, then decide (filter --stored-scores)"
            )
        if self.takes_next and (self.engine or self.missing or not self.to_folder):
            raise UsageError("--part next takes whole input files: give -o DIR/, without --engine and --missing")
        if self.takes_next and not self.resume:
            raise UsageError("--part next --no-resume: each task would make every file; empty the folder instead")
        self.check_engine(to_folder=self.to_folder)
        if self.missing and self.engine:
            raise UsageError("--missing runs nothing: leave --engine out")
        if self.missing and not (self.to_folder and self.parts):
            raise UsageError("--missing needs -o DIR/ and --parts N")
        if self.parts and not self.missing:
            raise UsageError("--parts needs --missing")
        if self.to_folder and self.rejects and not is_folder(self.rejects):
            raise UsageError("-o DIR/ writes one file of rejects per input file: give --rejects OTHERDIR/")
        if self.null_separated and not self.files_from:
            raise UsageError("-0 needs --files-from")
        check_outputs_differ({"-o": self.output, "--rejects": self.rejects, "--summary": self.summary})
        parse_max_bad(self.max_bad, 0)
        self._check_names()

    @property
    def takes_next(self) -> bool:
        """Whether the task takes input files as it comes to them: ``--part next``."""
        return self.part == "next"

    @property
    def to_folder(self) -> bool:
        """Whether the output is ``-o DIR/``: one output file per input file."""
        return is_folder(self.output)

    @property
    def files_written(self) -> list[str]:
        """The files that a stage writes, without those that it writes below folders."""
        return [str(name) for name in (self.output, self.rejects, self.summary) if name]

    @property
    def is_live(self) -> bool:
        """Whether an input is a pipe, so that a reader may wait for each line."""
        return any(name == "-" or is_fifo(name) for name in self.inputs or ([] if self.files_from else ["-"]))

    def _check_names(self) -> None:
        """Refuse names that cannot be written, before hours of work. Raises UsageError and OutputError."""
        for option, name in (("-o", self.output), ("--rejects", self.rejects)):
            if name == "":
                raise UsageError(f"{option}: an empty name")
        rejects = Path(self.rejects) if self.rejects and not is_folder(self.rejects) else None
        for path in (rejects, self.summary):
            if path:
                check_folder_exists(path)


# Options of commands that divide their input; the others have no use for them
OF_JOBS = ("part", "missing", "parts", *(option.name for option in fields(EngineOptions)))


def check_folder_exists(path: Path) -> None:
    """Raises OutputError: the folder of ``path`` does not exist."""
    if url_of(path) is None and not path.parent.is_dir():
        raise OutputError(f"{path}: cannot write: no folder '{path.parent}'; create it first")


def check_outputs_differ(outputs: Mapping[str, str | Path | None]) -> None:
    """Refuse two options that name the same file, and "-"; devices may be shared.

    Raises:
        UsageError: names the options.
    """
    from omnicli.streams.write.atomic import is_special

    taken: dict[str, str] = {}
    for option, path in outputs.items():
        if str(path) == "-":
            remedy = "omit -o to write to stdout" if option == "-o" else "give a file, or /dev/stderr"
            raise UsageError(f"{option} -: {remedy}")
        if not path or is_special(Path(path)):
            continue
        other = taken.setdefault(os.path.realpath(path), option)
        if other != option:
            raise UsageError(f"{option} and {other} are the same file: {path}")


def check_one_file(path: str | Path | None, *, command: str, what: str) -> Path:
    """The path of an output that is one file. Raises UsageError: missing, "-" or a folder."""
    if path is None or str(path) == "-":
        raise UsageError(f"{command} writes {what}: give -o FILE")
    if is_folder(str(path)):
        raise UsageError(f"-o {path}: a folder; {command} writes one file")
    return Path(path)


def is_folder(path: str | None) -> bool:
    """Whether an output names a folder: it ends with / or is one."""
    return path is not None and (path.endswith("/") or Path(path).is_dir())


def parse_max_bad(text: str | None, num_in: int) -> float | None:
    """``N`` or ``P%`` of the input as a number of records; None without the option. Raises UsageError."""
    if text is None:
        return None
    try:
        limit = float(part_of(num_in, float(text.removesuffix("%"))) / 100 if text.endswith("%") else int(text))
    except (ValueError, ArithmeticError):
        raise UsageError(f"--max-bad: expected a number or a percentage such as 100 or 2%, got {text!r}") from None
    if not limit >= 0:  # NaN too
        raise UsageError(f"--max-bad: expected a number or a percentage of 0 or more, got {text!r}")
    return limit
