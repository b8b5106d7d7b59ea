"""Digests of the files that decide an output: another file is another run."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from omnicli.errors import InputError, OmniError
from omnicli.models.model_files import digest_of_model
from omnicli.streams.files.stored import is_fifo, sha256_of
from omnicli.streams.files.urls import shown, url_of


def digest_of(path: Path, error: type[OmniError]) -> str:
    """SHA-256 of a file, hex. Raises ``error`` if it cannot be read."""
    try:
        return sha256_of(path)
    except OSError as problem:
        raise error(f"{shown(path)}: {problem.strerror or problem}".replace("No such file", "no such file")) from None


def digests_of_models(paths: Sequence[Path]) -> list[str]:
    """SHA-256 of checkpoints. Raises ModelError."""
    return [digest_of_model(path) for path in paths]


def digest_of_list(path: Path | None) -> str | None:
    """SHA-256 of a file of names, or None without one. Raises InputError."""
    return digest_of(path, InputError) if path else None


def digests_of_inputs(names: Sequence[str]) -> list[list[str]]:
    """Each name with its digest; of a pipe, what it gave. Raises InputError.

    Ours: a folder is represented by the names and sizes of its files, which takes no reading; media named in a list are
    not read.
    """
    described = []
    for name in names:
        path = Path(name)
        if url_of(name):
            described.append([name, *_digest_of_remote(name)])
        elif path.is_dir():
            described.append([name, _digest_of_folder(path)])
        elif is_fifo(name):  # its name is a number that the shell chooses
            described.append(["a pipe", digest_of(path, InputError)])
        else:
            described.append([name, *([digest_of(path, InputError)] if path.is_file() else [])])
    return described


def _digest_of_remote(url: str) -> list[str]:
    """What a store says of a file, as text; nothing of a folder."""
    from omnicli.streams.files.remote import is_folder
    from omnicli.streams.files.remote_file import remote_identity

    try:
        return [] if is_folder(url) else ["-".join(map(str, remote_identity(url)))]
    except OSError as problem:
        raise InputError(f"{url}: {problem.strerror}") from None


def _digest_of_folder(folder: Path) -> str:
    """SHA-256 of the names and sizes of all files in a folder, hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(os.fsencode(path.relative_to(folder)) + f"\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()
