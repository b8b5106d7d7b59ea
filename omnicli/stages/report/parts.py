"""Every record of a stream beside the report page, in parts that the page loads when they are shown.

A part is a script that hands ``PART_SIZE`` rows to the page: a browser loads scripts from a folder, but no other files,
without a server. Rows are sorted by group, kept ones first, most confident first, so that a page of the browser needs
one or two parts.
"""

import contextlib
import json
import re
import shutil
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from omnicli.errors import OutputError
from omnicli.media.parallel import parallel_map
from omnicli.stages.report.cards import RecordCard, make_card
from omnicli.stages.report.record_fields import confidence_of
from omnicli.stages.report.thumbnails import make_thumbnail
from omnicli.streams.record import REJECT_FIELDS, Record
from omnicli.streams.temp_records import NumberedRecords
from omnicli.streams.write.atomic import named_errors

PART_SIZE = 48  # records, as a page of browse.js; about 200 KB
READ_AHEAD = 8  # records per worker
PART_NAME = re.compile(r"\d+\.js")


class AllRecords:
    """The readable records of a stream in TMPDIR, with what they are sorted by: 25 bytes of memory each."""

    def __init__(self) -> None:
        self._records = NumberedRecords()
        self._groups, self._is_rejected, self._confidences = array("q"), array("b"), array("d")
        self._numbers: dict[str, int] = {}

    def add(self, record: Record, group: str, *, is_rejected: bool) -> None:
        """Take one record of a group. Raises OutputError."""
        verdict = {name: record.verdict[name] for name in REJECT_FIELDS if name in record.verdict}
        self._records.add({**record, **verdict})
        self._groups.append(self._numbers.setdefault(group, len(self._numbers)))
        self._is_rejected.append(is_rejected)
        confidence = confidence_of(record)
        self._confidences.append(-1.0 if confidence is None else confidence)

    def counts(self, groups: Sequence[str]) -> list[tuple[int, int]]:
        """Numbers of kept and of rejected records of each group, as ``write`` sorts them."""
        sizes = np.zeros((len(self._numbers), 2), np.int64)
        np.add.at(sizes, (np.array(self._groups), np.array(self._is_rejected)), 1)
        return [tuple(sizes[self._numbers[group]].tolist()) for group in groups]

    def write(self, folder: Path, groups: Sequence[str], *, report: str, root: str | None, workers: int) -> int:
        """Write all parts; the folder appears complete, and replaces one of an earlier report.

        Args:
            folder: of the parts.
            groups: in the order in which they are shown; every group that has a record.
            report: digest that the page knows its parts by.
            root: folder that relative paths start from.
            workers: threads that decode.

        Returns:
            Bytes written.

        Raises:
            OutputError: the folder cannot be written, or is none of a report.
        """
        with _replacing(folder) as made:
            num_bytes = 0
            cards = self._cards(groups, root, workers)
            for number in range(-(-len(self._records) // PART_SIZE)):
                rows = [_row(card) for card in islice(cards, PART_SIZE)]
                text = f"omniPart({json.dumps(report)},{number},{json.dumps(rows, separators=(',', ':'))})\n"
                num_bytes += (made / f"{number}.js").write_text(text, encoding="ascii")
        return num_bytes

    def _cards(self, groups: Sequence[str], root: str | None, workers: int) -> Iterator[RecordCard]:
        rank = np.empty(len(self._numbers), np.int64)
        rank[[self._numbers[group] for group in groups]] = np.arange(len(groups))
        keys = (-np.array(self._confidences), np.array(self._is_rejected), rank[np.array(self._groups)])
        order = np.lexsort(keys)

        def make(number: int) -> RecordCard:
            record = self._records[number]
            outcome = "rejected" if self._is_rejected[number] else "kept"
            return make_card(record, outcome, make_thumbnail(record, root=root, small=True))

        return parallel_map(make, order.tolist(), workers=workers, ahead=READ_AHEAD * workers)


def _row(card: RecordCard) -> list[Any]:
    """What browse.js makes a card from."""
    image = card.thumbnail
    return [
        card.id, card.outcome, card.confidence, card.asked, card.note, card.about, card.what_is_seen, image.uri,
        round(image.aspect, 3), image.num_frames, round(image.duration_sec, 1), image.why_not,
    ]  # fmt: skip


@contextlib.contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A hidden folder beside ``folder`` that takes its place at the end of the block."""
    with named_errors(str(folder)):
        if folder.exists() and not all(PART_NAME.fullmatch(path.name) for path in folder.iterdir()):
            raise OutputError(f"{folder}: exists and holds other files than parts of a report; move it away")
        made = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        try:
            yield made
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
