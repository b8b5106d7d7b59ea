"""Video classifiers of Hugging Face transformers, by its own classes: VideoMAE, TimeSformer, ViViT and V-JEPA 2.

Only the four classes named here are ever built, from numbers in ``config.json``; what a folder says of code is refused
(``transformers_folder``). Frames and test views are those of the configurations that the authors published:

- VideoMAE, MCG-NJU/VideoMAE FINETUNE.md, Kinetics: 5 clips of 16 x 4, 3 crops, short side 224;
- TimeSformer, facebookresearch/TimeSformer configs/Kinetics/TimeSformer_divST_8x32_224.yaml: 1 clip of 8 x 32, 3 crops,
  short side 224 (datasets/kinetics.py);
- ViViT, google-research/scenic projects/vivit/configs/kinetics400/vivit_base_k400.py: 4 clips of 32 x 2, 3 crops, short
  side 256;
- V-JEPA 2, facebookresearch/vjepa2 configs/inference/vitl/ssv2.yaml: 2 clips of 16 x 4, 3 crops, short side that of the
  crop (evals/video_classification_frozen/utils.py); of vitg-384/ssv2.yaml and both diving48.yaml: 64 x 2 and 32 x 2.
  Ours: scores are averaged over its clips, where the source lets the probe see the tokens of all; 2 clips for Diving48,
  too, whose configurations have 4.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from omnicli.errors import ModelError
from omnicli.extras import need
from omnicli.models.blocks import find_blocks
from omnicli.models.libraries import library
from omnicli.models.video.library_model import LibraryConfig

PREFIX = "transformers-"
CLASS_NAMES = {"videomae": "VideoMAE", "timesformer": "Timesformer", "vivit": "Vivit", "vjepa2": "VJEPA2"}
OTHER_NAMES = {"qkv_bias": "qv_bias", "qv_bias": "qkv_bias"}  # VideoMAE has the one or the other, by version
UNUSED = ("predictor",)  # of V-JEPA 2's pre-training


class ClipBackbone(nn.Module):
    """A classifier of transformers without its last layer: clips (N, C, T, H, W) to features (N, D)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        """Features (N, D)."""
        return self.model(clips.transpose(1, 2)).logits  # type: ignore[no-any-return]


def require_transformers() -> Any:
    """The module. Raises UsageError: it is not installed."""
    need("transformers", "VideoMAE, TimeSformer, ViViT or V-JEPA 2")
    import transformers  # noqa: PLC0415 (an extra, and takes seconds)

    return transformers


