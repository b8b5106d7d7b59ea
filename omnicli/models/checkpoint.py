"""Checkpoint files: weights and the description of their model, without code that could run.

A checkpoint of omni is a zip that ``torch.load(..., weights_only=True)`` reads, with the content
``{"format": "omni-checkpoint", "version": 1, "meta": <JSON>, "state_dict": {name: tensor}}``. The same weights and meta
give the same bytes, so the SHA-256 of the file identifies the model.

Files in other formats may carry a stamp: format, version and meta as JSON under the key ``omni``, in the metadata of a
safetensors file or in the ``meta`` of a mmaction2 file. Stamped files are read like checkpoints of omni.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from omnicli.errors import ModelError, OutputError
from omnicli.models.onnx.program import Program, is_program, read_program
from omnicli.models.torch_file import read_archive
from omnicli.models.vmz import TORCH_MAGIC, read_blobs
from omnicli.models.weight_names import Layout, bare_name, bare_names, recognise_layout, to_omni
from omnicli.streams.files.sniff import HEAD_BYTES, LFS_MAGIC, sniff
from omnicli.streams.files.stored import read_file
from omnicli.streams.files.urls import url_of
from omnicli.streams.write.atomic import open_replacement

FORMAT = "omni-checkpoint"
VERSION = 1
STAMP = "omni"
ZIP = b"PK\x03\x04"
PICKLE = b"\x80"


@dataclass(frozen=True)
class Checkpoint:
    """Content of a checkpoint of omni, or of a stamped file.

    Attributes:
        meta: JSON object: ``model`` (a ``ModelSpec``), ``temperature`` (number or null), ``provenance``, ``metrics``.
        state_dict: tensors by omni's names, on the CPU.
        sha256: digest of the file, 64 hex digits.
        path: as given.
        layout: of the file.
        program: in an ONNX file, which has no ``state_dict``; else None.
    """

    meta: dict[str, Any]
    state_dict: dict[str, Tensor]
    sha256: str
    path: str
    layout: Layout | Literal["safetensors", "onnx"] = "omni"
    program: Program | None = None


@dataclass(frozen=True)
class Weights:
    """Content of another codebase's file.

    Attributes:
        state_dict: tensors by the names in the file, on the CPU.
        sha256: digest of the file, 64 hex digits.
        path: as given.
        classes: (K,) names, which mmaction2 files may have; else None.
        ignored: other keys of the file, such as the optimizer's state.
        program: in an ONNX file, which has no ``state_dict``; else None.
        meta: that mmaction2 files have; else empty.
    """

    state_dict: dict[str, Tensor]
    sha256: str
    path: str
    classes: tuple[str, ...] | None = None
    ignored: tuple[str, ...] = ()
    program: Program | None = None
    meta: Mapping[Any, Any] = field(default_factory=dict)


def save_checkpoint(path: str | Path, *, meta: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> str:
    """Write a checkpoint atomically and return its SHA-256. Raises OutputError."""
    tensors = plain_tensors(state_dict)
    content = {"format": FORMAT, "version": VERSION, "meta": json.dumps(meta, allow_nan=False), "state_dict": tensors}
    return write_torch_file(path, content)


def plain_tensors(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, so that equal weights give equal bytes.

    ``torch.save`` writes a view with its whole storage, and a channels-last 1x1 kernel with its strides.
    """
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state_dict.items()
    }


def make_stamp(meta: Mapping[str, Any]) -> str:
    """The stamp with which a file in another format can be read as a checkpoint of omni."""
    return json.dumps({"format": FORMAT, "version": VERSION, "meta": meta}, allow_nan=False)


def save_safetensors(path: str | Path, *, meta: Mapping[str, Any], state_dict: Mapping[str, Tensor]) -> str:
    """Write a stamped safetensors file atomically and return its SHA-256. Raises OutputError."""
    return write_bytes(path, safetensors_bytes(plain_tensors(state_dict), metadata={STAMP: make_stamp(meta)}))


