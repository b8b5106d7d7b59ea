"""Pickles: what is data comes out, what is code is refused, and nothing of it ever runs."""

import argparse
import builtins
import collections
import functools
import importlib
import io
import os
import pathlib
import pickle
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch

from omnicli.errors import ModelError
from omnicli.models.torch_pickle import Stub, TensorRef, read_pickle, tensors_in


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def read(data, *, is_strict=False):
    return read_pickle(io.BytesIO(data), path="a.pth", is_strict=is_strict)


def global_call(module, name, argument):
    """Protocol 0, so that a name which cannot be imported here can be written too."""
    return f"c{module}\n{name}\n(V{argument}\ntR.".encode()


HOSTILE = {
    "os.system": lambda trace: pickle.dumps(Call(os.system, f"touch {trace}")),
    "posix.system": lambda trace: global_call("posix", "system", f"touch {trace}"),
    "nt.system": lambda trace: global_call("nt", "system", f"touch {trace}"),
    "builtins.eval": lambda trace: pickle.dumps(Call(builtins.eval, f"open({str(trace)!r}, 'w')")),
    "builtins.exec": lambda trace: pickle.dumps(Call(builtins.exec, f"open({str(trace)!r}, 'w')")),
    "__builtin__.eval": lambda trace: global_call("__builtin__", "eval", f"open({str(trace)!r}, 'w')"),
    "builtins.open": lambda trace: pickle.dumps(Call(builtins.open, str(trace), "w")),
    "builtins.__import__": lambda trace: pickle.dumps(Call(builtins.__import__, "os")),
    "subprocess.Popen": lambda trace: pickle.dumps(Call(subprocess.Popen, ["touch", str(trace)])),
    "importlib": lambda trace: pickle.dumps(Call(importlib.import_module, "antigravity")),
    "runpy": lambda trace: pickle.dumps(Call(runpy.run_path, str(trace))),
    "functools.partial": lambda trace: pickle.dumps(functools.partial(os.system, f"touch {trace}")),
    "a method of Path": lambda trace: pickle.dumps(Call(pathlib.Path.touch, pathlib.Path(trace))),
    "the same by its dotted name": lambda trace: pickle.dumps(Call(pathlib.Path.touch, pathlib.Path(trace)), 4),
    # getattr(Path(trace), "touch")(), which pickle.dumps will not write
    "a getattr chain": lambda trace: f"cbuiltins\ngetattr\n(cpathlib\nPath\n(V{trace}\ntRVtouch\ntR(tR.".encode(),
    "torch.hub.load": lambda trace: pickle.dumps(Call(torch.hub.load, str(trace), "model")),
    "numpy's runstring": lambda trace: global_call("numpy.testing._private.utils", "runstring", "import os"),
    "pip": lambda trace: global_call("pip._internal", "main", "install"),
    "torch's own loader": lambda trace: pickle.dumps(Call(torch.load, str(trace))),
    "an extension code": lambda trace: b"\x80\x02\x82\x01.",
    "an old-style instance": lambda trace: f"(S'touch {trace}'\nios\nsystem\n.".encode(),
    "a persistent name": lambda trace: b"Pos.system\n.",
    "items for a tensor": lambda trace: b"\x80\x02]K\x01K\x02s.",
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("is_strict", [False, True])
def test_hostile_pickles_are_refused_and_run_nothing(tmp_path, kind, is_strict):
    trace = tmp_path / "trace"
    imported = set(sys.modules)
    data = HOSTILE[kind](trace)
    with pytest.raises(ModelError, match=r"a\.pth: (refused|truncated)"):
        read(data, is_strict=is_strict)
    assert not trace.exists()
    assert {name for name in sys.modules if not name.startswith("encodings.")} <= imported


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes longer than the file
        b"\x80\x02U\x01ar\xff\xff\xff\x7f.",  # a memo index that C's unpickler sets 16 GB aside for
        b"\x80\x02" + b"]" * 2_000_000 + b".",  # more objects than any checkpoint
        b"(" * 100 + b"." * 100,
        b"\x80\x02}",
        b"",
        b"<!DOCTYPE html>",
        b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000 + b"}q\x00h\x00K\x01s.",
    ],
)
def test_damaged_and_oversized_pickles_are_errors_of_the_model_in_little_memory(data):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if data[2:4] == b"U\x01":
        assert read(data) == "a"  # harmless to Python's own interpreter
    else:
        with pytest.raises(ModelError):
            read(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


NESTED = b")" + b"\x85" * 900_000  # ((((),),),): to hash it would take more stack than there is
DOUBLED = b")" + b"q\x00h\x00\x86" * 60  # each holds the one before twice: to hash it would take years


@pytest.mark.parametrize("key", [NESTED, DOUBLED], ids=["nested", "doubled"])
@pytest.mark.parametrize(
    "pickled",
    [
        lambda key: b"}" + key + b"K\x01s.",
        lambda key: b"}(" + key + b"K\x01u.",
        lambda key: b"(" + key + b"K\x01d.",
        lambda key: b"\x8f(" + key + b"\x90.",
        lambda key: b"(" + key + b"\x91.",
        lambda key: b"ccollections\nOrderedDict\n](" + key + b"K\x01\x86e\x85R.",
    ],
    ids=["item", "items", "dict", "set", "frozenset", "OrderedDict"],
)
def test_tuples_made_to_be_hashed_without_end_are_refused(key, pickled):
    """In a process of its own, since what is to be refused would end it."""
    script = (
        "import io, sys; from omnicli.errors import ModelError; from omnicli.models.torch_pickle import read_pickle\n"
        "try: read_pickle(io.BytesIO(sys.stdin.buffer.read()), path='a.pth', is_strict=False)\n"
        "except ModelError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"\x80\x04" + pickled(key), capture_output=True, timeout=300
    )
    assert done.returncode == 0
    assert done.stdout.startswith(b"a.pth: refused: ")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back(protocol):
    value = {"a": [1, 2.5, None, True], "b": ("x", {"c": (1, ("y", 2))}), (1, "z"): 3}
    assert read(pickle.dumps(value, protocol)) == value


def test_sets_and_bytes_come_back():
    value = {"b": ("x", b"y", {"c": {1, (2, 3)}, "d": frozenset("e")})}
    assert read(pickle.dumps(value, 4)) == value
    assert read(pickle.dumps(collections.OrderedDict(a=1), 2), is_strict=True) == {"a": 1}


def test_what_is_neither_data_nor_code_becomes_nothing():
    counts = collections.Counter("aab")
    value = {"args": argparse.Namespace(lr=0.1), "array": np.arange(3), "scalar": np.float64(2), "counts": counts}
    read_back = read(pickle.dumps(value, 2))
    assert all(isinstance(item, Stub) for item in read_back.values())
    with pytest.raises(ModelError, match=r"names argparse\.Namespace"):
        read(pickle.dumps({"args": argparse.Namespace(lr=0.1)}, 2), is_strict=True)


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_that_take_items_are_read_past(protocol):
    """As the settings of Lightning and mmengine do."""
    value = {"defaults": collections.defaultdict(list, a=[1]), "latest": collections.deque([1, 2]), "b": 2}
    back = read(pickle.dumps(value, protocol))
    assert back["b"] == 2
    assert isinstance(back["defaults"], Stub) and isinstance(back["latest"], Stub)


def test_a_history_buffer_of_mmengine_is_read_past():
    history = (
        b"\x80\x02}(X\x01\x00\x00\x00hcmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}"
        b"X\x04\x00\x00\x00meancbuiltins\ngetattr\ncmmengine.logging.history_buffer\nHistoryBuffer\n"
        b"X\x04\x00\x00\x00mean\x86RsbX\x01\x00\x00\x00eK\x05u."
    )
    assert read(history)["e"] == 5


def test_tensors_are_found_once_in_nested_and_cyclic_data():
    cycle: list[object] = []
    cycle.append(cycle)
    ref = TensorRef(None, 0, (1,), (1,))
    assert list(tensors_in({"a": [ref], "b": cycle})) == [ref]


def test_shared_containers_are_walked_once():
    laughs: list[object] = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    assert list(tensors_in(laughs)) == []
