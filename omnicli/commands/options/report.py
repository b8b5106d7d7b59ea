"""Options of report: what the page shows."""

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from omnicli.commands.options.groups import DATA, INPUT_OUTPUT

PageFile = Annotated[
    str | None,
    typer.Option("-o", "--output", metavar="FILE", help="Page to write (required), atomically.",
                 rich_help_panel=INPUT_OUTPUT),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What the page shows."""

    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="Heading of the page.", show_default="the inputs",
                                 rich_help_panel=DATA)
    ] = None  # fmt: skip
    by: Annotated[
        Literal["query", "class"], typer.Option("--by", help="Group images and bars by query or by class.",
                                                rich_help_panel=DATA)
    ] = "query"  # fmt: skip
    per_class: Annotated[
        int, typer.Option("--per-class", metavar="N", min=0, help="Kept images, and rejected images, per group.",
                          rich_help_panel=DATA)
    ] = 7  # fmt: skip
    max_groups: Annotated[
        int, typer.Option("--max-groups", metavar="N", min=0, help="Groups with images, the largest first.",
                          rich_help_panel=DATA)
    ] = 24  # fmt: skip
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=0, help="Records of a random sample, stratified by confidence, "
                          "from whose verdicts the page estimates the precision of thresholds.", rich_help_panel=DATA)
    ] = 50  # fmt: skip
    all_records: Annotated[
        bool, typer.Option("--all", help="Show every record, page by page; their images are files in NAME.parts/ "
                           "beside the page.", rich_help_panel=DATA)
    ] = False  # fmt: skip
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="Threshold of the filter, marked in the plots.",
                     show_default="estimated from the records", rich_help_panel=DATA),
    ] = None  # fmt: skip
