"""Scores of one model from the logits of its views, and of several models from the scores of each."""

from collections.abc import Sequence

import numpy as np

from omnicli.errors import ModelError
from omnicli.models.loading import LoadedModel
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import Record


def mean_scores(outputs: Sequence[np.ndarray], models: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """Mean of the models' scores (OmniSource Sec. 3.4).

    Args:
        outputs: of each model, the logits (V, K) of its views.
        models: in the same order.
        record: for the error message.

    Returns:
        (K,) float64.

    Raises:
        ModelError: the mean is not finite.
    """
    each = [model_scores(logits, model) for logits, model in zip(outputs, models, strict=True)]
    return _finite_mean(each, models, record)


def chunk_scores(outputs: Sequence[np.ndarray], models: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """(M, K) scores of one chunk of a video: of each of its M frames (2D), or of its only clip (3D, M = 1)."""
    each = [
        _scores_of(logits.astype(np.float64) / model.temperature, model)
        if model.network.is_2d
        else model_scores(logits, model)[None]
        for logits, model in zip(outputs, models, strict=True)
    ]
    return _finite_mean(each, models, record)


def model_scores(logits: np.ndarray, model: LoadedModel) -> np.ndarray:
    """Scores (K,) float64 of one model from the logits (V, K) of its views, at its temperature.

    As in mmaction2, 2D models average logits over views before the softmax, and 3D models average scores after it.
    A multi-label model has a sigmoid per class instead of the softmax, so its scores do not sum to 1.
    """
    scaled = logits.astype(np.float64) / model.temperature
    if model.network.average_views == "logits":
        return _scores_of(scaled.mean(axis=0), model)
    return _scores_of(scaled, model).mean(axis=0)  # type: ignore[no-any-return]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Scores in (0, 1), independent per class; same shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Scores that sum to 1 along the last axis; same shape."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)  # type: ignore[no-any-return]


def align_classes(models: Sequence[LoadedModel]) -> tuple[str, ...]:
    """The class names that all models share, in any spelling; as the first model spells them.

    Raises:
        ModelError: two models differ in their class names or the order of these, or in what their scores are.
    """
    first = models[0]
    for other in models[1:]:
        if other.spec.multi_label != first.spec.multi_label:
            kinds = ("sigmoid" if model.spec.multi_label else "softmax" for model in (other, first))
            raise ModelError(f"{other.name}: {next(kinds)} scores, but {next(kinds)} in {first.name}: no mean of both")
        ours_all, theirs_all = ([normalise_class(name) for name in model.classes] for model in (first, other))
        if ours_all != theirs_all:
            pairs = zip(ours_all, theirs_all, strict=False)
            index = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours_all), len(theirs_all)))
            ours, theirs = ((*classes, "nothing")[index] for classes in (first.classes, other.classes))
            raise ModelError(f"{other.name}: class {index} is {theirs!r}, but {ours!r} in {first.name}")
    return first.classes


def _scores_of(logits: np.ndarray, model: LoadedModel) -> np.ndarray:
    return sigmoid(logits) if model.spec.multi_label else softmax(logits)


def _finite_mean(each: Sequence[np.ndarray], models: Sequence[LoadedModel], record: Record) -> np.ndarray:
    """Mean over models. Raises ModelError where it is not finite."""
    scores: np.ndarray = np.mean(each, axis=0)
    if not np.isfinite(scores).all():
        raise ModelError(f"{models[0].name}: the scores of {record.where} are not finite; is the checkpoint damaged?")
    return scores
