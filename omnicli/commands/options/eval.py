"""Options of eval: the views of a model under test, and stored scores to fuse or compare."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from omnicli.commands.options.digests import digest_of
from omnicli.commands.options.groups import MODEL, RARE, SELECTION, given_options
from omnicli.errors import InputError, UsageError

if TYPE_CHECKING:
    from omnicli.models.factory import ModelSpec
    from omnicli.stages.eval.fusion import ScoreSet

RESULT_SUFFIXES = (".pkl", ".pickle", ".json")
WITH_FUSE = {"fuse", "fuse_by", "fuse_list", "fuse_ratio", "baseline", "classes", "shards_dir", "output", "rejects",
             "summary", "dry_run", "quiet", "verbose"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ViewsOptions:
    """The views of each record that the model scores."""

    crops: Annotated[
        Literal["centre", "three", "ten", "full"] | None,
        typer.Option("--crops", help="centre: the square in the middle of a frame. three: squares along its long side. "
                     "ten: corners, centre and their mirrors. full: the whole frame.",
                     show_default="centre; video models of other libraries: as published", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    num_clips: Annotated[
        int | None,
        typer.Option("--num-clips", min=1, metavar="N", help="3D: clips per video.",
                     show_default="10; video models of other libraries: as published", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    fully_convolutional: Annotated[
        bool, typer.Option("--fully-convolutional", help="3D: average the classifier over windows of the training "
                           "crop's size in a larger frame.", rich_help_panel=MODEL), RARE,
    ] = False  # fmt: skip
    short_side: Annotated[
        int | None, typer.Option("--short-side", min=8, metavar="PIXELS", help="Size of the short side before "
                                 "cropping.", show_default="as in training", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    crop_size: Annotated[
        int | None, typer.Option("--crop-size", min=8, metavar="PIXELS", help="Side of the square input.",
                                 show_default="as in training", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    generation: Annotated[
        Literal["1.x", "0.x"], typer.Option("--generation", help="Sample frames as mmaction2 1.x or 0.x does.",
                                            rich_help_panel=MODEL), RARE,
    ] = "1.x"  # fmt: skip

    def deciding(self, num_segments: int | None, spec: "ModelSpec | None" = None) -> dict[str, Any]:
        """The options as JSON values, and as arguments of ``ViewOptions``.

        Args:
            num_segments: of ``--num-segments``.
            spec: of a model whose published test fills what is not given; None: that of most models.
        """
        from omnicli.models.video.registry import published_test

        names = ("short_side", "crop_size", "crops", "generation", "num_clips", "fully_convolutional")
        values = asdict(self)
        test = published_test(spec.name, short_side=spec.short_side, crop_size=spec.crop_size) if spec else {}
        if self.crops or self.crop_size:  # a short side of the published test is for its crops
            test.pop("short_side", None)
        chosen = {"crops": "centre", "num_clips": 10, **test}
        values |= {name: value for name, value in chosen.items() if values[name] is None}
        return {"num_segments": num_segments, **{name: values[name] for name in names}}

    def say_published(self, spec: "ModelSpec") -> list[str]:
        """A line if the model's published test decides the views."""
        from omnicli.models.video.registry import library_config

        if library_config(spec.name) is None or (self.num_clips and self.crops):
            return []
        views = self.deciding(None, spec)
        crops = {"centre": "centre crop", "three": "3 crops", "ten": "10 crops", "full": "full frames"}[views["crops"]]
        return [
            f"{spec.name}: {views['num_clips']} clips x {spec.num_frames} frames, 1 in {spec.frame_interval}, {crops}, "
            "as in its published test; --num-clips and --crops change that"
        ]


