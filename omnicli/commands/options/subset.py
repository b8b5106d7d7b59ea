"""Options of subsets: videos by length, a budget of minutes, a share of the labels."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options.groups import RARE, SELECTION
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.stages.subset import Subset
    from omnicli.streams.stage_run import Stage


@dataclass(frozen=True, kw_only=True)
class SubsetOptions:
    """Which part of the stream is kept."""

    min_sec: Annotated[
        float | None,
        typer.Option("--min-sec", min=0.0, metavar="X", help="Reject videos shorter than X seconds (duration_sec).",
                     rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip
    max_sec: Annotated[
        float | None,
        typer.Option("--max-sec", min=0.0, metavar="X", help="Reject videos longer than X seconds.",
                     rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip
    centre_sec: Annotated[
        float | None,
        typer.Option("--centre-sec", min=0.1, metavar="X", help="Keep only the middle X seconds of each video "
                     "(start_sec, end_sec).", rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip
    max_minutes: Annotated[
        float | None,
        typer.Option("--max-minutes", min=0.0, metavar="M", help="Keep videos of M minutes in all, by hash of the id: "
                     "a smaller budget is part of a larger one.", rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip
    label_share: Annotated[
        float | None,
        typer.Option("--label-share", min=0.0, max=1.0, metavar="F", help="Keep this share of the records of each "
                     "class, at least one, by hash of the id: a smaller share is part of a larger one.",
                     rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip

    def check(self) -> None:
        """Raises UsageError: no length is between the two."""
        if self.min_sec is not None and self.max_sec is not None and self.min_sec > self.max_sec:
            raise UsageError(f"--min-sec {self.min_sec:g} is more than --max-sec {self.max_sec:g}")

    @property
    def is_drawn(self) -> bool:
        """Whether a seed has an effect."""
        return self.max_minutes is not None or self.label_share is not None

    @property
    def whole_stream(self) -> str | None:
        """The option that decides over the whole stream."""
        if self.label_share is not None:
            return "--label-share"
        return "--max-minutes" if self.max_minutes is not None else None

    def deciding(self) -> dict[str, Any]:
        """The options that are given, as JSON values."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def applied(self, stage: "Stage", seed: int) -> "Stage":
        """The stage followed by the choice of the subset; without options the stage itself."""
        from omnicli.stages.subset import subset_stage

        return subset_stage(stage, self.subset(seed)) if self.deciding() else stage

    def subset(self, seed: int) -> "Subset":
        """The subset of the stage."""
        from omnicli.stages.subset import Subset

        return Subset(
            min_sec=self.min_sec, max_sec=self.max_sec, centre_sec=self.centre_sec, minutes=self.max_minutes,
            label_share=self.label_share, seed=seed,
        )  # fmt: skip
