"""Accuracy on labelled clips of classifiers that were trained without them.

Ours. ``filter`` needs it to know how far to trust a teacher of few clips, for which a held-out part would be too
small. A classifier on a frozen backbone is fitted in milliseconds, so every clip is left out once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from omnicli.data.dataloader import Example, ExampleKey
from omnicli.models.clip.tower import TextClassifier
from omnicli.streams.record import partition_key
from omnicli.training.inputs import NUM_FROZEN_VIEWS, CachedFeatureInputs

MAX_FOLDS = 20
MAX_SAMPLES = 5_000
NUM_ITERATIONS = 50


class _Samples(NamedTuple):
    """Augmented views of clips: features (N, D), labels (N,), and the example of each."""

    features: Tensor
    labels: Tensor
    examples: Sequence[Example]


def cross_validated_accuracy(inputs: CachedFeatureInputs, decay: float, bad: Mapping[ExampleKey, str]) -> float | None:
    """Top-1 accuracy on target clips that the classifier has not seen; their videos are left out together.

    The classifiers are L2 logistic regressions on what the first epochs draw.
    Ours: (hits + 1) / (clips + 2), so that a few clips do not make a teacher perfect.

    Args:
        inputs: of a teacher with a frozen backbone; their features stay cached for its training.
        decay: L2 weight of the classifier.
        bad: examples that are known to be unreadable.

    Returns:
        None if no class has clips of two videos.
    """
    target = _samples(inputs, bad)
    classifier = inputs.model.network.fc
    known = torch.zeros(len(target.labels), classifier.out_features)
    if isinstance(classifier, TextClassifier):  # what is fitted is the difference from the texts
        with torch.no_grad():
            known = classifier.by_texts(target.features.to(classifier.text.device)).cpu()
        target = target._replace(features=classifier.seen(target.features))
    folds = assign_folds(target.labels.tolist(), [partition_key(example.record) for example in target.examples])
    num_classes = classifier.out_features
    logits = torch.full((len(target.labels), num_classes), torch.nan)
    for fold in range(int(folds.max(initial=-1)) + 1):
        out = torch.from_numpy(folds == fold)
        tested = out & torch.isin(target.labels, torch.unique(target.labels[~out]))
        if not tested.any():
            continue
        weights, bias = fit_classifier(target.features[~out], target.labels[~out], num_classes, decay, known[~out])
        logits[tested] = known[tested] + target.features[tested] @ weights.T + bias
    hits = list(_hits(logits, target))
    return (sum(hits) + 1) / (len(hits) + 2) if hits else None


def assign_folds(labels: Sequence[int], origins: Sequence[str]) -> np.ndarray:
    """(N,) fold of each clip; clips of one origin share a fold, and origins of one class are spread over the folds.

    >>> assign_folds([0, 0, 1, 1], ["a", "b", "c", "c"]).tolist()
    [0, 1, 2, 2]
    """
    first: dict[str, int] = {}
    for label, origin in zip(labels, origins, strict=True):
        first.setdefault(origin, label)
    ordered = sorted(first, key=lambda origin: (first[origin], origin))
    num_folds = min(MAX_FOLDS, len(ordered)) or 1
    fold = {origin: index % num_folds for index, origin in enumerate(ordered)}
    return np.array([fold[origin] for origin in origins], np.int64)


def fit_classifier(
    features: Tensor, labels: Tensor, num_classes: int, decay: float, known: Tensor | float = 0.0
) -> tuple[Tensor, Tensor]:
    """Minimise mean cross-entropy + decay / 2 · squared norm; returns weights (K, D) and biases (K,).

    ``known`` are logits (N, K) that are added to what is fitted.
    """
    parameters = torch.zeros(num_classes, features.shape[1] + 1, requires_grad=True)
    ones = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    optimizer = torch.optim.LBFGS([parameters], max_iter=NUM_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(known + ones @ parameters.T, labels) + decay / 2 * parameters.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted = parameters.detach()
    return fitted[:, :-1], fitted[:, -1]


def _samples(inputs: CachedFeatureInputs, bad: Mapping[ExampleKey, str]) -> _Samples:
    """What the first epochs draw."""
    width = inputs.model.network.fc.in_features
    features, labels, examples = [torch.empty(0, width)], [torch.empty(0, dtype=torch.int64)], []
    for epoch in range(NUM_FROZEN_VIEWS):
        for step in inputs.batches(bad, epoch, 0):
            features += [part.clips for part in step.parts]
            labels += [part.labels for part in step.parts]
            examples += [example for part in step.parts for example in part.examples]
        if len(examples) * (epoch + 2) > MAX_SAMPLES * (epoch + 1):
            break
    return _Samples(torch.cat(features), torch.cat(labels), examples)


def _hits(logits: Tensor, target: _Samples) -> Iterator[bool]:
    """Whether each tested clip is recognised by the mean logits of its views."""
    views: dict[int, list[int]] = {}
    for row, example in enumerate(target.examples):
        views.setdefault(example.number, []).append(row)
    for rows in views.values():
        mean = logits[rows].mean(dim=0)
        if not mean.isnan().any():
            yield int(mean.argmax()) == int(target.labels[rows[0]])
