"""Opening an HDF5 shard that anyone may have made: what it claims is checked before any of it is read.

HDF5 follows links to other files, reads datasets that are stored in any file of the machine, and makes room for
whatever size a file claims. A shard needs none of this, so all of it is refused.
"""

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from omnicli.errors import InputError
from omnicli.streams.files.media_files import open_regular, reason_of
from omnicli.streams.files.urls import url_of

FORMAT = "omni-shard"
VERSION = 1
KINDS = ("features", "scores", "frames", "flow")
MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_ROWS = 1 << 24
MAX_CHUNK_BYTES = 64 << 20
MAX_RATIO = 32  # of a compressed dataset of more bytes than a chunk may have
# kind → name → (letters of the dtype's kind, bytes of a number, dimensions)
LAYOUTS: dict[str, dict[str, tuple[str, tuple[int, ...], int]]] = {
    "features": {"counts": ("iu", (4, 8), 1), "features": ("f", (2, 4, 8), 2), "times": ("f", (4, 8), 1)},
    "scores": {"scores": ("f", (2, 4, 8), 2)},
    "frames": {
        "counts": ("iu", (4, 8), 1),
        "frames": ("u", (1,), 1),
        "offsets": ("iu", (8,), 1),
        "times": ("f", (4, 8), 1),
        "spans": ("f", (4, 8), 2),
    },
}
LAYOUTS["flow"] = LAYOUTS["frames"]


def open_checked(path: str, *, again: bool = False) -> tuple[h5py.File, dict[str, Any], dict[str, h5py.Dataset]]:
    """Open a shard for reading.

    Args:
        path: of the file.
        again: this process has checked it before, so its datasets need no check.

    Returns:
        The file, its attributes, and its datasets by name: ``records`` and those of its kind. Each is a dataset of the
        right type in the file itself, that takes no more memory than a few times what is stored.

    Raises:
        InputError: missing, damaged, no shard of this version, or made of links, references or other files.
    """
    file = _open(path)
    try:
        attributes = checked_attributes(file, path)
        names = {"records": ("O", (8,), 1), **LAYOUTS[attributes["kind"]]}
        if again:
            return file, attributes, {name: file[name] for name in names}
        datasets = {name: _checked_dataset(file, name, layout) for name, layout in names.items()}
        _check_lengths(datasets)
    except InputError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise InputError(f"{path}: damaged shard: {first_line(error)}") from None
    return file, attributes, datasets


def checked_attributes(file: h5py.File, path: str) -> dict[str, Any]:
    """The attributes of a shard as Python values. Raises InputError if it is not a shard of this version."""
    if file.get("records", getlink=True) is None:
        raise InputError(f"{path}: not an omni shard (no 'records' dataset)")
    scalar = [name for name in file.attrs if file.attrs.get_id(name).shape == ()]  # others may claim any size
    values = ((name, file.attrs[name]) for name in scalar)
    plain = ((name, value.item() if isinstance(value, np.generic) else value) for name, value in values)
    attributes = {name: value for name, value in plain if isinstance(value, str | int | float)}
    if attributes.get("format") != FORMAT:
        raise InputError(f"{path}: not an omni shard (format is {attributes.get('format')!r}, expected {FORMAT!r})")
    if attributes.get("version") != VERSION:
        raise InputError(f"{path}: shard version {attributes.get('version')!r}, this omni reads {VERSION}")
    if attributes.get("kind") not in KINDS:
        raise InputError(f"{path}: shard kind {attributes.get('kind')!r}, expected one of {', '.join(KINDS)}")
    return attributes


def stage_of(path: Path) -> str | None:
    """The subcommand that wrote the shard; None if it cannot be read."""
    try:
        file, attributes, _ = open_checked(str(path))
    except InputError:
        return None
    file.close()
    stage = attributes.get("stage")
    return None if stage is None else str(stage)


def first_line(error: Exception) -> str:
    """What an error says, in one line without quotes."""
    text = str(error.args[0]) if error.args else type(error).__name__
    return (text.splitlines() or [""])[0]


def has_checked_lines(records: h5py.Dataset) -> bool:
    """True if all lines together are not longer than the file, so that many may be read at once.

    A row is a length and an address; a file made to mislead names one long line in every row.

    Raises:
        ValueError: the lines claim more bytes than the file has.
    """
    if not records.chunks or records.id.get_create_plist().get_nfilters():
        return False
    chunk_rows, total = records.chunks[0], 0
    for start in range(0, len(records), chunk_rows):
        raw = records.id.read_direct_chunk((start,))[1]
        lengths = np.frombuffer(raw, np.uint8).reshape(chunk_rows, -1)[:, :4].copy().view("<u4")
        total += int(lengths[: len(records) - start].sum(dtype=np.int64))
    if total > file_bytes(records.file):
        raise ValueError(f"'records' claims {total:,} bytes of lines")
    return True


