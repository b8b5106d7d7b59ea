"""Checkpoints: weights and what is needed to use them, in one file that cannot run code.

Ours is a zip that ``torch.load(..., weights_only=True)`` reads, holding
``{"format": "omni-checkpoint", "version": 1, "meta": <JSON>, "state_dict": {name: tensor}}``. The same weights and meta
give the same bytes, so a checkpoint's SHA-256 names it.

A file in another program's format may carry all of that besides: a stamp, the JSON of format, version and meta under
the name ``omni``, in the metadata of a safetensors file or in ``meta`` of one of mmaction2.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from omnicli.errors import ModelError, OutputError
from omnicli.models.torch_file import read_archive
from omnicli.models.weight_names import Layout, bare_names, recognise_layout, to_omni
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.write.atomic import open_replacement

FORMAT = "omni-checkpoint"
VERSION = 1
STAMP = "omni"
ZIP = b"PK\x03\x04"
PICKLE = b"\x80"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        meta: JSON object: ``model`` (a ``ModelSpec``), ``temperature`` (number or null), ``provenance``, ``metrics``.
        state_dict: tensors by name, on the CPU.
        sha256: digest of the file, 64 hex digits.
        path: where it was read from, as given.
        layout: of the file: "omni", or that of another program's file with our stamp.
    """

    meta: dict[str, Any]
    state_dict: dict[str, Tensor]
    sha256: str
    path: str
    layout: Layout | Literal["safetensors"] = "omni"


@dataclass(frozen=True)
class Weights:
    """What a file of another code holds.

    Attributes:
        state_dict: tensors by their own names, on the CPU.
        sha256: digest of the file, 64 hex digits.
        path: where it was read from, as given.
        classes: (K,) names where the file has them, as mmaction's may; else None.
        left_out: what else the file holds, such as the state of an optimiser.
    """

    state_dict: dict[str, Tensor]
    sha256: str
    path: str
    classes: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()


def save_checkpoint(path: str | Path, *, meta: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> str:
    """Write a checkpoint whole or not at all (temporary name beside it, fsync, rename).

    Returns:
        The SHA-256 of the file.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = plain_tensors(state_dict)
    content = {"format": FORMAT, "version": VERSION, "meta": json.dumps(meta, allow_nan=False), "state_dict": tensors}
    return write_whole(path, content)


def plain_tensors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, each with a storage of its own and the usual strides, so that equal weights are equal bytes.

    A view would be written with all of the storage it looks at, and channels-last keeps its strides on a 1x1 kernel.
    """
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state_dict.items()
    }


def make_stamp(meta: Mapping[str, Any]) -> str:
    """What a file in another program's format carries so that it can be read as ours again."""
    return json.dumps({"format": FORMAT, "version": VERSION, "meta": meta}, allow_nan=False)


