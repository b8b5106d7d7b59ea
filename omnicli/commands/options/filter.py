"""Options of filter: which records are kept."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from omnicli.commands.options.groups import SELECTION
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.models.strength import Strength
    from omnicli.stages.filter.rules import FilterRule

RuleName = Literal["auto", "paper", "query"]
DEFAULT_THRESHOLD = 0.5  # Ours: the paper gives none


@dataclass(frozen=True, kw_only=True)
class FilterOptions:
    """Which records are kept."""

    rule_name: Annotated[
        RuleName | None,
        typer.Option("--rule", help="paper: label with the teacher's best class, keep what reaches --threshold "
                     "(OmniSource). query: label with the class of the query, keep the share of each query that seems "
                     "to fit. auto: paper, but query if the teacher learnt from few labelled clips and the records "
                     "have queries; the closing lines say which.", show_default="auto", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
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

    stored_scores: Annotated[
        bool, typer.Option("--stored-scores", help="Decide from the scores of an earlier run, such as --score-only in "
                           "parts; --teacher then only gives its classes and its rule. The default without --teacher.",
                           rich_help_panel=SELECTION)
    ] = False  # fmt: skip

    def check(self) -> None:
        """One way to decide. Raises UsageError."""
        given: dict[str, Any] = {
            "--threshold": self.threshold, "--keep-fraction": self.keep_fraction, "--top": self.top,
            "--score-only": self.score_only or None,
        }  # fmt: skip
        chosen = [name for name, value in given.items() if value is not None]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} decide in different ways: give one")
        if self.per and not self._ranked_by:
            raise UsageError("--per needs --keep-fraction or --top")
        if self.rule_name in ("paper", "query"):
            given |= {"--label-by": self.label_by, "--agree": self.agree or None}
            if self.rule_name == "paper":
                given.pop("--threshold")
            others = [name for name, value in given.items() if value is not None]
            if others:
                raise UsageError(f"--rule {self.rule_name} and {others[0]} decide in different ways: give one")

    @property
    def is_automatic(self) -> bool:
        """True if the teacher's strength chooses the rule: no option names one."""
        numbers = (self.threshold, self.keep_fraction, self.top)
        is_named = self.label_by or self.agree or self.score_only or any(value is not None for value in numbers)
        return self.rule_name in (None, "auto") and not is_named

    def whole_stream(self, rule: "FilterRule") -> str | None:
        """The option that decides over the whole stream."""
        if rule.by_query:
            return "--rule query" if self.rule_name == "query" else "--rule query, chosen for this weak teacher,"
        return self._ranked_by

    @property
    def _ranked_by(self) -> str | None:
        return "--keep-fraction" if self.keep_fraction is not None else "--top" if self.top is not None else None

    def rule(self, *, is_labelled: bool, strength: "Strength | None" = None) -> "FilterRule":
        """The rule of the stage; without class names the stored labels stay.

        Args:
            is_labelled: the class names are known.
            strength: of the teacher; None if unknown.
        """
        from omnicli.stages.filter.rules import FilterRule, QueryRule

        threshold = DEFAULT_THRESHOLD if self.threshold is None else self.threshold
        is_weak = strength is not None and strength.is_weak
        by_query = None
        if self.rule_name == "query" or (self.is_automatic and is_weak):
            accuracy = strength.accuracy if strength else None
            by_query = QueryRule(accuracy=accuracy, threshold=None if self.rule_name == "query" else threshold)
        return FilterRule(
            label_by=(self.label_by or "teacher") if is_labelled else "stored",
            threshold=None if self._ranked_by or self.score_only or by_query else threshold,
            keep_fraction=self.keep_fraction, top=self.top, per=self.per, agree=self.agree, by_query=by_query,
            score_only=self.score_only,
        )  # fmt: skip
