"""A stream switches from its models to the compiled ones at a record, and keeps its order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.inference import switching
from omnicli.inference.batcher import Batcher
from omnicli.inference.predictor import predict
from omnicli.inference.switching import Compiled, SwitchedBatcher
from omnicli.media.parallel import IDLE


def mean_of(views):
    """(B, 1) of views."""
    return views.flatten(1).float().mean(1, keepdim=True)


@given(
    stream=st.lists(st.one_of(st.tuples(st.integers(0, 5), st.booleans()), st.just(IDLE)), max_size=30),
    batch_size=st.integers(1, 7),
    max_wait=st.integers(1, 4),
)
def test_each_key_has_the_outputs_of_its_own_model_in_the_order_of_the_stream(stream, batch_size, max_wait):
    """Also where keys of both alternate, as chunks of videos that are read together do."""
    items = [
        IDLE if item is IDLE else ((key, item[1]), [np.full((item[0], 1, 2, 2, 3), key, np.uint8)])
        for key, item in enumerate(stream)
    ]
    compiled = Compiled([lambda views: 1000 + mean_of(views)], lambda key: key[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(switching, "MAX_WAIT", max_wait)
        got = list(predict(items, [mean_of], batch_size=batch_size, compiled=compiled))
    assert [key for key, _ in got] == [item[0] for item in items if item is not IDLE]
    for (key, is_compiled), [outputs] in got:
        assert outputs.reshape(-1).tolist() == [key + 1000 * is_compiled] * len(outputs)


def test_a_model_that_is_not_compiled_keeps_its_batches_whole():
    sizes = []

    def plain(views):
        sizes.append(int((views.flatten(1).sum(1) > 0).sum()))
        return mean_of(views)

    items = [(key, [np.ones((3, 1, 2, 2, 3), np.uint8)]) for key in range(4)]
    list(predict(items, [plain], batch_size=6, compiled=Compiled([plain], lambda key: key > 1)))
    assert sizes == [6, 6]


def test_an_incomplete_batch_waits_for_a_few_batches_of_the_other_model():
    ran = {"plain": 0, "compiled": 0}

    def noting(name):
        def run(views):
            ran[name] += 1
            return torch.zeros(len(views), 1)

        return run

    one = np.zeros((1, 1, 2, 2, 3), np.uint8)
    batcher = SwitchedBatcher(Batcher(noting("plain"), 4, 0), Batcher(noting("compiled"), 4, 0), 4)
    batcher.push(one, is_compiled=False)
    for count in range(1, 4 * switching.MAX_WAIT + 1):
        assert ran["plain"] == 0
        batcher.push(one, is_compiled=True)
        assert ran["compiled"] == count // 4
    assert ran["plain"] == 1
    assert batcher.is_next_done
