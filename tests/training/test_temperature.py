"""The temperature against a grid of temperatures."""

import numpy as np
import pytest

from omnicli.training.temperature import MAX_TEMPERATURE, MIN_TEMPERATURE, fit_temperature


def negative_log_likelihood(logits, labels, temperature):
    scaled = logits / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]).mean())


@pytest.mark.parametrize(("sharpness", "expected"), [(1.0, 1.0), (2.0, 2.0), (3.5, 3.5)])
def test_it_undoes_overconfidence(sharpness, expected):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 5)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row) for row in scores])
    assert fit_temperature(logits * sharpness, labels) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("seed", range(5))
def test_no_other_temperature_is_likelier(seed):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(size=(60, 4)) * 3, rng.integers(0, 4, 60)
    best = fit_temperature(logits, labels)
    fitted = negative_log_likelihood(logits, labels, best)
    grid = np.linspace(MIN_TEMPERATURE, MAX_TEMPERATURE, 500)
    assert fitted <= min(negative_log_likelihood(logits, labels, t) for t in grid) + 1e-9


def test_it_stays_inside_its_clamps():
    right = np.eye(4)[[0, 1, 2, 3]] * 5
    assert fit_temperature(right, np.array([0, 1, 2, 3])) == MIN_TEMPERATURE
    assert fit_temperature(right, np.array([1, 2, 3, 0])) == MAX_TEMPERATURE
