"""Options that more than one command takes, each spelled once.

| alias | who acts on it |
|---|---|
| Inputs, FilesFrom, NullSeparated, Root, Limit | every command that reads records |
| Out, Rejects, Summary, Resume, MaxBad, ShardOption, Missing, ShardsTotal | every stage: records in, records out |
| ShardsDir | eval, inflate, segment |
| AsMedia | dedup, filter, segment |
| ShardsNeeded | features, pack |
| Device, Precision, BatchSize, Workers | commands with a model |
| ModelName, NumFrames, FrameInterval | filter, segment, eval, convert |
| NumClips | filter, eval |
| Seed | commands that draw |
| DryRun, Quiet, Verbose | all |
"""

from pathlib import Path
from typing import Annotated

import typer

STREAMS = "Streams"
COMPUTE = "Compute"
TALK = "Talk"

Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INPUT",
        help="Media files, folders, .jsonl[.gz|.zst], .h5 shards, .tar shards, annotation lists, or - for stdin. "
        "None: stdin, if it is a pipe.",
        show_default=False,
    ),
]
FilesFrom = Annotated[
    str | None,
    typer.Option("--files-from", metavar="FILE", help="Read INPUTs from FILE, one a line (- is stdin).",
                 rich_help_panel=STREAMS),
]  # fmt: skip
NullSeparated = Annotated[
    bool, typer.Option("-0", help="--files-from is separated by NUL, as find -print0 writes it.",
                       rich_help_panel=STREAMS)
]  # fmt: skip
Root = Annotated[
    str | None,
    typer.Option("--root", metavar="DIR", help="Folder that relative paths of records start from.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
Limit = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=0, help="Stop after N records.", rich_help_panel=STREAMS),
]
Out = Annotated[
    str | None,
    typer.Option(
        "-o", "--out", metavar="FILE|DIR/",
        help="Write here instead of stdout: whole or not at all, resumable; DIR/ makes one file an input file, and "
        "below a folder of each .jsonl, .ndjson, .h5 and .tar; media there are refused.",
        rich_help_panel=STREAMS,
    ),
]  # fmt: skip
Rejects = Annotated[
    str | None,
    typer.Option("--rejects", metavar="FILE", help="Write every record that leaves, with its reason.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
Summary = Annotated[
    Path | None,
    typer.Option("--summary", metavar="FILE", help="Write the closing counts, options and versions as JSON.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
Resume = Annotated[
    bool,
    typer.Option("--resume/--no-resume", help="Go on where a killed run with -o stopped.", rich_help_panel=STREAMS),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N|auto", help="Take only part I (0-based) of N, by hash of the id; "
                 "auto reads Slurm's or torchrun's variables.", rich_help_panel=STREAMS),
]  # fmt: skip
Missing = Annotated[
    bool,
    typer.Option("--missing", help="With -o DIR/: print which shards are not done, as a Slurm --array= string.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
ShardsTotal = Annotated[
    int | None,
    typer.Option("--shards-total", metavar="N", min=1, help="The N of --shard I/N, for --missing.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
MaxBad = Annotated[
    str | None,
    typer.Option("--max-bad", metavar="N|P%", help="Exit 3 when more than N records, or P % of them, are "
                 "unreadable; the output is complete.", show_default="no limit",
                 rich_help_panel=STREAMS),
]  # fmt: skip
ShardsDir = Annotated[
    Path | None,
    typer.Option("--shards", metavar="DIR", help="Write arrays to HDF5 shards in this folder.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
AsMedia = Annotated[
    bool,
    typer.Option("--as-media", help="Rows of feature shards leave as the images and videos they were made of, for "
                 "the stages after this one.", rich_help_panel=STREAMS),
]  # fmt: skip
ShardsNeeded = Annotated[
    Path | None,
    typer.Option("--shards", metavar="DIR", help="The folder for the HDF5 shards; has to be given.",
                 rich_help_panel=STREAMS),
]  # fmt: skip
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", envvar="OMNI_SEED", help="Seed of every random choice.",
                 rich_help_panel=COMPUTE),
]  # fmt: skip
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, envvar="OMNI_WORKERS",
                 help="Threads that read and decode.", show_default="the cores this process may use",
                 rich_help_panel=COMPUTE),
]  # fmt: skip
Device = Annotated[
    str,
    typer.Option("--device", metavar="auto|cpu|cuda[:N]", envvar="OMNI_DEVICE", help="Where models run.",
                 rich_help_panel=COMPUTE),
]  # fmt: skip
Precision = Annotated[
    str,
    typer.Option("--precision", metavar="auto|float32|bfloat16", envvar="OMNI_PRECISION",
                 help="auto is bfloat16 where the machine has it natively.", rich_help_panel=COMPUTE),
]  # fmt: skip
BatchSize = Annotated[
    int,
    typer.Option("--batch-size", metavar="N", min=1, envvar="OMNI_BATCH_SIZE",
                 help="Views (images, snippets, clips, crops of them) in one forward pass.",
                 rich_help_panel=COMPUTE),
]  # fmt: skip
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Architecture of a checkpoint of another program, where its keys do "
                 "not tell.", rich_help_panel=COMPUTE),
]  # fmt: skip
NumClips = Annotated[
    int,
    typer.Option("--num-clips", min=1, metavar="N", help="Clips of a video that a 3D model looks at.",
                 rich_help_panel=COMPUTE),
]  # fmt: skip
NumFrames = Annotated[
    int | None,
    typer.Option("--num-frames", min=1, metavar="N", help="Frames of a clip, for a 3D checkpoint of another program.",
                 show_default="as published", rich_help_panel=COMPUTE),
]  # fmt: skip
FrameInterval = Annotated[
    int | None,
    typer.Option("--frame-interval", min=1, metavar="N", help="Frames from one to the next of them.",
                 show_default="as published", rich_help_panel=COMPUTE),
]  # fmt: skip
DryRun = Annotated[
    bool,
    typer.Option("-n", "--dry-run", help="Print the resolved options as JSON and stop.", rich_help_panel=TALK),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.", rich_help_panel=TALK)]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.", rich_help_panel=TALK)]