@dataclass(frozen=True, kw_only=True)
class StoredScoreOptions:
    """Scores that earlier runs of eval wrote."""

    fuse: Annotated[
        list[Path] | None,
        typer.Option("--fuse", metavar="SHARD|DIR", help="Scores written by eval --shards, or a result file of "
                     "mmaction2 (.pkl, .json), instead of a model; two or more to fuse, or one to compare.",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    fuse_list: Annotated[
        Path | None,
        typer.Option("--fuse-list", metavar="LIST", help="Annotation list, or records, whose lines the result files "
                     "of mmaction2 follow.", rich_help_panel=SELECTION), RARE,
    ] = None  # fmt: skip
    fuse_ratio: Annotated[
        str | None,
        typer.Option("--fuse-ratio", metavar="R:R", help="Weight of each --fuse, such as 1:1.5.", show_default="equal",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    fuse_by: Annotated[
        Literal["scores", "logits"],
        typer.Option("--fuse-by", help="scores: the mean of what the softmax gives. logits: the mean before it, as in "
                     "published two-stream results.", rich_help_panel=SELECTION), RARE,
    ] = "scores"  # fmt: skip
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", metavar="SHARD|DIR", help="Compare with the scores of another model on the same "
                     "records, written by eval --shards.", rich_help_panel=SELECTION),
    ] = None  # fmt: skip

    def check(self, context: typer.Context, checkpoint: Path | None, shards_dir: Path | None) -> None:
        """A model or stored scores, not both; no output over an input. Raises UsageError."""
        if self.fuse:
            self._check_fuse(context)
            self.ratio()
        elif self.fuse_ratio is not None or self.fuse_by != "scores":
            raise UsageError("--fuse-ratio and --fuse-by need --fuse")
        elif checkpoint is None:
            raise UsageError("nothing to test: give --checkpoint FILE, or scores to --fuse")
        self._check_list()
        if shards_dir:
            folder = shards_dir.resolve()
            if any(_is_among(folder, path) for path in self.fuse or []):
                raise UsageError(f"--shards {shards_dir}: holds the scores to be fused; give another folder")
            if self.baseline and _is_among(folder, self.baseline):
                raise UsageError(f"--shards {shards_dir}: holds the scores of --baseline; give another folder")

    def _check_fuse(self, context: typer.Context) -> None:
        idle = [spelling for name, spelling in given_options(context).items() if name not in WITH_FUSE]
        if idle:
            raise UsageError(f"--fuse scores no media; {' and '.join(idle)} cannot act on stored scores")
        if len(self.fuse or []) < 2 and self.baseline is None:
            raise UsageError(f"--fuse {(self.fuse or [])[0]}: give --fuse twice or more, or a --baseline")

    def _check_list(self) -> None:
        results = [path for path in [*(self.fuse or []), self.baseline] if path and is_result(path)]
        if results and self.fuse_list is None:
            raise UsageError(f"{results[0]}: names no records; give --fuse-list LIST, the annotation list it follows")
        if self.fuse_list is not None and not results:
            raise UsageError("--fuse-list is for result files of mmaction2 (.pkl, .json) among --fuse and --baseline")

    def ratio(self) -> list[float]:
        """The weight of each --fuse. Raises UsageError."""
        count = len(self.fuse or [])
        if self.fuse_ratio is None:
            return [1.0] * count
        try:
            ratio = [float(part) for part in self.fuse_ratio.split(":")]
        except ValueError:
            ratio = []
        given = f"--fuse-ratio {self.fuse_ratio}"
        if not ratio or not all(math.isfinite(weight) and weight >= 0 for weight in ratio) or not sum(ratio) > 0:
            raise UsageError(f"{given}: expected numbers of 0 or more, such as 1:1.5, and not only 0")
        if len(ratio) != count:
            raise UsageError(f"{given}: {len(ratio)} weights for {count} times --fuse")
        return ratio

    def deciding(self) -> dict[str, Any]:
        """Digests of the shards of each --fuse, and their weights. Raises InputError."""
        listed = {"fuse_list": digest_of(self.fuse_list, InputError)} if self.fuse_list else {}
        fused = [digests_of_shards(path) for path in self.fuse or []]
        by = {"fuse_by": self.fuse_by} if self.fuse_by != "scores" else {}
        return {"fused": fused, "fuse_ratio": self.ratio(), **by, **listed}

    def load(
        self, classes: Sequence[str] | None, stack: ExitStack
    ) -> "tuple[list[ScoreSet], tuple[str, ...], list[str]]":
        """All --fuse, the first of which gives the records; their classes; what some lack.

        Args:
            classes: of --classes.
            stack: removes what result files were converted to.

        Raises:
            InputError: scores that cannot be read, or of other classes or records.
        """
        from omnicli.stages.eval.fusion import check_common_records, common_classes

        sets = [self._open(path, stack) for path in self.fuse or []]
        names = common_classes(sets, classes)
        if self.fuse_by == "logits" and sets[0].function != "softmax":
            raise UsageError("--fuse-by logits: scores of several labels are not a softmax; remove it")
        return sets, names, check_common_records(sets)

    def load_baseline(self, classes: tuple[str, ...], *, tested: str, stack: ExitStack) -> "ScoreSet | None":
        """The scores of --baseline, or None without it.

        Args:
            classes: (K,) names of the tested model.
            tested: that model, for messages.
            stack: removes what a result file was converted to.

        Raises:
            InputError: other classes.
        """
        from omnicli.stages.eval.fusion import common_classes

        if self.baseline is None:
            return None
        baseline = self._open(self.baseline, stack)
        common_classes([baseline], classes, source=tested)
        return baseline

    def _open(self, path: Path, stack: ExitStack) -> "ScoreSet":
        from omnicli.stages.eval.fusion import open_scores
        from omnicli.stages.eval.result_files import open_results

        if not is_result(path) or self.fuse_list is None:
            return open_scores(path)
        return open_results(path, self.fuse_list, stack.enter_context(TemporaryDirectory(prefix="omni-eval-")))


def _is_among(folder: Path, scores: Path) -> bool:
    """Whether shards written to ``folder`` would be, or replace, those of ``scores``, a shard or a folder."""
    return folder == scores.parent.resolve() or folder.is_relative_to(scores.resolve())


def is_result(path: Path) -> bool:
    """Whether a file is named like a result file of mmaction2."""
    return path.suffix.lower() in RESULT_SUFFIXES


def digests_of_shards(path: Path) -> list[str]:
    """SHA-256 of a score shard, or of those in a folder. Raises InputError."""
    from omnicli.stages.eval.fusion import shards_under

    return [digest_of(Path(shard), InputError) for shard in shards_under(path)]
