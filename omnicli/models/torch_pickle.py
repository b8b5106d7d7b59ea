"""Pickles of tensors read without running anything in them.

``torch.save`` writes pickles, and a pickle is a program. Here every global it names becomes either one of the few
builders of tensors below, which are ours, or an inert stub: nothing is ever imported or called by its name. So the raw
training checkpoints of mmaction2, which pickle ``HistoryBuffer`` and ``builtins.getattr``, can be read. A pickle that
*calls* what only code would call is refused besides, because nobody should go on to use such a file.

The interpreter is Python's own in Python: the C one sets memory aside for any memo index a file claims.
``torch.load(weights_only=True)`` with inert classes (2.14) does not replace it: it refuses protocols 3 to 5 and objects
that take items, checks no checksum, makes gigabytes of a short call of ``bytearray``, and dies of deep tuples as keys.
"""

import io
import pickle
import pickletools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from omnicli.errors import ModelError

MAX_OPCODES = 1_000_000  # of some 500 bytes at most; a ResNet-152 with its optimiser takes 100,000
STORAGES = {  # torch's names of storages → dtypes, by name
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
# what data alone is made of; of the standard library nothing else may even be named
DATA_MODULES = {"collections", "datetime", "decimal", "fractions", "pathlib", "argparse", "enum", "uuid", "array"}
DATA_BUILTINS = {
    *("set", "frozenset", "list", "dict", "tuple", "int", "float", "complex", "str", "bytes", "bytearray", "bool"),
    *("slice", "range", "object", "getattr", "NoneType"),
}
DATA_CALLS = {
    *(("copyreg", "_reconstructor"), ("_codecs", "encode"), ("copy_reg", "_reconstructor")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *(("numpy", "dtype"), ("numpy", "ndarray"), ("torch", "device"), ("torch._utils", "_rebuild_device")),
}
REFUSED_OPCODES = {"EXT1", "EXT2", "EXT4", "PERSID", "INST", "OBJ"}


class StorageRef(NamedTuple):
    """Bytes of tensors, not read yet: their dtype, key in the file, and number of elements."""

    dtype: str
    key: str
    num_elements: int


class TensorRef(NamedTuple):
    """A tensor, not read yet."""

    storage: StorageRef
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Stub:
    """What became of a global that makes no tensor, of its instances and of whatever was done to them: nothing."""

    def __init__(self, module: str = "", name: str = "", *, is_attribute: bool = False) -> None:
        self.module = module
        self.name = name
        self.is_attribute = is_attribute

    def append(self, *_: Any) -> None:
        """Nothing."""

    extend = add = __setitem__ = append


class Builder(NamedTuple):
    """One of ours, in place of a function of torch."""

    build: Callable[..., Any]


class StorageType(NamedTuple):
    """In place of a storage class of torch."""

    dtype: str


def _tensor(storage: StorageRef, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *rest: Any) -> TensorRef:
    if not isinstance(storage, StorageRef):
        raise pickle.UnpicklingError("a tensor without storage")
    numbers = (offset, *size, *stride)
    if len(size) != len(stride) or not all(type(number) is int and number >= 0 for number in numbers):
        raise pickle.UnpicklingError("a tensor with an odd shape")
    if rest and isinstance(rest[-1], StorageType):  # _rebuild_tensor_v3 says the dtype last
        storage = storage._replace(dtype=rest[-1].dtype)
    return TensorRef(storage, offset, tuple(size), tuple(stride))


def _first(value: Any, *rest: Any) -> Any:
    return value


def _mapping(pairs: Sequence[Any] = ()) -> dict[Any, Any]:
    _check_hashable(key for key, _ in pairs)
    return dict(pairs)


def _check_hashable(keys: Iterable[Any]) -> None:
    """``hash`` of a tuple walks through all tuples in it, as deep and as often as a file likes, and nothing ends it."""
    if any(isinstance(part, tuple) for key in keys if isinstance(key, tuple) for part in key):
        raise pickle.UnpicklingError("keys that are nested tuples")


def _from_type(builder: Any, kind: Any, arguments: tuple[Any, ...], state: Any) -> Any:
    return builder.build(*arguments) if isinstance(builder, Builder) else Stub()


BUILDERS = {
    ("torch._utils", "_rebuild_tensor"): Builder(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Builder(_tensor),
    ("torch._utils", "_rebuild_parameter"): Builder(_first),
    ("torch._utils", "_rebuild_parameter_with_state"): Builder(_first),
    ("torch._tensor", "_rebuild_from_type_v2"): Builder(_from_type),
    ("torch", "Size"): Builder(tuple),
    ("collections", "OrderedDict"): Builder(_mapping),
}


class InertUnpickler(pickle._Unpickler):
    """One pickle of a file, as plain data, ``TensorRef`` and ``Stub``.

    Args:
        file: at the first byte of the pickle.
        is_strict: refuse every global that makes no tensor, instead of making a stub of it.
    """

    def __init__(self, file: io.BytesIO, *, is_strict: bool) -> None:
        super().__init__(file, encoding="latin1")
        self.is_strict = is_strict

    def find_class(self, module: str, name: str) -> Any:
        """In place of an import."""
        known = BUILDERS.get((module, name))
        if known is not None:
            return known
        if module in ("torch", "torch.cuda", "torch.storage") and name in STORAGES:
            return StorageType(STORAGES[name])
        if module == "torch" and name in STORAGES.values():
            return StorageType(name)
        if self.is_strict or not may_be_named(module, name):
            raise pickle.UnpicklingError(f"names {module}.{name}"[:80])
        return Stub(module, name)

    def persistent_load(self, pid: Any) -> StorageRef:
        """A storage: ("storage", type, key, device, number of elements, ...)."""
        match pid:
            case ("storage", StorageType(dtype), str(key), _, int(num_elements), *_) if num_elements >= 0:
                return StorageRef(dtype, key, num_elements)
        raise pickle.UnpicklingError("an odd reference to a storage")

    def _make(self, function: Any, arguments: Any) -> Any:
        if isinstance(function, Builder):
            return function.build(*arguments)
        if isinstance(function, Stub) and may_be_called(function):
            is_getattr = (function.module, function.name) in (("builtins", "getattr"), ("__builtin__", "getattr"))
            return Stub(is_attribute=is_getattr or function.is_attribute)
        what = f"{function.module}.{function.name}" if isinstance(function, Stub) else type(function).__name__
        raise pickle.UnpicklingError(f"calls {what.strip('.') or 'an attribute of an object'}"[:80])

    def load_reduce(self) -> None:
        """``function(*arguments)`` and ``class.__new__(class, *arguments)``."""
        arguments, function = self.stack.pop(), self.stack.pop()  # type: ignore[attr-defined]
        self.append(self._make(function, arguments))  # type: ignore[attr-defined]

    def load_newobj_ex(self) -> None:
        """``class.__new__(class, *arguments, **keywords)``."""
        self.stack.pop()  # type: ignore[attr-defined]
        self.load_reduce()

    def load_build(self) -> None:
        """``object.__setstate__(state)``: the state is left out."""
        self.stack.pop()  # type: ignore[attr-defined]

    def load_setitems(self) -> None:
        """``dictionary.update(items)``."""
        self._update(self.pop_mark())  # type: ignore[attr-defined]

    def load_setitem(self) -> None:
        """``dictionary[key] = value``."""
        self._update([self.stack.pop(-2), self.stack.pop()])  # type: ignore[attr-defined]

    def load_dict(self) -> None:
        """``dict(items)``."""
        items = self.pop_mark()  # type: ignore[attr-defined]
        self.append({})  # type: ignore[attr-defined]
        self._update(items)

    def load_additems(self) -> None:
        """``set.update(items)``."""
        _check_hashable(self.stack)  # type: ignore[attr-defined]
        super().load_additems()  # type: ignore[misc]

    def load_frozenset(self) -> None:
        """``frozenset(items)``."""
        _check_hashable(self.stack)  # type: ignore[attr-defined]
        super().load_frozenset()  # type: ignore[misc]

    def _update(self, items: list[Any]) -> None:
        target = self.stack[-1]  # type: ignore[attr-defined]
        if isinstance(target, dict):
            _check_hashable(items[::2])
        elif not isinstance(target, Stub):
            raise pickle.UnpicklingError(f"items for a {type(target).__name__}")
        for index in range(0, len(items) - 1, 2):
            target[items[index]] = items[index + 1]

    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_reduce,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
    }


def may_be_named(module: str, name: str) -> bool:
    """Whether a checkpoint may name this global at all: not what of Python itself could only be there to be run.

    >>> may_be_named("mmengine.logging.history_buffer", "HistoryBuffer"), may_be_named("os", "system")
    (True, False)
    """
    package = module.partition(".")[0]
    if package in ("builtins", "__builtin__"):
        return name in DATA_BUILTINS
    is_pythons = package in sys.stdlib_module_names or package == "copy_reg"
    return not is_pythons or package in DATA_MODULES or (module, name) in DATA_CALLS


def may_be_called(stub: Stub) -> bool:
    """Whether a call of it can be read as the making of an object: of a class, by its name, and of no attribute.

    >>> may_be_called(Stub("mmengine.logging", "HistoryBuffer")), may_be_called(Stub("torch.hub", "load"))
    (True, False)
    """
    if stub.is_attribute or not stub.name or "." in stub.name:
        return False
    if (stub.module, stub.name) in DATA_CALLS or stub.module in ("builtins", "__builtin__"):
        return True
    return stub.name.lstrip("_")[:1].isupper() or stub.module.partition(".")[0] in DATA_MODULES


def read_pickle(file: io.BytesIO, *, path: str, is_strict: bool) -> Any:
    """The pickle that begins where ``file`` stands; leaves it at the byte after.

    Raises:
        ModelError: truncated, over-long, or with anything that is no data.
    """
    start = file.tell()
    try:
        for count, (opcode, _, _) in enumerate(pickletools.genops(file)):
            if opcode.name in REFUSED_OPCODES or count >= MAX_OPCODES:
                raise ModelError(f"{path}: refused: its pickle {'is too long' if count else 'is odd'}")
    except ModelError:
        raise
    except Exception as error:  # pickletools raises whatever decoding raises
        raise ModelError(f"{path}: truncated or not a checkpoint ({_short(error)})") from None
    file.seek(start)
    try:
        return InertUnpickler(file, is_strict=is_strict).load()
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: refused: holds more than tensors and plain data ({_short(error)})") from None
    except (Exception, RecursionError) as error:
        raise ModelError(f"{path}: refused: its pickle is damaged ({_short(error)})") from None


def tensors_in(value: Any) -> Iterator[TensorRef]:
    """Every tensor in nested dictionaries, lists and tuples, each container once however often it is referred to."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, TensorRef):
            yield item
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)


def _short(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:120]
