"""Pickles of arrays and tensors, such as the result files of mmaction2, read as data; see ``torch_pickle``.

NumPy pickles an array as calls of its own functions, and torch a tensor as the bytes of a file of ``torch.save``. Both
are built here from their bytes; every other global stays an inert stub or is refused.
"""

import io
import math
import pickle
import pickletools
import re
from typing import Any

import numpy as np

from omnicli.errors import ModelError
from omnicli.models.torch_pickle import (
    REFUSED_OPCODES,
    STORAGES,
    Builder,
    InertUnpickler,
    StorageRef,
    StorageType,
    read_pickle,
)

MAX_OPCODES = 10_000_000  # of a test set; the scores of 20,000 videos take 600,000
_TYPES = re.compile(r"[<>|=]?[fiub][1248]")
_CORES = ("numpy.core", "numpy._core")


class ArrayRef:
    """An array that is being built; ``values`` is None until its bytes are known."""

    values: np.ndarray | None = None


class TypeRef:
    """A dtype that is being built: NumPy says the byte order after it is made."""

    def __init__(self, code: str) -> None:
        self.code = code

    @property
    def dtype(self) -> np.dtype[Any]:
        """Raises UnpicklingError: not of plain numbers."""
        if not _TYPES.fullmatch(self.code):
            raise pickle.UnpicklingError(f"an array of {self.code[:20]!r}, not of numbers")
        return np.dtype(self.code)


def read_arrays(data: bytes, *, path: str) -> Any:
    """The content of a pickle: lists, dictionaries, numbers and arrays; ``Stub`` for objects of other programs.

    Raises:
        ModelError: truncated, over-long, or with anything that is no data.
    """
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(data)):
            if opcode.name in REFUSED_OPCODES or count >= MAX_OPCODES:
                raise ModelError(f"{path}: refused: its pickle {'is too long' if count else 'is odd'}")
        content = _ArrayUnpickler(io.BytesIO(data), is_strict=False).load()
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: refused: holds more than arrays and plain data ({error})") from None
    except (Exception, RecursionError) as error:  # pickletools and the interpreter raise whatever decoding raises
        raise ModelError(f"{path}: truncated or not a pickle ({str(error)[:120] or type(error).__name__})") from None
    return _plain(content)


class _ArrayUnpickler(InertUnpickler):
    """A pickle with ``ArrayRef`` for arrays."""

    def find_class(self, module: str, name: str) -> Any:
        return _BUILDERS.get((module, name)) or super().find_class(module, name)

    def load_build(self) -> None:
        """``object.__setstate__(state)`` of an array and its dtype; of others the state is left out."""
        state = self.stack.pop()  # type: ignore[attr-defined]
        target = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(target, TypeRef):
            order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
            target.code = (order if order in ("<", ">", "|", "=") else "") + target.code.lstrip("<>|=")
        elif isinstance(target, ArrayRef):
            _, shape, kind, is_fortran, buffer = state
            target.values = _array(buffer, kind, shape, "F" if is_fortran else "C")

    dispatch = {**InertUnpickler.dispatch, pickle.BUILD[0]: load_build}  # noqa: RUF012 (as the base class)


def _array(buffer: Any, kind: Any, shape: Any, order: str = "C") -> np.ndarray:
    if not isinstance(kind, TypeRef) or not isinstance(buffer, bytes | bytearray | str):
        raise pickle.UnpicklingError("an array of objects")
    raw = buffer.encode("latin1") if isinstance(buffer, str) else bytes(buffer)
    return np.frombuffer(raw, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


def _from_buffer(buffer: Any, kind: Any, shape: Any, order: str = "C") -> ArrayRef:
    made = ArrayRef()
    made.values = _array(buffer, kind, shape, order)
    return made


def _scalar(kind: Any, buffer: Any) -> Any:
    return _array(buffer, kind, ())[()].item()


def _storage(data: Any) -> np.ndarray:
    """The numbers of a storage that torch pickled as a file of its old format."""
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError("a storage without bytes")
    file = io.BytesIO(bytes(data))
    *_, content, _keys = (read_pickle(file, path="a tensor", is_strict=True) for _ in range(5))
    if not isinstance(content, StorageRef) or content.dtype not in STORAGES.values() or content.dtype == "bfloat16":
        raise pickle.UnpicklingError("a tensor that is not of plain numbers")
    count = int.from_bytes(file.read(8), "little")
    return np.frombuffer(file.read(), np.dtype(content.dtype), count=count)


def _tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> ArrayRef:
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if not isinstance(storage, np.ndarray) or min((offset, *size, *stride)) < 0:
        raise pickle.UnpicklingError("a tensor without storage")
    made = ArrayRef()
    if math.prod(size) == 0:
        made.values = np.empty(size, storage.dtype)
    elif last >= len(storage):
        raise pickle.UnpicklingError(f"a tensor of {size} in {len(storage)} numbers")
    else:
        steps = [step * storage.itemsize for step in stride]
        made.values = np.lib.stride_tricks.as_strided(storage[offset:], size, steps)
    return made


_BUILDERS: dict[tuple[str, str], Builder] = {
    **{(f"{core}.multiarray", "_reconstruct"): Builder(lambda *_: ArrayRef()) for core in _CORES},
    **{(f"{core}.multiarray", "scalar"): Builder(_scalar) for core in _CORES},
    **{(f"{core}.numeric", "_frombuffer"): Builder(_from_buffer) for core in _CORES},
    ("numpy", "dtype"): Builder(lambda code, *_: TypeRef(str(code))),
    ("torch.storage", "_load_from_bytes"): Builder(_storage),
    ("torch._utils", "_rebuild_tensor_v2"): Builder(_tensor),
    **{(module, "bytes"): Builder(lambda: b"") for module in ("builtins", "__builtin__")},  # empty, in protocol 2
    ("_codecs", "encode"): Builder(lambda text, *_: str(text).encode("latin1")),  # bytes in protocol 2
}


def _plain(value: Any, depth: int = 0) -> Any:
    """The content with arrays in place of references. Raises ModelError."""
    if depth > 20:
        raise ModelError("refused: nested more than 20 deep")
    if isinstance(value, ArrayRef):
        return value.values
    if isinstance(value, dict):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple) and not isinstance(value, StorageRef | StorageType):
        return [_plain(item, depth + 1) for item in value]
    return value
