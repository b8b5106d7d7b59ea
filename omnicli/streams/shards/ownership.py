"""Existing shards in the folder of a run: overwritten only with the output that names them, by one run at a time.

Lines refer to shards by file name and row. If another run replaced ``DIR/00000.h5``, the lines of the first run would
silently refer to other frames.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from omnicli.errors import OutputError
from omnicli.streams.files.media_files import open_binary
from omnicli.streams.files.stored import file_exists, folder_names, make_folder, remove_file
from omnicli.streams.files.urls import shown, url_of
from omnicli.streams.read.line_reader import read_lines
from omnicli.streams.shards.format import shard_errors
from omnicli.streams.shards.opening import stage_of
from omnicli.streams.write.locks import open_locked
from omnicli.streams.write.staging import local_twin

ROW_FIELD = b'"row":'


class _Row(msgspec.Struct):
    path: str | None = None
    row: int | None = None


def find_shards(directory: Path, prefix: str) -> list[Path]:
    """The existing shards ``PREFIX00000.h5``, ``PREFIX00001.h5``, ..., in order."""
    folder, name = (directory / f"{prefix}x").parent, Path(f"{prefix}x").name[:-1]
    if url_of(folder) is None and not folder.is_dir():
        return []
    found = (folder / name for name in folder_names(str(folder)))
    found = (path for path in found if path.suffix == ".h5" and path.name.startswith(name))
    return sorted(path for path in found if len(number := path.stem[len(name) :]) == 5 and number.isdigit())


@contextlib.contextmanager
def hold_shards(directory: Path, prefix: str) -> Iterator[None]:
    """Lock the shards of this prefix against other processes during the block.

    A killed run leaves ``.PREFIX00000.h5.lock``, an empty file that does not lock anything.

    Raises:
        OmniError: another process is writing them.
        OutputError: the folder cannot be made or written.
    """
    first = directory / f"{prefix}00000.h5"
    with shard_errors(directory):
        make_folder(first.parent)
        place = local_twin(first) if url_of(first) else first
        lock = place.with_name(f".{place.name}.lock")
        file = open_locked(lock, str(directory))
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def require_shards(directory: Path, prefix: str, num_shards: int) -> None:
    """Check that the shards which an unfinished run has written are here, whatever path of the folder it was given.

    Raises:
        OutputError: one is not.
    """
    found = {path.name for path in find_shards(directory, prefix)} if num_shards else set()
    for index in range(num_shards):
        path = directory / f"{prefix}{index:05d}.h5"
        if path.name not in found:
            raise OutputError(
                f"{shown(path)}: does not exist, and the unfinished run has written {num_shards:,} shards; give their "
                "folder, or use --no-resume"
            )


def refuse_shards_of_others(directory: Path, prefix: str, out: Path | None) -> None:
    """Check that no other output names the shards of this prefix.

    Args:
        directory: of ``--shards``.
        prefix: of the file names.
        out: the output, which may exist and is overwritten with its shards; None for stdout.

    Raises:
        OutputError: shards exist that ``out`` does not name.
    """
    found = find_shards(directory, prefix)
    ours = {path.resolve() for path in (*found, directory / f"{prefix}00000.h5")}  # the first may have been removed
    if found and not (out is not None and _first_shard_of(out) in ours):
        raise _exists(found[0])


def refuse_shards_of_other_stages(directory: Path, prefix: str, stage: str) -> None:
    """Check that this stage wrote all shards of this prefix, for a stage whose lines name media.

    Raises:
        OutputError: another stage wrote a shard, or a shard cannot be read.
    """
    for path in find_shards(directory, prefix):
        if stage_of(path) != stage:
            raise _exists(path)


def remove_later_shards(directory: Path, prefix: str, num_shards: int) -> None:
    """Remove the shards of a longer, earlier run, which no line names any more. Raises OutputError."""
    for path in find_shards(directory, prefix):
        if int(path.stem[-5:]) >= num_shards:
            try:
                remove_file(path)
            except OSError as error:
                raise OutputError(f"{path}: cannot remove: {error.strerror}") from None


def _exists(path: Path) -> OutputError:
    return OutputError(
        f"{path} already exists, and lines of an earlier run may name it; "
        "use another folder for --shards, or remove its shards first"
    )


def _first_shard_of(out: Path) -> Path | None:
    """The shard in the first line that names a row, or None."""
    if not file_exists(out) if url_of(out) else not out.is_file():
        return None
    with open_binary(str(out)) as file:
        for batch in read_lines(file if url_of(out) else file.fileno(), name=str(out)):
            for line in batch.lines:
                if ROW_FIELD not in line:
                    continue
                try:
                    named = msgspec.json.decode(line, type=_Row)
                except msgspec.MsgspecError:
                    return None  # not written by omni
                if named.row is not None and named.path:
                    return Path(named.path).resolve()
    return None
