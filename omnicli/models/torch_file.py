"""Files of ``torch.save``, the zip of today and the stream of before, as plain data and tensors; see ``torch_pickle``.

Memory stays within a few times the size of the file: entries are never decompressed, and all tensors together take no
more bytes than the file has.
"""

import io
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from omnicli.errors import ModelError
from omnicli.models.torch_pickle import StorageRef, TensorRef, read_pickle, tensors_in

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_DEPTH = 100  # of nested containers; that of a training state is 6

ReadStorage = Callable[[StorageRef], bytes]


def read_archive(data: bytes, *, path: str, is_strict: bool) -> Any:
    """What was saved: dictionaries, lists, tuples, numbers, text, tensors on the CPU, and ``Stub`` for all else.

    Args:
        data: the whole file.
        path: for messages.
        is_strict: refuse what would become a stub.

    Raises:
        ModelError: truncated, not a file of ``torch.save``, or holding anything that could run.
    """
    if data[:4] == b"PK\x03\x04":
        content, read_storage = _open_zip(data, path, is_strict)
    else:
        content, read_storage = _open_stream(data, path, is_strict)
    return _Materialiser(read_storage, len(data), path).fill(content)


def _open_zip(data: bytes, path: str, is_strict: bool) -> tuple[Any, ReadStorage]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        entries = {entry.filename: entry for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, RuntimeError, OverflowError) as error:
        raise ModelError(f"{path}: truncated or not a checkpoint ({error})") from None
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or any("/code/" in name for name in entries):
        raise ModelError(f"{path}: not a checkpoint (a zip that torch.save did not write)")
    folder = pickles[0].removesuffix("data.pkl")

    def read(name: str) -> bytes:
        entry = entries.get(folder + name)
        if entry is None:
            raise ModelError(f"{path}: damaged checkpoint (it lacks {name[:40]})")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(data):
            raise ModelError(f"{path}: refused: a compressed archive; torch.save writes none")
        try:
            return archive.read(entry)
        except zipfile.BadZipFile:
            raise ModelError(f"{path}: damaged: the checksum of {name} is wrong; copy or make it again") from None
        except (EOFError, RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: damaged checkpoint ({error})") from None

    if folder + "byteorder" in entries and read("byteorder") != b"little":
        raise ModelError(f"{path}: was written on a big-endian machine, which is not read here")
    content = read_pickle(io.BytesIO(read("data.pkl")), path=path, is_strict=is_strict)
    return content, lambda storage: read(f"data/{storage.key}")


def _open_stream(data: bytes, path: str, is_strict: bool) -> tuple[Any, ReadStorage]:
    """Magic number, protocol, machine, content, keys of storages, then each as a count of elements and its bytes."""
    file = io.BytesIO(data)
    if read_pickle(file, path=path, is_strict=is_strict) != LEGACY_MAGIC:
        raise ModelError(f"{path}: not a checkpoint (a pickle that torch.save did not write)")
    protocol, machine, content, keys = (read_pickle(file, path=path, is_strict=is_strict) for _ in range(4))
    if protocol != LEGACY_PROTOCOL or not isinstance(keys, list) or not isinstance(machine, dict):
        raise ModelError(f"{path}: damaged checkpoint (of torch's old format)")
    if machine.get("little_endian") is not True:
        raise ModelError(f"{path}: was written on a big-endian machine, which is not read here")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors_in(content)}
    spans: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in storages:
            raise ModelError(f"{path}: damaged checkpoint (a storage that no tensor uses)")
        num_elements = int.from_bytes(file.read(8), "little")
        size = num_elements * _dtype(storages[key]).itemsize
        spans[key] = (file.tell(), file.tell() + size)
        if spans[key][1] > len(data):
            raise ModelError(f"{path}: truncated checkpoint (storage {key[:40]})")
        file.seek(size, io.SEEK_CUR)

    def read(storage: StorageRef) -> bytes:
        if storage.key not in spans:
            raise ModelError(f"{path}: damaged checkpoint (it lacks storage {storage.key[:40]})")
        begin, end = spans[storage.key]
        return data[begin:end]

    return content, read


def _dtype(storage: StorageRef) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, storage.dtype)
    return dtype


class _Materialiser:
    """Puts tensors where references to them are; containers and storages that are shared stay shared."""

    def __init__(self, read_storage: ReadStorage, max_bytes: int, path: str) -> None:
        self.read_storage = read_storage
        self.bytes_left = max_bytes
        self.path = path
        self.storages: dict[tuple[str, str], Tensor] = {}
        self.filled: dict[int, tuple[Any, Any]] = {}  # identity → (the container, kept alive; what became of it)

    def fill(self, value: Any, depth: int = 0) -> Any:
        if not isinstance(value, dict | list | tuple) or isinstance(value, StorageRef):
            return value
        if id(value) in self.filled:
            return self.filled[id(value)][1]
        if depth > MAX_DEPTH:
            raise ModelError(f"{self.path}: refused: nested more than {MAX_DEPTH} deep")
        made: Any
        if isinstance(value, tuple):
            made = (
                self._tensor(value)
                if isinstance(value, TensorRef)
                else tuple(self.fill(item, depth + 1) for item in value)
            )
            self.filled[id(value)] = (value, made)
            return made
        made = {} if isinstance(value, dict) else []
        self.filled[id(value)] = (value, made)
        if isinstance(value, dict):
            made.update((key, self.fill(item, depth + 1)) for key, item in value.items())
        else:
            made.extend(self.fill(item, depth + 1) for item in value)
        return made

    def _tensor(self, ref: TensorRef) -> Tensor:
        storage = self._storage(ref.storage)
        count = 1
        for side in ref.size:
            count *= side
        last = ref.offset + sum((side - 1) * step for side, step in zip(ref.size, ref.stride, strict=True))
        if count > storage.numel() or (count and last >= storage.numel()):
            raise ModelError(f"{self.path}: damaged checkpoint (a tensor of {ref.size} in {storage.numel():,} numbers)")
        try:
            return torch.as_strided(storage, ref.size, ref.stride, ref.offset)
        except (RuntimeError, TypeError, OverflowError):  # an empty tensor with a side beyond 64 bits
            raise ModelError(f"{self.path}: damaged checkpoint (a tensor of {ref.size})") from None

    def _storage(self, ref: StorageRef) -> Tensor:
        key = (ref.key, ref.dtype)
        if key not in self.storages:
            data = self.read_storage(ref)
            self.bytes_left -= len(data)
            dtype = _dtype(ref)
            if self.bytes_left < 0 or len(data) % dtype.itemsize:
                raise ModelError(f"{self.path}: damaged checkpoint (storage {ref.key[:40]})")
            empty = torch.empty(0, dtype=dtype)
            self.storages[key] = torch.frombuffer(bytearray(data), dtype=dtype) if data else empty
        return self.storages[key]