def build(family: str, options: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """A model with random weights, without its classifier, and the number of its features."""
    with _quiet(require_transformers()) as transformers:
        config = _config(transformers, family, options)
        return _stripped(_class_of(transformers, family)(config))


def load(
    family: str, options: Mapping[str, Any], weights: Mapping[str, Tensor], *, num_classes: int, path: str
) -> tuple[nn.Module, int, nn.Linear | None]:
    """The backbone with these weights, the number of its features, and its classifier; None if the file has none.

    A pooler or a last norm that the weights lack keeps random weights then: training begins with them.

    Raises:
        ModelError: weights of the encoder are missing, or have other shapes.
    """
    with _quiet(require_transformers()) as transformers:
        config = _config(transformers, family, options)
        config.num_labels = num_classes
        try:
            model, info = _class_of(transformers, family).from_pretrained(
                None, config=config, state_dict=dict(weights), output_loading_info=True, ignore_mismatched_sizes=True
            )
        except (RuntimeError, ValueError, KeyError, TypeError, OSError) as error:
            raise ModelError(f"{path}: does not fit {PREFIX}{family}: {str(error).splitlines()[0][:200]}") from None
    missing = sorted(name for name in info["missing_keys"] if not set(UNUSED) & set(name.split(".")))
    other = sorted(str(found[0] if isinstance(found, tuple) else found) for found in info["mismatched_keys"])
    new = [name for name in missing if name.startswith(("classifier.", "fc_norm.", "pooler."))]
    wrong = [f"{name} missing" for name in missing if name not in new]
    wrong += [f"{name} has another shape" for name in other if not name.startswith("classifier.")]
    if wrong:
        raise ModelError(f"{path}: does not fit {PREFIX}{family}: {'; '.join(wrong[:3])}")
    classifier = None if new or other else model.classifier
    backbone, num_features = _stripped(model.float())
    return backbone, num_features, classifier


def checked_options(family: str, given: Mapping[str, Any], *, path: str) -> dict[str, Any]:
    """The numbers of ``config.json`` that build the network, with the defaults of transformers.

    Raises:
        ModelError: a value that no network can be built from.
    """
    with _quiet(require_transformers()) as transformers:
        known = _names(transformers, family)
        try:
            config = _config(transformers, family, given)
            with torch.device("meta"):
                _class_of(transformers, family)(config)
        except Exception as error:  # transformers checks values by errors of several libraries, with no common base
            raise ModelError(f"{path}: no {PREFIX}{family} can be built ({str(error).splitlines()[0][:200]})") from None
        return {name: value for name, value in config.to_dict().items() if name in known}


def configured(family: str, options: Mapping[str, Any]) -> LibraryConfig:
    """The published configuration of a family, with the frames and the size of its options."""
    config = TRANSFORMERS_VIDEO[f"{PREFIX}{family}"]
    size = options.get("image_size", options.get("crop_size", config.crop_size))
    frames = options.get("num_frames", options.get("frames_per_clip", config.num_frames))
    if not isinstance(size, int) or not isinstance(frames, int):
        raise ModelError(f"config.json: image size {size!r}, {frames!r} frames; expected whole numbers")
    interval = 2 if family == "vjepa2" and frames > config.num_frames else config.frame_interval
    return replace(config, num_frames=frames, frame_interval=interval, crop_size=size, options=dict(options))


@contextmanager
def _quiet(transformers: Any) -> Iterator[Any]:
    """Inside, transformers prints no reports and no bars: omni says itself what is missing."""
    logging: Any = transformers.utils.logging
    level, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if has_bars:
            logging.enable_progress_bar()


def _class_of(transformers: Any, family: str) -> Any:
    return getattr(transformers, f"{CLASS_NAMES[family]}ForVideoClassification")


def _names(transformers: Any, family: str) -> set[str]:
    """Options of the family's own configuration class, none of those that all models share."""
    cls = getattr(transformers, f"{CLASS_NAMES[family]}Config")
    shared = {field.name for field in fields(transformers.PretrainedConfig)}
    return {field.name for field in fields(cls)} - shared - {"model_type"}


def _config(transformers: Any, family: str, options: Mapping[str, Any]) -> Any:
    """A configuration of the installed version; names that the family does not have are left out."""
    known = _names(transformers, family)
    own = {name if name in known else OTHER_NAMES.get(name, name): value for name, value in options.items()}
    cls = getattr(transformers, f"{CLASS_NAMES[family]}Config")
    return cls(**{name: value for name, value in own.items() if name in known})


def _stripped(model: Any) -> tuple[nn.Module, int]:
    num_features = int(model.config.hidden_size)
    _give_drop_path(model)
    model.classifier = nn.Identity()
    for name in UNUSED:
        if hasattr(getattr(model, model.base_model_prefix), name):
            delattr(getattr(model, model.base_model_prefix), name)
    return ClipBackbone(model), num_features


def _give_drop_path(model: Any) -> None:
    """Blocks of TimeSformer and V-JEPA 2 have an identity where their rate is 0; VideoMAE and ViViT have no drop path.

    Theirs, as of VideoMAE's own code, drops the two residual branches of each sample: after the dropout before the sum.
    """
    stochastic_depth = library("torchvision.ops").StochasticDepth
    for layer in find_blocks(model).values():
        if isinstance(getattr(layer, "drop_path", None), nn.Identity):
            layer.drop_path = stochastic_depth(0.0, "row")
        elif not hasattr(layer, "drop_path"):
            for owner in [module for module in layer.modules() if hasattr(module, "dropout")]:
                if isinstance(dropout := owner.dropout, nn.Dropout):
                    owner.dropout = nn.Sequential(dropout, stochastic_depth(0.0, "row"))


VIDEOMAE = LibraryConfig(
    build=partial(build, "videomae"), num_frames=16, frame_interval=4, short_side=224, num_clips=5, crops="three",
    is_test_tight=True, is_fixed=True,
)  # fmt: skip
GREY = (114.75, 114.75, 114.75)
TRANSFORMERS_VIDEO = {
    f"{PREFIX}videomae": VIDEOMAE,
    f"{PREFIX}timesformer": replace(
        VIDEOMAE, build=partial(build, "timesformer"), num_frames=8, frame_interval=32, num_clips=1, mean=GREY,
        std=(57.375, 57.375, 57.375),
    ),
    f"{PREFIX}vivit": replace(
        VIDEOMAE, build=partial(build, "vivit"), num_frames=32, frame_interval=2, short_side=256, num_clips=4,
        is_test_tight=False, mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5),
    ),
    f"{PREFIX}vjepa2": replace(
        VIDEOMAE, build=partial(build, "vjepa2"), short_side=292, crop_size=256, num_clips=2, is_fixed=False
    ),
}  # fmt: skip
