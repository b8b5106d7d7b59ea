"""Cross-validation against a fit by hand, and against features whose accuracy is known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.dataloader import Example, SourceBatch, StepBatch
from omnicli.streams.record import Record
from omnicli.training.cross_validation import assign_folds, cross_validated_accuracy, fit_classifier


class Inputs:
    """Like CachedFeatureInputs, with features that are given; every epoch draws every example once."""

    def __init__(self, sources, num_classes):
        width = sources[0][0].shape[1]
        self.sampler = SimpleNamespace(sources=[SimpleNamespace(name=name) for name in ("target", "web")])
        self.model = SimpleNamespace(
            network=SimpleNamespace(fc=SimpleNamespace(out_features=num_classes, in_features=width))
        )
        self.parts = tuple(
            SourceBatch(
                torch.tensor(features, dtype=torch.float32), torch.tensor(labels),
                tuple(Example(Record({"id": name}), label) for name, label in zip(ids, labels, strict=True)),
                source=source.name,
            )
            for (features, labels, ids), source in zip(sources, self.sampler.sources, strict=False)
        )  # fmt: skip

    def batches(self, bad, epoch, first_step):
        yield StepBatch(self.parts)


def clips(num_per_class, *, spread, num_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(num_classes), num_per_class).tolist()
    centres = 4 * np.eye(num_classes, 8)
    features = centres[labels] + spread * rng.normal(size=(len(labels), 8))
    return features, labels, [f"clip{number}" for number in range(len(labels))]


def test_separate_classes_are_recognised_and_noise_is_not():
    clear = cross_validated_accuracy(Inputs([clips(4, spread=0.1)], 3), 0.01, {})
    assert clear == pytest.approx(13 / 14)  # 12 of 12
    noise = cross_validated_accuracy(Inputs([clips(20, spread=100.0)], 3), 0.01, {})
    assert noise < 0.6


def test_clips_of_one_video_are_left_out_together():
    """Two pieces of each video are equal: whoever has seen one knows the other."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.normal(size=(12, 8)), 2, axis=0)
    labels = np.repeat(rng.permutation(np.arange(12) % 2), 2).tolist()
    apart = Inputs([(features, labels, [f"v{number}" for number in range(24)])], 2)
    together = Inputs([(features, labels, [f"v{number // 2}" for number in range(24)])], 2)
    for example, number in zip(together.parts[0].examples, range(24), strict=True):
        example.record["parent"] = f"v{number // 2}"
    assert cross_validated_accuracy(apart, 1e-4, {}) > 0.9
    assert cross_validated_accuracy(together, 1e-4, {}) < 0.8


def test_without_a_second_video_of_any_class_nothing_is_known():
    assert cross_validated_accuracy(Inputs([clips(1, spread=0.1)], 3), 0.1, {}) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=60))
def test_folds_keep_origins_whole_and_split_every_class_that_has_two(pairs):
    origins = [f"{label}-{number}" for label, number in pairs]
    labels = [label for label, _ in pairs]
    folds = assign_folds(labels, origins)
    by_origin = {}
    for origin, fold in zip(origins, folds.tolist(), strict=True):
        assert by_origin.setdefault(origin, fold) == fold
    for label in set(labels):
        own = {origin: by_origin[origin] for origin, found in zip(origins, labels, strict=True) if found == label}
        assert len(own) < 2 or len(set(own.values())) > 1


def test_the_fit_is_a_minimum():
    features, labels, _ = clips(10, spread=1.0)
    inputs, wanted = torch.tensor(features, dtype=torch.float32), torch.tensor(labels)
    weights, bias = fit_classifier(inputs, wanted, 3, 0.05)

    def loss(weights, bias):
        error = torch.nn.functional.cross_entropy(inputs @ weights.T + bias, wanted)
        return float(error + 0.025 * (weights.square().sum() + bias.square().sum()))

    best = loss(weights, bias)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        moved = 0.05 * torch.randn(3, 9, generator=generator)
        assert loss(weights + moved[:, :8], bias + moved[:, 8]) > best
