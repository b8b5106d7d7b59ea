"""Options of filter: which records are kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from omnicli.commands.options.groups import SELECTION
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.filter import FilterRule

DEFAULT_THRESHOLD = 0.5  # Ours: the paper gives none


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which records are kept."""

    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="Keep records with at least this confidence.",
                     show_default=str(DEFAULT_THRESHOLD), rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    keep_fraction: Annotated[
        float | None,
        typer.Option("--keep-fraction", min=0.0, max=1.0, metavar="F", help="Instead of --threshold: keep this "
                     "fraction, the most confident.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    top: Annotated[
        int | None,
        typer.Option("--top", min=0, metavar="K", help="Instead of --threshold: keep the K most confident.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    per: Annotated[
        Literal["class", "query", "source"] | None,
        typer.Option("--per", help="Apply --keep-fraction or --top within each class, query or source.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Keep all records with their scores, to decide later.",
                           rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    label_by: Annotated[
        Literal["teacher", "query"] | None,
        typer.Option("--label-by", help="teacher: label with the teacher's best class (OmniSource). query: label with "
                     "the class of the query; confidence is the teacher's score for it.", show_default="teacher",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    agree: Annotated[
        bool, typer.Option("--agree", help="Also reject records whose best class is not the class of the query.",
                           rich_help_panel=SELECTION)
    ] = False  # fmt: skip

    def check(self) -> None:
        """One way to decide. Raises UsageError."""
        given = {"--threshold": self.threshold, "--keep-fraction": self.keep_fraction, "--top": self.top,
                 "--score-only": self.score_only or None}  # fmt: skip
        chosen = [name for name, value in given.items() if value is not None]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} decide in different ways: give one")
        if self.per and not self.whole_stream:
            raise UsageError("--per needs --keep-fraction or --top")

    @property
    def whole_stream(self) -> str | None:
        """The option that decides over the whole stream."""
        return "--keep-fraction" if self.keep_fraction is not None else "--top" if self.top is not None else None

    def rule(self, *, is_labelled: bool) -> "FilterRule":
        """The rule of the stage; without class names the stored labels stay."""
        from omnicli.stages.filter import FilterRule

        threshold = DEFAULT_THRESHOLD if self.threshold is None else self.threshold
        return FilterRule(
            label_by=(self.label_by or "teacher") if is_labelled else "stored",
            threshold=None if self.whole_stream or self.score_only else threshold,
            keep_fraction=self.keep_fraction, top=self.top, per=self.per, agree=self.agree, score_only=self.score_only,
        )  # fmt: skip
