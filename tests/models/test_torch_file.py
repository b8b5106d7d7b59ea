"""Files of torch.save: all its formats, and bombs of several kinds."""

import io
import os
import pickle
import resource
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import ModelError
from omnicli.models.torch_file import read_archive

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]


def saved(value, *, is_zip=True):
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def read(data, *, is_strict=False):
    return read_archive(data, path="a.pth", is_strict=is_strict)


@pytest.mark.parametrize("is_zip", [True, False])
@given(st.integers(0, 3), st.integers(0, 4), st.sampled_from(DTYPES), st.booleans())
def test_tensors_come_back_as_torch_wrote_them(is_zip, rows, columns, dtype, is_turned):
    tensor = (torch.arange(rows * columns).view(rows, columns) % 2).to(dtype)
    tensor = tensor.T if is_turned else tensor
    value = {"a": [tensor, tensor[1:]], "b": (1, "x"), "c": torch.nn.Parameter(torch.ones(2))}
    back = read(saved(value, is_zip=is_zip), is_strict=True)
    assert torch.equal(back["a"][0], tensor) and back["a"][0].dtype == dtype
    assert torch.equal(back["a"][1], tensor[1:])
    assert torch.equal(back["c"], torch.ones(2)) and back["b"] == (1, "x")


def test_a_module_and_its_optimiser_come_back_strictly():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(4, 2)).sum().backward()
    optimiser.step()
    back = read(saved({"model": model.state_dict(), "optimiser": optimiser.state_dict()}), is_strict=True)
    assert all(torch.equal(back["model"][key], value) for key, value in model.state_dict().items())
    assert back["optimiser"]["param_groups"] == optimiser.state_dict()["param_groups"]


def zipped(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tensor_pickle(size, stride, num_elements, key="0", storage="FloatStorage", offset=0):
    """What torch.save writes for one tensor, with numbers of our choosing."""

    class Storage:
        pass

    class Ref:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, size, stride, False, None)

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return ("storage", getattr(torch, storage), key, "cpu", num_elements) if isinstance(item, Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"a": Ref()})
    return buffer.getvalue()


class Bomb:
    def __reduce__(self):
        return os.system, ("exit 1",)


BAD = {
    "compressed": zipped({"a/data.pkl": tensor_pickle((1,), (1,), 1), "a/data/0": bytes(4)}, zipfile.ZIP_DEFLATED),
    "a zip bomb": zipped(
        {"a/data.pkl": tensor_pickle((10,), (1,), 10), "a/data/0": bytes(300_000_000)}, zipfile.ZIP_DEFLATED
    ),
    "a bomb as the pickle": zipped({"a/data.pkl": b"\x80\x02" + b"]" * 200_000_000}, zipfile.ZIP_DEFLATED),
    "an archive in an archive": zipped({"a/inner.zip": zipped({"a/data.pkl": b"N."})}),
    "two pickles": zipped({"a/data.pkl": b"N.", "b/data.pkl": b"N."}),
    "a script": zipped({"a/data.pkl": b"N.", "a/code/model.py": b"import os"}),
    "code beside weights": saved({"state_dict": {"a": torch.zeros(2)}, "meta": Bomb()}),
    "code in an old file": saved({"a": torch.zeros(2), "b": Bomb()}, is_zip=False),
    "a bare pickle": pickle.dumps({"a": 1}),
    "an expanded tensor": zipped({"a/data.pkl": tensor_pickle((10**12,), (0,), 1), "a/data/0": bytes(4)}),
    "a tensor beyond its storage": zipped({"a/data.pkl": tensor_pickle((4,), (1,), 4), "a/data/0": bytes(8)}),
    "a far offset": zipped({"a/data.pkl": tensor_pickle((1,), (1,), 1, offset=9), "a/data/0": bytes(4)}),
    "a side beyond 64 bits": zipped({"a/data.pkl": tensor_pickle((0, 2**70), (1, 1), 1), "a/data/0": bytes(4)}),
    "a negative stride": zipped({"a/data.pkl": tensor_pickle((2,), (-1,), 2), "a/data/0": bytes(8)}),
    "a storage that is not there": zipped({"a/data.pkl": tensor_pickle((1,), (1,), 1, key="../../etc/passwd")}),
    "an odd number of bytes": zipped({"a/data.pkl": tensor_pickle((1,), (1,), 1), "a/data/0": bytes(7)}),
    "big-endian": zipped({"a/data.pkl": b"N.", "a/byteorder": b"big"}),
    "nested without end": zipped({"a/data.pkl": b"\x80\x02" + b"]" * 5000 + b"a" * 4999 + b"."}),
    "not an archive": b"<html>404</html>",
    "nothing": b"",
    "a tar": b"a.tar" + bytes(600),
    "a broken zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_little_memory(kind):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"^a\.pth: "):
        read(BAD[kind])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("is_zip", [True, False])
@given(st.floats(0, 0.999), st.randoms(use_true_random=False))
def test_a_damaged_file_is_an_error_of_the_model_or_reads_as_other_numbers(is_zip, part, random):
    whole = saved({"state_dict": {"a": torch.arange(50.0), "b": torch.ones(3)}}, is_zip=is_zip)
    with pytest.raises(ModelError):
        read(whole[: int(part * len(whole))])
    flipped = bytearray(whole)
    flipped[random.randrange(len(whole))] ^= 1 << random.randrange(8)
    try:
        read(bytes(flipped))
    except ModelError as error:
        assert str(error).startswith("a.pth: ")


def test_shared_containers_are_filled_once():
    laughs: list = [torch.zeros(1)]
    for _ in range(50):
        laughs = [laughs, laughs]
    back = read(saved(laughs))
    assert back[0] is back[1]


def test_a_raw_training_checkpoint_gives_its_weights_and_nothing_else():
    import argparse

    import numpy as np

    raw = {
        "meta": {"time": "now", "args": argparse.Namespace(lr=1)},
        "state_dict": {"a": torch.ones(3)},
        "message_hub": {"log_scalars": {"loss": np.arange(4.0)}},
    }
    assert torch.equal(read(saved(raw))["state_dict"]["a"], torch.ones(3))
