"""Outputs return to the views they were computed from; a batch has one size."""

import numpy as np

from omnicli.inference.batcher import Batcher


def test_views_of_several_keys_share_batches_of_one_size():
    sizes = []

    def forward(views):
        sizes.append(len(views))
        return views.flatten(1).float()[:, :1]

    batcher = Batcher(forward, 4, 0)
    for key, count in enumerate((3, 2, 4)):
        batcher.push(np.full((count, 1, 2, 2, 3), key, np.uint8))
    assert batcher.is_next_done
    assert batcher.pop().tolist() == [[0]] * 3
    batcher.flush()
    assert [batcher.pop().tolist() for _ in range(2)] == [[[1]] * 2, [[2]] * 4]
    assert sizes == [4, 4, 4]
