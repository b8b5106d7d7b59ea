"""Options of dedup: what counts as a copy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from omnicli.commands.options.groups import MODEL, SELECTION, given_options
from omnicli.errors import UsageError

OF_FEATURES = ("threshold", "score_only", "whiten_dim", "backbone", "weights", "checkpoint", "fps", "as_media",
               "shards_dir")  # fmt: skip
OF_A_MODEL = ("batch_size", "device", "precision", "compile_mode", "seed")

Fps = Annotated[
    float | None,
    typer.Option("--fps", metavar="X", min=0.001, help="Frames per second of a video, of the web and of the target.",
                 show_default="1; of a small target up to 8", rich_help_panel=MODEL),
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DedupOptions:
    """What counts as a copy."""

    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="INPUT", help="Dataset to compare against, usually your validation set: any "
                     "INPUT, or a folder of feature shards; repeatable.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    method: Annotated[
        Literal["features", "census"],
        typer.Option("--method", help="features: similar frames (OmniSource). census: common footage, videos only "
                     "(IG-65M).", rich_help_panel=SELECTION),
    ] = "features"  # fmt: skip
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=-1.0, max=1.0, metavar="X", help="Reject records with at least this "
                     "similarity.", show_default="mean similarity of five crops of one target frame",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Keep all records with `similarity` and `nearest`, to decide later "
                           "with --threshold and without --target.", rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    within: Annotated[
        bool, typer.Option("--within", help="Also reject records that repeat an earlier kept record.",
                           rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    whiten_dim: Annotated[
        int | None, typer.Option("--whiten-dim", min=1, metavar="N", help="Maximum dimension after whitening.",
                                 show_default="256", rich_help_panel=SELECTION)
    ] = None  # fmt: skip

    def check(self, context: typer.Context, inputs: Sequence[str]) -> None:
        """Refuse options without effect. Raises UsageError."""
        given = given_options(context)
        self._check_target(inputs)
        if self.method == "census":
            self._refuse(given, OF_FEATURES, "needs --method features, not census")
            self._refuse(given, OF_A_MODEL, "needs --method features: census has no model and draws nothing")
            if not self.target and not self.within:
                raise UsageError("give --target, or --within to look for copies inside the stream alone")
        elif not self.target:
            others = [name for name in OF_FEATURES if name != "threshold"]
            self._refuse(given, (*others, "within"), "needs --target")
            if self.threshold is None:
                raise UsageError("give --target, or --threshold to decide by the similarity that --score-only wrote")
            self._refuse(given, (*OF_A_MODEL, "workers"), "needs --target: stored similarities open no files")
        elif self.score_only and (self.threshold is not None or self.within):
            clash = "--within" if self.within else "--threshold"
            raise UsageError(f"--score-only keeps every record and {clash} rejects some: give one")

    @staticmethod
    def _refuse(given: dict[str, str], names: Sequence[str], why: str) -> None:
        clashing = [spelling for name, spelling in given.items() if name in names]
        if clashing:
            raise UsageError(f"{', '.join(clashing)} {why}")

    def _check_target(self, inputs: Sequence[str]) -> None:
        """Refuse targets that the user cannot have meant."""
        targets = self.target or []
        if "-" in targets:
            raise UsageError("--target -: the target is read before the stream; give a file")
        folders = {Path(name).parent for name in targets if name.endswith((".h5", ".hdf5"))}
        strays = [name for name in inputs if name.endswith((".h5", ".hdf5")) and Path(name).parent in folders]
        if strays:
            raise UsageError(
                f"{strays[0]} is beside the shard given to --target: a shell passes only the first of *.h5 to the "
                "option; name the folder"
            )
