"""How long a run will take, where that can be known: the lines of its input files, counted once the run is long."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from omnicli.commands.options.streams import StreamOptions

AFTER_SEC = 20.0  # Ours: a shorter run is over before anybody asks
BLOCK_BYTES = 1 << 20


class TimeLeft:
    """The time left of a run over plain files of records; unknown for pipes, folders and compressed files.

    Args:
        streams: the inputs of the run.
    """

    def __init__(self, streams: StreamOptions) -> None:
        self._streams = streams
        self._num_records: int | None = None
        self._is_counted = False

    def describe(self, counters: Mapping[str, int], *, num_resumed: int, seconds: float) -> str:
        """``, ETA 0:12:30``; "" while it is unknown.

        Args:
            counters: of the run so far.
            num_resumed: records among them that an earlier process had settled.
            seconds: since the start.
        """
        num_now = counters.get("in", 0) - num_resumed
        if seconds < AFTER_SEC or num_now <= 0:
            return ""
        if not self._is_counted:
            self._num_records, self._is_counted = self._count(), True
        if self._num_records is None:
            return ""
        num_left = max(self._num_records - counters["in"], 0)
        return f", ETA {timedelta(seconds=round(seconds * num_left / num_now))}"

    def _count(self) -> int | None:
        streams = self._streams
        paths = [Path(name) for name in streams.inputs or []]
        if streams.part or streams.files_from or not paths or not all(map(_is_plain, paths)):
            return None
        try:
            total = sum(block.count(b"\n") for path in paths for block in _blocks(path))
        except OSError:
            return None
        return total if streams.limit is None else min(total, streams.limit)


def _is_plain(path: Path) -> bool:
    return path.suffix == ".jsonl" and path.is_file()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