def file_bytes(file: h5py.File) -> int:
    """Size of an open file."""
    if file.driver == "fileobj":
        return int(file.id.get_filesize())
    return os.fstat(file.id.get_vfd_handle()).st_size  # what the file says of itself may be wrong


def _open(path: str) -> h5py.File:
    try:
        if url := url_of(path):
            from omnicli.streams.files.remote_file import RemoteFile  # noqa: PLC0415 (most shards are local)

            return h5py.File(RemoteFile(url), "r")
        os.close(open_regular(path))  # HDF5 would wait for a FIFO
        return h5py.File(path, "r", locking=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {_why_not_opened(path, error)}") from None
    except Exception as error:
        raise InputError(f"{path}: damaged shard: {first_line(error)}") from None


def _why_not_opened(path: str, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError) or error.errno:
        return reason_of(error)
    if url := url_of(path):
        return f"truncated, damaged or not an HDF5 file ({url.rpartition('/')[2]})"
    try:
        with Path(path).open("rb") as file:
            head = file.read(len(MAGIC))
    except OSError as inner:
        return reason_of(inner)
    return "truncated or damaged HDF5 file" if head == MAGIC else "not an HDF5 file"


def _checked_dataset(file: h5py.File, name: str, layout: tuple[str, tuple[int, ...], int]) -> h5py.Dataset:
    """The dataset of this name. Raises ValueError if it is not plainly stored in the file."""
    link = file.get(name, getlink=True)
    if link is None:
        raise ValueError(f"no dataset '{name}'")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"'{name}' is a link{' to another file' if isinstance(link, h5py.ExternalLink) else ''}")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"'{name}' is not a dataset")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"'{name}' is stored in other files")
    letters, sizes, num_dims = layout
    dtype = dataset.dtype
    text = h5py.check_string_dtype(dtype)
    is_text = text is not None and text.length is None
    if dtype.kind not in letters or dtype.itemsize not in sizes or (letters == "O" and not is_text):
        raise ValueError(f"'{name}' holds {dtype}")
    if dataset.shape is None or len(dataset.shape) != num_dims:
        raise ValueError(f"'{name}' has shape {dataset.shape}, expected {num_dims} dimensions")
    _check_size(dataset, name)
    return dataset


def _check_size(dataset: h5py.Dataset, name: str) -> None:
    """Raise ValueError for a dataset that would take far more memory than is stored."""
    stored = dataset.id.get_storage_size()
    item_bytes = 16 if dataset.dtype.kind == "O" else dataset.dtype.itemsize
    claimed = item_bytes
    for side in dataset.shape:
        claimed *= side
    chunk = item_bytes
    for side in dataset.chunks or ():
        chunk *= side
    num_bytes = file_bytes(dataset.file)
    is_filtered = dataset.id.get_create_plist().get_nfilters() > 0
    limit = max(MAX_CHUNK_BYTES, MAX_RATIO * stored) if is_filtered else stored
    if claimed and not 0 < stored <= num_bytes:
        raise ValueError(f"'{name}' of shape {dataset.shape} is stored in {stored:,} of {num_bytes:,} bytes")
    if claimed > limit or chunk > MAX_CHUNK_BYTES:
        raise ValueError(f"'{name}' of shape {dataset.shape} claims {claimed:,} bytes and stores {stored:,}")


def _check_lengths(datasets: dict[str, h5py.Dataset]) -> None:
    """Raise ValueError for datasets whose lengths do not belong together."""
    num_rows = len(datasets["records"])
    if num_rows > MAX_ROWS:
        raise ValueError(f"{num_rows:,} rows are too many")
    for name in {"counts", "spans", "scores"} & set(datasets):
        if len(datasets[name]) != num_rows:
            raise ValueError(f"{num_rows:,} records and {len(datasets[name]):,} '{name}'")
    if "spans" in datasets and datasets["spans"].shape[1] != 2:
        raise ValueError(f"'spans' has shape {datasets['spans'].shape}")
    if "counts" not in datasets:
        return
    counts = datasets["counts"][:]
    num_frames = sum(counts.tolist())
    if len(counts) and int(counts.min()) < 0:
        raise ValueError(f"'counts' holds {int(counts.min())}")
    expected = {"times": num_frames, "features": num_frames, "offsets": num_frames + 1 if num_rows else 0}
    for name in set(expected) & set(datasets):
        if len(datasets[name]) != expected[name]:
            raise ValueError(f"{num_frames:,} frames and {len(datasets[name]):,} '{name}'")
