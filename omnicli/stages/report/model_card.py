"""The model card of a checkpoint: what it was trained on, what it takes, how well it does, and its limits.

    in    a checkpoint of omni, or an ONNX program that omni wrote
    out   facts in groups, class names and sentences, for the report page

All is read from what the checkpoint stores; nothing is computed by the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnicli.errors import ModelError
from omnicli.models.architectures import find_config_3d
from omnicli.models.checkpoint import Checkpoint, load_any
from omnicli.models.factory import ModelSpec, spec_of
from omnicli.models.licences import is_non_commercial
from omnicli.models.model_files import is_model_folder, local_path
from omnicli.models.strength import FEW_CLIPS

Facts = dict[str, str]
UNKNOWN = "not stored"
RECIPE = (  # options of a training that decide most
    "epochs", "train_clips", "batch_size", "optimizer", "lr", "schedule", "weight_decay", "freeze", "crop", "flip",
    "mixup", "mixup_alpha", "label_smoothing", "randaugment", "drop_path", "layer_decay", "wise_ft", "ratio",
    "auxiliary_label", "target_label", "ema", "seed",
)  # fmt: skip
SILENT: tuple[Any, ...] = (None, "", "none", "nothing", 0, 0.0, [])  # values that say that nothing of the kind was done
METRICS = {
    "val_top1_acc": "top-1",
    "val_top5_acc": "top-5",
    "val_mean_class_acc": "mean of classes",
    "val_mean_ap": "mAP",
}


@dataclass(frozen=True)
class ModelCard:
    """The card of one checkpoint.

    Attributes:
        title: name of the file.
        groups: facts under headings.
        classes: names, in the order of the logits.
        limits: sentences.
    """

    title: str
    groups: Mapping[str, Facts]
    classes: tuple[str, ...]
    limits: tuple[str, ...]


def read_card(path: str | Path) -> ModelCard:
    """The card of a checkpoint.

    Raises:
        ModelError: it cannot be read, or another program wrote it, which says nothing of its training.
        UsageError: an extra is missing.
    """
    local = local_path(path)
    file = None if is_model_folder(local) else load_any(local)
    if not isinstance(file, Checkpoint):
        raise ModelError(f"{path}: not a checkpoint of omni, so little is known about it; omni convert makes one")
    spec, provenance = spec_of(file), _mapping(file.meta.get("provenance"))
    groups = {
        "Model": _model(file, spec),
        "Input": _input(spec),
        "Training": _training(file.meta, provenance),
        "Recipe": _recipe(provenance),
        "Validation accuracy": _accuracy(file.meta),
    }
    shown = {heading: facts for heading, facts in groups.items() if facts}
    return ModelCard(Path(path).name, shown, spec.classes, tuple(_limits(spec, file.meta, provenance)))


def _model(file: Checkpoint, spec: ModelSpec) -> Facts:
    temperature = file.meta.get("temperature")
    return {
        "architecture": spec.name,
        "SHA-256": file.sha256,
        "format": file.layout,
        "licence of the weights": spec.licence or UNKNOWN,
        "scores": f"{'one sigmoid per class' if spec.multi_label else 'softmax'} of {len(spec.classes):,} classes",
        "temperature": f"{temperature:g}" if isinstance(temperature, int | float) else "none fitted",
    }


def _input(spec: ModelSpec) -> Facts:
    mean, std = (", ".join(f"{value:g}" for value in triple) for triple in (spec.mean, spec.std))
    resized = f"by {spec.resize}" if spec.resize else f"to a short side of {spec.short_side}"
    return {
        "frames": _frames(spec),
        "pixels": f"{spec.crop_size} x {spec.crop_size}, resized {resized}",
        "mean (RGB, 0-255)": mean,
        "std": std,
    }


def _frames(spec: ModelSpec) -> str:
    if find_config_3d(spec.name) is None:
        return f"{spec.num_segments} of a video, one per segment; an image as it is"
    return f"clips of {spec.num_frames}, {spec.frame_interval} source frames apart"


def _training(meta: Mapping[str, Any], provenance: Mapping[str, Any]) -> Facts:
    """What the model learnt from; of omni zero-shot and omni convert, where it came from."""
    if provenance.get("command") == "zero-shot":
        source = provenance.get("source", UNKNOWN)
        return {"learnt from": "names of classes alone (omni zero-shot)", "image-text model": str(source),
                "prompts": f"{len(provenance.get('prompts') or ()):,}"}  # fmt: skip
    if provenance.get("command") == "convert":
        return {"converted from": f"{provenance.get('file', UNKNOWN)}, {provenance.get('layout', UNKNOWN)} layout",
                "SHA-256 of it": str(provenance.get("sha256", UNKNOWN))}  # fmt: skip
    counts = _mapping(_mapping(meta.get("trained_on")).get("counts"))
    clips = _mapping(meta.get("strength")).get("clips_per_class")
    initial = _mapping(provenance.get("initial_weights"))
    sources = _mapping(counts.get("auxiliary"))
    named = {f"auxiliary source {name}": _records(sources.get(name)) for name in provenance.get("sources") or sources}
    return {
        "target": _records(counts.get("target")),
        **named,
        "validation": _records(counts.get("val")),
        "labelled clips per class": f"{clips:g} (median)" if isinstance(clips, int | float) else UNKNOWN,
        "initial weights": f"{initial['name']}, backbone SHA-256 {initial.get('sha256')}" if "name" in initial
        else str(provenance.get("init", UNKNOWN)),
        "omni": str(provenance.get("omni", UNKNOWN)),
    }  # fmt: skip


def _records(count: Any) -> str:
    return f"{count:,} records" if isinstance(count, int) else UNKNOWN


def _recipe(provenance: Mapping[str, Any]) -> Facts:
    given = {name: provenance.get(name) for name in RECIPE if (name, provenance.get(name)) != ("layer_decay", 1.0)}
    shown = {name: value for name, value in given.items() if value not in SILENT or value is False}
    return {name.replace("_", " "): _text(value) for name, value in shown.items()}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ":".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _accuracy(meta: Mapping[str, Any]) -> Facts:
    """Metrics of the validation records with the views that gave them, and of cross-validation."""
    metrics, strength = _mapping(meta.get("metrics")), _mapping(meta.get("strength"))
    facts = {text: f"{100 * metrics[name]:.1f} %" for name, text in METRICS.items() if _is_share(metrics.get(name))}
    if facts:
        facts["views"] = str(metrics.get("val_view", UNKNOWN))
    if _is_share(strength.get("cross_val_acc")):
        facts["cross-validation"] = f"{100 * strength['cross_val_acc']:.1f} % of labelled clips that were left out"
    return facts


def _limits(spec: ModelSpec, meta: Mapping[str, Any], provenance: Mapping[str, Any]) -> Iterator[str]:
    """What the model cannot do, and what nobody has measured, a sentence each (Ours)."""
    count = f"{len(spec.classes):,} classes"
    if spec.multi_label:
        yield f"It knows {count} and scores each by itself: media of none have low scores only."
    else:
        yield f"It knows {count}: media that show none of them get a class all the same."
    if find_config_3d(spec.name) is not None:
        yield "It takes clips: images cannot be scored."
    elif not spec.name.startswith("tsm-"):
        yield "It takes single frames: the order of frames makes no difference."
    yield from _limits_of_training(_mapping(meta.get("strength")), has_temperature=meta.get("temperature") is not None)
    if not _accuracy(meta):
        yield "Its accuracy is not stored: test it with omni eval."
    if is_non_commercial(spec.licence):
        yield f"Licence {spec.licence}: the weights, and models trained from them, are not for commercial use."
    elif not spec.licence and provenance.get("init") != "scratch":
        yield "The licence of the weights that it started from is not stored."


def _limits_of_training(strength: Mapping[str, Any], *, has_temperature: bool) -> Iterator[str]:
    clips = strength.get("clips_per_class")
    if clips == 0:
        yield "It learnt from no labelled clips: it knows no more than the words."
        return
    if isinstance(clips, int | float) and clips < FEW_CLIPS:
        yield f"It learnt from {clips:g} labelled clips per class, which are few: omni filter treats it as weak."
    if strength.get("is_student"):
        yield "It learnt from web media whose labels nobody has checked one by one, and may share their mistakes."
    if not has_temperature:
        yield "No temperature was fitted: its confidences may be too high."


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
