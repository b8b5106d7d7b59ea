"""Shards that lie where a run is to write: overwritten only with the output that names them, by one run at a time.

Lines point into shards by name and row. Were another run to write ``DIR/00000.h5`` anew, the lines of the first would
silently stand for other frames.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from omnicli.errors import OutputError
from omnicli.streams.files.media_files import open_binary
from omnicli.streams.read.line_reader import read_lines
from omnicli.streams.shards.format import named_errors, stage_of
from omnicli.streams.write.locks import open_alone

ROW_FIELD = b'"row":'


class _Row(msgspec.Struct):
    path: str | None = None
    row: int | None = None


def find_shards(directory: Path, prefix: str) -> list[Path]:
    """``PREFIX00000.h5`` and its successors that are there, in order."""
    folder, name = (directory / f"{prefix}x").parent, Path(f"{prefix}x").name[:-1]
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if path.suffix == ".h5" and path.name.startswith(name))
    return sorted(path for path in found if len(number := path.stem[len(name) :]) == 5 and number.isdigit())


@contextlib.contextmanager
def hold_shards(directory: Path, prefix: str) -> Iterator[None]:
    """Let no other process write shards of this prefix during the block; of other prefixes, it may.

    A killed run leaves ``.PREFIX00000.h5.lock``, an empty file that keeps nobody out.

    Raises:
        OmniError: another process is writing them.
        OutputError: the folder cannot be made or written.
    """
    first = directory / f"{prefix}00000.h5"
    lock = first.with_name(f".{first.name}.lock")
    with named_errors(directory):
        first.parent.mkdir(parents=True, exist_ok=True)
        file = open_alone(lock, str(directory))
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                lock.unlink()


def refuse_shards_of_others(directory: Path, prefix: str, out: Path | None) -> None:
    """Check that no other list can name the shards about to be written.

    Args:
        directory: of ``--shards``.
        prefix: of the file names.
        out: the output, perhaps of a finished run, which is overwritten with its shards; None: stdout.

    Raises:
        OutputError: there are shards, and ``out`` does not name them.
    """
    found = find_shards(directory, prefix)
    ours = {path.resolve() for path in (*found, directory / f"{prefix}00000.h5")}  # the first may have been removed
    if found and not (out is not None and _first_shard_of(out) in ours):
        raise _is_there(found[0])


def refuse_shards_of_other_stages(directory: Path, prefix: str, stage: str) -> None:
    """Check the same for a stage whose own lines name media: it overwrites what it wrote, nothing else.

    Raises:
        OutputError: another stage wrote one of the shards that are there, or nobody can tell which.
    """
    for path in find_shards(directory, prefix):
        if stage_of(path) != stage:
            raise _is_there(path)


def remove_later_shards(directory: Path, prefix: str, num_shards: int) -> None:
    """Remove those of a longer run before, which no line names any more. Raises OutputError."""
    for path in find_shards(directory, prefix):
        if int(path.stem[-5:]) >= num_shards:
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(f"{path}: cannot remove: {error.strerror}") from None


def _is_there(path: Path) -> OutputError:
    return OutputError(
        f"{path} is there already, and lines of an earlier run may name it; "
        "give --shards another folder, or remove its shards first"
    )


def _first_shard_of(out: Path) -> Path | None:
    """The shard that the first line with a row names."""
    if not out.is_file():
        return None
    with open_binary(str(out)) as file:
        for batch in read_lines(file.fileno(), name=str(out)):
            for line in batch.lines:
                if ROW_FIELD not in line:
                    continue
                try:
                    named = msgspec.json.decode(line, type=_Row)
                except msgspec.MsgspecError:
                    return None  # no output of ours
                if named.row is not None and named.path:
                    return Path(named.path).resolve()
    return None
