"""Options of index: which lists are read how, and what records get."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from omnicli.commands.options.digests import digest_of_list
from omnicli.commands.options.groups import DATA, INPUT_OUTPUT, RARE

if TYPE_CHECKING:
    from omnicli.streams.class_map import ClassMap
    from omnicli.streams.class_names import ClassIndex

FRAMES = Annotated[
    bool, typer.Option("--frames", help="Read a folder of numbered images as one video.", rich_help_panel=INPUT_OUTPUT)
]  # fmt: skip
LIST_FORMAT = Annotated[
    Literal["mmaction", "frames", "kinetics", "ucf101", "hmdb51", "raw-video"] | None,
    typer.Option("--list-format", help="Format of annotation lists, if their lines fit two formats.",
                 show_default="detected", rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip
SPLIT = Annotated[
    Literal["train", "val", "test"] | None,
    typer.Option("--split", help="Read only this part of lists that hold several: HMDB51 split files, Kinetics CSV.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip
DATA_PREFIX = Annotated[
    str | None,
    typer.Option("--data-prefix", metavar="DIR", help="Folder that the paths of lists start from. It is added to the "
                 "paths in the output, so that one --root holds for several lists.", rich_help_panel=INPUT_OUTPUT),
    RARE,
]  # fmt: skip
EACH_CLIP = Annotated[
    bool,
    typer.Option("--each-clip", help="Of lists of raw videos (DIR label num_clips positives), write a record for each "
                 "positive clip, to filter or pack them. Default: one record per video, of which training draws a "
                 "clip.", rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip


RAW_VIDEOS = Annotated[
    bool,
    typer.Option("--raw-videos", help="A Kinetics CSV gives whole videos (ID.mp4 below --root) with labelled_sec, the "
                 "labelled seconds, which segment --cut-labelled leaves out. Default: trimmed clips.",
                 rich_help_panel=INPUT_OUTPUT), RARE,
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What records get from index."""

    labels: Annotated[
        bool, typer.Option("--labels", help="Folder names are classes: write class_name instead of query.",
                           rich_help_panel=DATA)
    ] = False  # fmt: skip
    classes: Annotated[
        Path | None,
        typer.Option("--classes", metavar="FILE", help="Class names, one per line: write label too, the 0-based line.",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    class_map: Annotated[
        Path | None,
        typer.Option("--class-map", metavar="FILE", help="Old and new classes (JSON object or lines): map the labels "
                     "of lists, such as Kinetics-400 to MiniKinetics-200; other classes are rejected.",
                     rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Name of the crawl, such as gg-k400.", rich_help_panel=DATA),
    ] = None  # fmt: skip
    probe: Annotated[
        bool, typer.Option("--probe", help="Open every file and write width, height, fps, num_frames, duration_sec.",
                           rich_help_panel=DATA)
    ] = False  # fmt: skip

    records_per_file: Annotated[
        int | None,
        typer.Option("--records-per-file", metavar="N", min=1, help="With -o DIR/: write all records to "
                     "DIR/00000.jsonl, ... of N records each, which later stages take as jobs.",
                     rich_help_panel=INPUT_OUTPUT), RARE,
    ] = None  # fmt: skip

    def deciding(self) -> dict[str, Any]:
        """The options as JSON values; later ones only where they are given, so that earlier runs go on."""
        later = {"class_map": digest_of_list(self.class_map)}
        return {
            "labels": self.labels, "classes": digest_of_list(self.classes), "source": self.source,
            "probe": self.probe, **{name: value for name, value in later.items() if value},
        }  # fmt: skip

    def known_classes(self) -> "ClassIndex | None":
        """The classes of --classes. Raises InputError."""
        from omnicli.streams.class_names import ClassIndex, read_classes

        return ClassIndex(read_classes(self.classes)) if self.classes else None

    def read_map(self) -> "ClassMap | None":
        """The map of --class-map. Raises InputError."""
        from omnicli.streams.class_map import read_class_map

        return read_class_map(self.class_map) if self.class_map else None
