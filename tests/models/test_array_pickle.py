"""Arrays in pickles, without running anything."""

import os
import pickle

import numpy as np
import pytest
import torch

from omnicli.errors import ModelError
from omnicli.models.array_pickle import read_arrays

SCORES = np.arange(6, dtype=np.float32).reshape(2, 3)


class Evil:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [SCORES, SCORES.T, np.asfortranarray(SCORES), SCORES[0], SCORES.astype(">f8"), np.empty((0, 4)), np.arange(3)],
    ids=["c", "transposed", "fortran", "row", "big-endian", "empty", "int"],
)
def test_arrays_of_every_protocol_are_what_was_pickled(array, protocol):
    read = read_arrays(pickle.dumps([array, {"a": array}], protocol), path="x.pkl")
    for found in (read[0], read[1]["a"]):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype


def test_arrays_of_earlier_numpy_and_single_numbers():
    old = pickle.dumps([SCORES, np.float32(1.5)], 2).replace(b"numpy._core", b"numpy.core")
    read = read_arrays(old, path="x.pkl")
    np.testing.assert_array_equal(read[0], SCORES)
    assert read[1] == 1.5


@pytest.mark.parametrize("protocol", [2, 4])
def test_tensors_are_arrays(protocol):
    tensor = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    read = read_arrays(
        pickle.dumps([{"pred_score": tensor[1], "gt_label": torch.tensor([7])}, tensor.T], protocol), path="x"
    )
    np.testing.assert_array_equal(read[0]["pred_score"], tensor[1].numpy())
    assert read[0]["gt_label"].tolist() == [7]
    np.testing.assert_array_equal(read[1], tensor.T.numpy())


@pytest.mark.parametrize(
    "content",
    [Evil(os.system, "touch ran"), Evil(eval, "1"), np.array([{"a": 1}], dtype=object), Evil(np.load, "x"),
     torch.ones(2, dtype=torch.bfloat16), Evil(torch.load, "x")],
    ids=["system", "eval", "objects", "load", "bfloat16", "torch.load"],
)  # fmt: skip
def test_nothing_runs(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"^x\.pkl: "):
        read_arrays(pickle.dumps([content]), path="x.pkl")
    assert not list(tmp_path.iterdir())


def test_a_cut_pickle_is_named():
    data = pickle.dumps([SCORES])
    for end in range(1, len(data), 7):
        with pytest.raises(ModelError):
            read_arrays(data[:end], path="x.pkl")
