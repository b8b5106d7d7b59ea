"""Training that starts as a teacher of ``omni zero-shot``: image tower, and the texts of the classes as classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from omnicli.errors import UsageError
from omnicli.models.clip.tower import ClipTSN, TextClassifier, is_clip, new_clip, without_file
from omnicli.models.factory import ModelSpec, load_exactly
from omnicli.models.loading import open_model
from omnicli.streams.class_names import ClassIndex
from omnicli.training.context import TrainingContext
from omnicli.training.recipe_fields import StudentRecipe

OF_CLASSES = ("weight", "bias", "text")  # of a TextClassifier: one row per class


def create_from_texts(
    recipe: StudentRecipe, classes: Sequence[str], context: TrainingContext
) -> tuple[ModelSpec, ClipTSN]:
    """The model of ``recipe.init`` for these classes, on the CPU, and its description.

    Classes are matched by name, in any spelling. Ours: one that the file does not name starts at zero.

    Raises:
        UsageError: no such file, one of another kind of model, or another size of the input.
        ModelError: the file cannot be read.
    """
    name = recipe.model or ""
    if recipe.init in ("scratch", "imagenet"):
        raise without_file(name)
    opened = open_model(recipe.init)
    own = opened.spec
    if not is_clip(own.name) or own.name != name:
        raise UsageError(f"--model {name} --init {recipe.init}: the file holds a {own.name}; give --init FILE alone")
    if recipe.crop_size not in (None, own.crop_size):
        raise UsageError(f"--crop-size {recipe.crop_size}: {name} takes {own.crop_size} pixels; remove it")
    spec = replace(
        own, classes=tuple(classes), num_segments=recipe.num_segments or own.num_segments,
        short_side=recipe.short_side or own.short_side, multi_label=recipe.multi_label,
        dropout=own.dropout if recipe.dropout is None else recipe.dropout,
    )  # fmt: skip
    model = new_clip(name, own.library, len(classes), spec.dropout)
    load_exactly(model.backbone, opened.network.backbone.state_dict(), path=recipe.init, what=name)
    index = ClassIndex(own.classes)
    rows = [index.find(known) for known in classes]
    _copy_classifier(model.fc, cast(TextClassifier, opened.network.fc), rows)
    missing = [known for known, row in zip(classes, rows, strict=True) if row is None]
    if missing:
        context.say(f"{len(missing)} of {len(classes)} classes are not in {recipe.init}, such as {missing[0]!r}")
    return spec, model.to(memory_format=model.memory_format)


@torch.no_grad()
def _copy_classifier(classifier: TextClassifier, source: TextClassifier, rows: Sequence[int | None]) -> None:
    """The rows of the source; ``None`` stays zero."""
    classifier.scale.copy_(source.scale)
    classifier.shift.copy_(source.shift)
    for name in OF_CLASSES:
        for label, row in enumerate(rows):
            if row is not None:
                getattr(classifier, name)[label] = getattr(source, name)[row]


@torch.no_grad()
def mix_weights(model: nn.Module, initial: Mapping[str, Tensor], share: float) -> None:
    """θ = (1 - share) · θ₀ + share · θ, in place (WiSE-FT, Wortsman et al., 2022).

    Args:
        model: trained.
        initial: weights before training.
        share: of the trained weights, in [0, 1].
    """
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(initial[name].to(tensor).lerp(tensor, share))
