"""Options for the models that a command loads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnicli.commands.options.compute import ComputeOptions
from omnicli.commands.options.groups import MODEL, RARE, SELECTION
from omnicli.errors import UsageError
from omnicli.models.model_files import digest_of_model
from omnicli.training.recipe_fields import ModalityName

if TYPE_CHECKING:
    from omnicli.models.loading import LoadedModel
    from omnicli.models.strength import Strength

DEFAULT_BACKBONE = "resnet50"  # OmniSource Sec. 3.3
NumClips = Annotated[
    int,
    typer.Option("--num-clips", min=1, metavar="N", help="3D: clips per video.", rich_help_panel=MODEL), RARE,
]  # fmt: skip
Classes = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Class names, one per line, for a checkpoint that stores none.",
                 rich_help_panel=MODEL), RARE,
]  # fmt: skip
QueryMap = Annotated[
    Path | None,
    typer.Option("--query-map", metavar="FILE", help="Tab-separated file that maps queries to class names.",
                 rich_help_panel=SELECTION), RARE,
]  # fmt: skip


Modality = Annotated[
    ModalityName | None,
    typer.Option("--modality", help="What the model takes: images, or the optical flow of omni flow.",
                 show_default="as recipe or checkpoint", rich_help_panel=MODEL), RARE,
]  # fmt: skip


def check_modality(model: "LoadedModel", modality: str | None) -> None:
    """Raises UsageError: the model takes the other."""
    if modality and modality != model.spec.modality:
        raise UsageError(f"--modality {modality}: {model.name} was trained on {model.spec.modality}")


def check_views(models: "Sequence[LoadedModel]", *, has_segments: bool, has_clips: bool) -> None:
    """Raises UsageError: ``--num-segments`` or ``--num-clips`` was given, and none of the models has such views."""
    kinds = {model.network.is_2d for model in models}
    if has_segments and True not in kinds:
        raise UsageError(f"--num-segments is for 2D models, and {models[0].name} is 3D: remove it, or give --num-clips")
    if has_clips and False not in kinds:
        raise UsageError(f"--num-clips is for 3D models, and {models[0].name} is 2D: remove it, or give --num-segments")


def check_frames(models: "Sequence[LoadedModel]", options: "ModelOptions") -> None:
    """Raises UsageError: ``--num-frames`` or ``--frame-interval`` was given, and none of the models takes clips."""
    given = {"--num-frames": options.num_frames, "--frame-interval": options.frame_interval}
    idle = [option for option, value in given.items() if value is not None]
    if idle and all(model.network.is_2d for model in models):
        raise UsageError(f"{' and '.join(idle)}: {models[0].name} is a 2D model, which takes no clips; remove it")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The architecture of a checkpoint of another program."""

    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Architecture of a checkpoint of another program, if its keys do "
                     "not identify it.", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    modality: Modality = None
    num_segments: Annotated[
        int | None,
        typer.Option("--num-segments", min=1, metavar="N", help="2D: snippets per video.",
                     show_default="as in training", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    num_frames: Annotated[
        int | None,
        typer.Option("--num-frames", min=1, metavar="N", help="3D: frames per clip, for a checkpoint of another "
                     "program.", show_default="as published", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    frame_interval: Annotated[
        int | None,
        typer.Option("--frame-interval", min=1, metavar="N", help="3D: source frames between sampled frames, for a "
                     "checkpoint of another program.", show_default="as published", rich_help_panel=MODEL), RARE,
    ] = None  # fmt: skip
    classes: Classes = None

    def described(self) -> dict[str, Any]:
        """The architecture, as keyword arguments of ``load_model`` and as deciding options."""
        return {"name": self.model, "num_frames": self.num_frames, "frame_interval": self.frame_interval}

    def class_names(self) -> tuple[str, ...] | None:
        """The names in ``--classes``. Raises InputError."""
        from omnicli.streams.class_names import read_classes

        return tuple(read_classes(self.classes)) if self.classes else None

    def load_classes(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """The class names of these checkpoints. Raises ModelError and UsageError."""
        from omnicli.inference.ensemble import align_classes

        return align_classes(self.load(paths, ComputeOptions(device="cpu", precision="float32")))

    def load(
        self, paths: Sequence[Path], compute: ComputeOptions, *, with_exact: bool = False, is_long: bool = False
    ) -> "list[LoadedModel]":
        """The models in these checkpoints, on their device; in bfloat16 ``with_exact``, beside them in float32.

        ``is_long``: for long videos.

        Raises ModelError and UsageError.
        """
        import torch

        from omnicli.models.exact import with_exact as beside
        from omnicli.models.loading import load_model

        device, precision = compute.resolve()
        names = self.class_names()
        first = torch.float32 if with_exact else precision
        models = [
            load_model(path, device, first, **self.described(), num_segments=self.num_segments, classes=names)
            for path in paths
        ]
        models = [beside(model, precision) for model in models] if with_exact else models
        check_frames(models, self)
        for model in models:
            check_modality(model, self.modality)
        return [compute.prepare(model, is_long=is_long) for model in models]


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """The backbone whose features are computed."""

    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Backbone, by its timm name; a tag "
                     "(resnet50.fb_swsl_ig1b_ft_in1k) names its weights.", show_default=DEFAULT_BACKBONE,
                     rich_help_panel=MODEL),
    ] = None  # fmt: skip
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Weights of --backbone.",
                     show_default="of ImageNet-1k, downloaded", rich_help_panel=MODEL),
    ] = None  # fmt: skip
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="Use the backbone of a checkpoint of omni instead.",
                     rich_help_panel=MODEL),
    ] = None  # fmt: skip
    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="X", min=0.001, help="2D: frames per second of a video.", show_default="1",
                     rich_help_panel=MODEL),
    ] = None  # fmt: skip

    def check(self) -> None:
        """Raises UsageError: two backbones are named."""
        if self.checkpoint and (self.backbone or self.weights):
            raise UsageError("--checkpoint holds a backbone and its weights: remove --backbone and --weights")

    @property
    def name(self) -> str | None:
        """The timm backbone, with the tag of its weights if they are downloaded; None for that of a checkpoint."""
        from omnicli.models.pretrained import imagenet_weights

        if self.checkpoint:
            return None
        backbone = self.backbone or DEFAULT_BACKBONE
        return backbone if self.weights else imagenet_weights(backbone)

    def describe(self, model: "LoadedModel") -> str:
        """A line that says which weights made the features."""
        weights = self.checkpoint or self.weights or f"{self.name} (pretrained)"
        return f"features of {weights}, backbone sha256 {model.backbone_content[:12]}"

    def digests(self) -> dict[str, str]:
        """SHA-256 of the given files, by option. Raises ModelError."""
        files = {"weights": self.weights, "checkpoint": self.checkpoint}
        return {option: digest_of_model(path) for option, path in files.items() if path}

    def load(
        self,
        compute: ComputeOptions,
        *,
        with_content: bool = False,
        modality: str | None = None,
        with_exact: bool = False,
    ) -> "LoadedModel":
        """The model whose features are taken, on its device; in bfloat16 ``with_exact``, beside it in float32.

        Raises ModelError and UsageError.
        """
        import torch

        from omnicli.models.exact import with_exact as beside
        from omnicli.models.loading import load_extractor, load_model

        if modality == "flow" and not self.checkpoint:
            raise UsageError("--modality flow: --backbone takes RGB; give --checkpoint FILE of a model of flow")
        device, precision = compute.resolve()
        first = torch.float32 if with_exact else precision
        if self.checkpoint:
            model = load_model(self.checkpoint, device, first, with_content=with_content)
            check_modality(model, modality)
        else:
            model = load_extractor(self.name or "", self.weights, device, first, with_content=with_content)
        return compute.prepare(beside(model, precision) if with_exact else model)


def strength_of(teachers: Sequence[Path]) -> "Strength | None":
    """How strong the teachers are; None without any, or if unknown. Raises ModelError."""
    if not teachers:
        return None
    from omnicli.models.strength import read_strength

    return read_strength(teachers)