def load_any(path: str | Path) -> Checkpoint | Weights:
    """Read a checkpoint of omni, a stamped file, or the weights in any other file; or an ONNX program.

    Raises:
        ModelError: the file is missing, truncated, without weights, or holds code.
        UsageError: an ONNX program, and the extra is not installed.
    """
    data = _read_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if is_program(path, data):
        return _of_program(read_program(path, data), sha256)
    content = _content(path, data)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _checkpoint(content, sha256, path)
    weights = _weights_in(content, path)
    meta = content.get("meta")
    if not isinstance(meta, dict):
        return Weights(weights, sha256, str(path), ignored=_ignored(content))
    if isinstance(meta.get(STAMP), str):
        return _stamped(meta, weights, sha256, path)
    return Weights(weights, sha256, str(path), _classes_in(meta), _ignored(content), meta=meta)


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from any file of weights: a checkpoint, a safetensors file, or a file of ``torch.save``.

    Weights may be nested under ``state_dict`` or ``model``. What wrappers put before names is removed (``bare_name``).
    Pickled objects other than tensors and plain data are never built (see ``torch_pickle``).

    Raises:
        ModelError: the file is missing, truncated, without tensors, or holds code.
    """
    return _weights_in(_content(path, _read_bytes(path)), path)


def _content(path: str | Path, data: bytes) -> Any:
    if (Path(path).suffix == ".safetensors" and not data.startswith(LFS_MAGIC)) or data[8:10] == b'{"':
        try:
            tensors = dict(load_safetensors(data))
        except (SafetensorError, ValueError, KeyError) as error:
            raise ModelError(f"{path}: not a safetensors file ({error})") from None
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
        return {"meta": metadata, "state_dict": tensors} if STAMP in metadata else tensors
    _check_kind(path, data)
    if data.startswith(PICKLE) and not data.startswith(TORCH_MAGIC):
        return read_blobs(data, path=str(path))
    return read_archive(data, path=str(path), is_strict=False)


def _weights_in(content: Any, path: str | Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = content.items() if isinstance(content, dict) else ()
    weights = {bare_name(str(name)): value for name, value in tensors if isinstance(value, Tensor)}
    if not weights:
        raise ModelError(f"{path}: no weights found; expected a mapping of names to tensors")
    return weights


def _stamped(their_meta: Mapping[Any, Any], weights: Mapping[str, Tensor], sha256: str, path: str | Path) -> Checkpoint:
    """The checkpoint in a stamped file. Raises ModelError."""
    try:
        fields = json.loads(their_meta[STAMP])
        content = {"version": fields["version"], "meta": json.dumps(fields["meta"]), "state_dict": to_omni(weights)}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged checkpoint (its stamp: {type(error).__name__}: {error})") from None
    # a timm backbone has the same names in old mmaction's layout
    layout = "mmaction2" if "dataset_meta" in their_meta else recognise_layout(bare_names(weights))
    return replace(_checkpoint(content, sha256, path), layout="safetensors" if layout == "omni" else layout)


def _of_program(program: Program, sha256: str) -> Checkpoint | Weights:
    """What an ONNX program says of its model. Raises ModelError: its stamp is damaged."""
    if STAMP not in program.metadata:
        return Weights({}, sha256, program.path, program=program)
    return replace(_stamped(program.metadata, {}, sha256, program.path), layout="onnx", program=program)


def _classes_in(meta: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """Class names as mmengine (``dataset_meta``) or mmcv (``CLASSES``) writes them."""
    dataset = meta.get("dataset_meta")
    holders = (dataset, meta) if isinstance(dataset, dict) else (meta,)
    for names in (holder.get(key) for holder in holders for key in ("classes", "CLASSES")):
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def _ignored(content: Mapping[Any, Any]) -> tuple[str, ...]:
    """Keys of a training checkpoint beside its weights."""
    holders = [key for key in ("state_dict", "model") if isinstance(content.get(key), dict)]
    return tuple(str(key) for key in content if key not in ("meta", holders[0])) if holders else ()


def _checkpoint(content: dict[str, Any], sha256: str, path: str | Path) -> Checkpoint:
    if not isinstance(version := content.get("version"), int) or version.bit_length() > 63:
        version = "unknown"  # other values may print without end
    if version != VERSION:
        raise ModelError(f"{path}: checkpoint version {version}, this omni reads version {VERSION}")
    try:
        meta, state_dict = json.loads(content["meta"]), dict(content["state_dict"].items())
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: damaged checkpoint ({type(error).__name__}: {error})") from None
    if not isinstance(meta, dict):
        raise ModelError(f"{path}: damaged checkpoint (meta is {type(meta).__name__}, expected an object)")
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state_dict.items()):
        raise ModelError(f"{path}: damaged checkpoint (state_dict must map names to tensors)")
    return Checkpoint(meta=meta, state_dict=state_dict, sha256=sha256, path=str(path))


def check_writable(path: str | Path) -> None:
    """Refuse, before a long training, a path that cannot become a checkpoint.

    Raises:
        OutputError: the folder is missing, or the path is a folder, a device or a FIFO.
    """
    if url_of(path):
        return
    final = Path(os.path.realpath(path))
    if not final.parent.is_dir():
        raise OutputError(f"{path}: cannot write: no folder '{Path(path).parent}'; create it first")
    if final.exists() and not final.is_file():
        raise OutputError(f"{path}: cannot write: not a regular file; a checkpoint is written beside it and renamed")


def write_torch_file(path: str | Path, content: Any) -> str:
    """``torch.save`` plain data atomically and return the SHA-256 of the file. Raises OutputError."""
    buffer = io.BytesIO()  # with a path, torch.save would write the file's name into the file
    torch.save(content, buffer)
    return write_bytes(path, buffer.getvalue())


def write_bytes(path: str | Path, data: bytes) -> str:
    """Write a file atomically and return its SHA-256. Raises OutputError."""
    check_writable(path)  # a rename would replace /dev/null itself
    try:
        with open_replacement(Path(path)) as file:
            file.write(data)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the checkpoint ({error.strerror})") from None
    return hashlib.sha256(data).hexdigest()


def read_torch_file(path: str | Path) -> tuple[Any, str]:
    """Content of a file of ``write_torch_file``, and its SHA-256.

    Raises:
        ModelError: the file is missing, truncated or holds code.
    """
    data = _read_bytes(path)
    _check_kind(path, data)
    return read_archive(data, path=str(path), is_strict=True), hashlib.sha256(data).hexdigest()


def _read_bytes(path: str | Path) -> bytes:
    try:
        if Path(path).is_char_device():  # /dev/zero has no end
            raise ModelError(f"{path}: cannot read the checkpoint (a device)")
        return read_file(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot read the checkpoint ({error.strerror})") from None


def _check_kind(path: str | Path, data: bytes) -> None:
    """Raise ModelError, with the kind of the file, for all but files of ``torch.save``."""
    if data.startswith((ZIP, PICKLE)):
        return
    if is_program(path, data):
        kind = "an ONNX program: it scores media, and gives no weights: give the checkpoint that it was exported from"
    elif data[8:10] == b'{"':
        kind = "a safetensors file of bare weights: give it to --init, with its architecture as --model"
    else:
        kind = sniff(data[:HEAD_BYTES])[1]
    raise ModelError(f"{path}: not a checkpoint ({kind})")