def save_safetensors(path: str | Path, *, meta: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> str:
    """The same as safetensors, by our names and with our stamp; gives its SHA-256. Raises OutputError."""
    return write_bytes(path, safetensors_bytes(plain_tensors(state_dict), metadata={STAMP: make_stamp(meta)}))


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint of ours.

    Raises:
        ModelError: missing, truncated, not a checkpoint of ours, of a later version, or holding anything but data.
    """
    content, sha256 = read_whole(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(
            f"{path}: not a checkpoint of omni; bare weights are for --init, with --model naming the architecture"
        )
    return _checkpoint(content, sha256, path)


def load_any(path: str | Path) -> Checkpoint | Weights:
    """Read a checkpoint of ours, one that carries our stamp, or the weights of any other file that holds them.

    Raises:
        ModelError: missing, truncated, holding anything that could run, or without weights.
    """
    data = _read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    content = _content(path, data)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _checkpoint(content, sha256, path)
    weights = _weights_in(content, path)
    meta = content.get("meta")
    if not isinstance(meta, dict):
        return Weights(weights, sha256, str(path), left_out=_left_out(content))
    if isinstance(meta.get(STAMP), str):
        return _stamped(meta, weights, sha256, path)
    return Weights(weights, sha256, str(path), _classes_in(meta), _left_out(content))


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from any file of weights: ours, ``.safetensors``, or one of ``torch.save``, new or old.

    Nested under ``state_dict`` or ``model``, and a prefix ``module.`` of data-parallel training, are taken off. Of a
    training checkpoint only the weights are read; what else it pickles becomes nothing (see ``unpickling``).

    Raises:
        ModelError: missing, truncated, holding anything that could run, or without tensors.
    """
    return _weights_in(_content(path, _read_bytes(path)), path)


def _content(path: str | Path, data: bytes) -> Any:
    if Path(path).suffix == ".safetensors" or data[8:10] == b'{"':
        try:
            tensors = dict(load_safetensors(data))
        except (SafetensorError, ValueError, KeyError) as error:
            raise ModelError(f"{path}: not a safetensors file ({error})") from None
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
        return {"meta": metadata, "state_dict": tensors} if STAMP in metadata else tensors
    _check_kind(path, data)
    return read_archive(data, path=str(path), is_strict=False)


def _weights_in(content: Any, path: str | Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content.items() if isinstance(content, dict) else ()
    weights = {str(name).removeprefix("module."): value for name, value in tensors if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(f"{path}: holds no weights; expected names mapped to tensors")
    return weights


def _stamped(their_meta: Mapping[Any, Any], weights: Mapping[str, Tensor], sha256: str, path: str | Path) -> Checkpoint:
    """A file in another program's format that was a checkpoint of ours. Raises ModelError."""
    try:
        fields = json.loads(their_meta[STAMP])
        content = {"version": fields["version"], "meta": json.dumps(fields["meta"]), "state_dict": to_omni(weights)}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged checkpoint (its stamp: {type(error).__name__}: {error})") from None
    # a backbone of timm has the same names in mmaction's layout
    layout = "mmaction2" if "dataset_meta" in their_meta else recognise_layout(bare_names(weights))
    return replace(_checkpoint(content, sha256, path), layout="safetensors" if layout == "omni" else layout)


def _classes_in(meta: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """Class names as mmengine writes them (``dataset_meta``) or as mmcv did (``CLASSES``)."""
    dataset = meta.get("dataset_meta")
    places = (dataset, meta) if isinstance(dataset, dict) else (meta,)
    for names in (place.get(key) for place in places for key in ("classes", "CLASSES")):
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def _left_out(content: Mapping[Any, Any]) -> tuple[str, ...]:
    """What stands beside the weights of a training checkpoint."""
    holders = [key for key in ("state_dict", "model") if isinstance(content.get(key), dict)]
    return tuple(str(key) for key in content if key not in ("meta", holders[0])) if holders else ()


def _checkpoint(content: dict[str, Any], sha256: str, path: str | Path) -> Checkpoint:
    if not isinstance(content.get("version"), int) or content["version"] != VERSION:
        raise ModelError(f"{path}: checkpoint version {content.get('version')}, this omni reads version {VERSION}")
    try:
        meta = json.loads(content["meta"])
        state_dict = dict(content["state_dict"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged checkpoint ({type(error).__name__}: {error})") from None
    if not isinstance(meta, dict):
        raise ModelError(f"{path}: damaged checkpoint (meta is {type(meta).__name__}, expected an object)")
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state_dict.items()):
        raise ModelError(f"{path}: damaged checkpoint (its state_dict holds more than tensors by name)")
    return Checkpoint(meta=meta, state_dict=state_dict, sha256=sha256, path=str(path))


def check_writable(path: str | Path) -> None:
    """Refuse what cannot become a checkpoint, before hours go into it: a file in no folder, a device, a FIFO, a folder.

    Raises:
        OutputError: names the path and what to do.
    """
    final = Path(os.path.realpath(path))
    if not final.parent.is_dir():
        raise OutputError(f"{path}: cannot write: no folder '{Path(path).parent}'; make it first")
    if final.exists() and not final.is_file():
        raise OutputError(f"{path}: cannot write: not a regular file; a checkpoint is written beside it and renamed")


def write_whole(path: str | Path, content: Any) -> str:
    """``torch.save`` of plain data under a temporary name beside ``path``, then fsync and rename; gives the SHA-256.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    buffer = io.BytesIO()  # given a path, torch.save writes the file's name into it, and the bytes would differ
    torch.save(content, buffer)
    return write_bytes(path, buffer.getvalue())


def write_bytes(path: str | Path, data: bytes) -> str:
    """The same for a file that is ready.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    check_writable(path)  # a rename would replace /dev/null itself
    try:
        with open_replacement(Path(path)) as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the checkpoint ({error.strerror})") from None
    return hashlib.sha256(data).hexdigest()


def read_whole(path: str | Path) -> tuple[Any, str]:
    """What ``write_whole`` wrote, and its SHA-256.

    Raises:
        ModelError: missing, truncated or holding code.
    """
    data = _read_bytes(path)
    _check_kind(path, data)
    return read_archive(data, path=str(path), is_strict=True), hashlib.sha256(data).hexdigest()


def _read_bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot read the checkpoint ({error.strerror})") from None


def _check_kind(path: str | Path, data: bytes) -> None:
    """Name what is plainly something else. Raises ModelError."""
    if not data.startswith((ZIP, PICKLE)):
        raise ModelError(f"{path}: not a checkpoint ({_described(data)})")


def _described(data: bytes) -> str:
    """What a file is that is no checkpoint."""
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS: fetch the file with git lfs pull"
    if data[8:10] == b'{"':
        return "safetensors hold bare weights: give them to --init, with --model naming the architecture"
    return sniff(data[:HEAD_BYTES])[1]
