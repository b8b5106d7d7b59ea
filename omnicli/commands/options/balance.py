"""Options of balance: how classes are balanced."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from omnicli.commands.options.groups import SELECTION, refuse_given
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.balance.weights import BalanceRule

DEFAULT_POWER = 0.2  # OmniSource Table 10


@dataclass(frozen=True, kw_only=True)
class BalanceOptions:
    """How classes are balanced."""

    power: Annotated[
        float | None,
        typer.Option("--power", min=0.0, max=1.0, metavar="P", help="Draw a class of N records in proportion to N^P: "
                     "0 makes classes equal, 1 changes nothing.", show_default=str(DEFAULT_POWER),
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    sqrt: Annotated[
        bool, typer.Option("--sqrt", help="Square-root sampling: the same as --power 0.5.", rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    max_per_class: Annotated[
        int | None,
        typer.Option("--max-per-class", min=1, metavar="N", help="Instead of --power: draw a class as if it had at "
                     "most N records.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    min_per_class: Annotated[
        int, typer.Option("--min-per-class", min=1, metavar="N", help="Reject records of classes with fewer than N.",
                          rich_help_panel=SELECTION),
    ] = 1  # fmt: skip
    keep_tail: Annotated[
        int | None,
        typer.Option("--keep-tail", min=0, metavar="N", help="Keep N records: all of small classes, and an equal "
                     "number of each large class, by hash of the id.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    resample: Annotated[
        int | None,
        typer.Option("--resample", min=0, metavar="N", help="Write a balanced list of N lines, with records omitted "
                     "or repeated.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip

    per_parent: Annotated[
        bool, typer.Option("--per-parent", help="Records of one parent, such as clips of a long video, share the "
                           "weight of one record.", rich_help_panel=SELECTION)
    ] = False  # fmt: skip

    def rule(self, seed: int) -> "BalanceRule":
        """The rule of the stage."""
        from omnicli.stages.balance.weights import BalanceRule

        power = 0.5 if self.sqrt else DEFAULT_POWER if self.power is None else self.power
        return BalanceRule(
            power=power, max_per_class=self.max_per_class, min_per_class=self.min_per_class,
            keep_tail=self.keep_tail, resample=self.resample, seed=seed, per_parent=self.per_parent,
        )  # fmt: skip

    def check(self, context: typer.Context) -> None:
        """One way to balance, and a seed only if something is drawn. Raises UsageError."""
        given = {"--power": self.power is not None, "--sqrt": self.sqrt, "--max-per-class": self.max_per_class}
        chosen = [name for name, is_given in given.items() if is_given]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(chosen)} balance in different ways: give one")
        if self.per_parent and (self.keep_tail is not None or self.resample is not None):
            what = "--keep-tail" if self.keep_tail is not None else "--resample"
            raise UsageError(f"--per-parent shares weights, and {what} chooses whole records: give one")
        if self.keep_tail is None and self.resample is None:
            refuse_given(context, ("seed",), "needs --keep-tail or --resample: weights are not drawn")
