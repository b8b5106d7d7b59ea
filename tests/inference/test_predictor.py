"""A view's output depends on the view alone, and outputs keep the order of the input."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.inference.predictor import predict
from omnicli.media.parallel import IDLE

pauses = st.lists(st.one_of(st.integers(0, 5), st.just(IDLE)), max_size=20)


def mean_and_max(views):
    """(B, T, H, W, 3) uint8 → (B, 2)."""
    flat = views.flatten(1).float()
    return torch.stack([flat.mean(1), flat.amax(1)], dim=1)


def made_views(key, count):
    rng = np.random.default_rng(key)
    return rng.integers(1, 255, (count, 1, 4, 4, 3), dtype=np.uint8)


@given(stream=pauses, batch_size=st.integers(1, 7), in_flight=st.integers(0, 2))
def test_outputs_equal_a_loop_for_any_batching_and_any_pauses(stream, batch_size, in_flight):
    items = [IDLE if item is IDLE else (key, [made_views(key, item)]) for key, item in enumerate(stream)]
    expected = [item for item in items if item is not IDLE]
    got = list(predict(items, [mean_and_max], batch_size=batch_size, keep_in_flight=in_flight))
    assert [key for key, _ in got] == [key for key, _ in expected]
    for (_, [outputs]), (_, [views]) in zip(got, expected, strict=True):
        assert len(outputs) == len(views)
        if len(views):
            np.testing.assert_allclose(outputs, mean_and_max(torch.from_numpy(views)).numpy(), rtol=1e-6)


def test_every_batch_has_the_full_size():
    sizes = []

    def forward(views):
        sizes.append(len(views))
        return mean_and_max(views)

    list(predict([(0, [made_views(0, 3)]), IDLE, (1, [made_views(1, 9)])], [forward], batch_size=4))
    assert sizes == [4, 4, 4, 4]


def test_a_pause_runs_the_incomplete_batch():
    read_on = []

    def items():
        yield "a", [made_views(0, 1)]
        yield IDLE
        read_on.append(True)
        yield "b", [made_views(1, 1)]

    waiting = predict(items(), [mean_and_max], batch_size=64)
    assert next(waiting)[0] == "a"
    assert not read_on  # "a" was yielded before anything after the pause was read


def test_models_may_have_different_numbers_and_sizes_of_views():
    items = [(key, [made_views(key, 2), np.zeros((key, 3, 2, 2, 3), np.uint8)]) for key in range(4)]
    got = list(predict(items, [mean_and_max, mean_and_max], batch_size=3))
    assert [(len(first), len(second)) for _, (first, second) in got] == [(2, 0), (2, 1), (2, 2), (2, 3)]


def test_views_of_another_shape_start_a_new_batch():
    items = [(0, [np.ones((1, 1, 2, 2, 3), np.uint8)]), (1, [np.full((1, 1, 4, 4, 3), 9, np.uint8)])]
    got = [outputs[0][0, 0] for _, outputs in predict(items, [mean_and_max], batch_size=8)]
    assert got == [1.0, 9.0]
