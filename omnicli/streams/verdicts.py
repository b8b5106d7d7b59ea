"""Verdicts of people about records: the lines that a report exports and ``--verdicts`` applies.

    {"id": "web/a.jpg", "about": "record", "verdict": "accept", "class": "archery", "confidence": 0.83,
     "outcome": "kept", "seen": "image", "sample": {"rank": 12, "stratum": 3, "size": 2500}, "report": "5e1c0a9d"}

``id`` and ``verdict`` are required. An accepted record stays whatever its score, a rejected one leaves. ``about`` says
what was asked: "record", whether it shows its class, for ``omni filter``; "duplicate", whether it may stay although it
resembles another record, for ``omni dedup``; without it the line is for both. ``class`` is the class that was asked
about: the verdict holds while the record has that class. The other fields say what was seen, and how it was drawn.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from omnicli.console import named
from omnicli.errors import InputError
from omnicli.streams.class_names import normalise_class
from omnicli.streams.files.stored import read_file, read_stdin
from omnicli.streams.read.line_reader import read_lines, why_absent
from omnicli.streams.record import Record

RECORD, DUPLICATE = "record", "duplicate"
ACCEPT, REJECT = "accept", "reject"

MET = "verdicts: met"  # counts verdicts whose record was read
ACCEPTED = "verdicts: accepted"  # counts records
REJECTED = "verdicts: rejected"
OTHER_CLASS = "verdicts: other class"
FILES_NOT_READ = "files not read"  # counts input files of -o DIR/ that were done before, or failed


class Drawn(msgspec.Struct, frozen=True):
    """The place of a record in the random sample of a report.

    Attributes:
        rank: in the order in which the sample is shown, from 0.
        stratum: number of the stratum that it was drawn from.
        size: records in that stratum.
    """

    rank: int
    stratum: int
    size: int


class Verdict(msgspec.Struct, frozen=True, rename={"class_name": "class"}):
    """One line; see the module."""

    id: str
    verdict: Literal["accept", "reject"]
    about: Literal["record", "duplicate"] | None = None
    class_name: str | None = None
    confidence: float | None = None
    outcome: str | None = None
    seen: str | None = None
    sample: Drawn | None = None
    report: str | None = None
    target: str | None = None
    similarity: float | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """What two lines must agree on: the record, and the class asked about."""
        return self.id, None if self.class_name is None else normalise_class(self.class_name)


def read_verdicts(paths: Sequence[str | Path]) -> list[Verdict]:
    """The lines of all files, without repetitions.

    Raises:
        InputError: a file cannot be read, a line is no verdict, or two lines contradict each other; names FILE:LINE.
    """
    found: dict[tuple[str, str, str | None], tuple[Verdict, str]] = {}
    for path in map(str, paths):
        for number, line in _lines(path):
            where = f"{path}:{number}"
            verdict = _parse(line, where)
            for about in (verdict.about,) if verdict.about else (RECORD, DUPLICATE):
                key = (about, *verdict.key)
                other, at = found.setdefault(key, (verdict, where))
                if other.verdict != verdict.verdict:
                    raise InputError(
                        f"{where}: {verdict.id!r} is {verdict.verdict}ed here and {other.verdict}ed in {at}; "
                        "remove one of the lines"
                    )
                if verdict.sample is not None:
                    found[key] = (verdict, at)
    return list({id(verdict): verdict for verdict, _ in found.values()}.values())


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    with _whole(path) as handle:
        for batch in read_lines(handle, name=path):
            yield from ((batch.first + index, line) for index, line in enumerate(batch.lines) if line.strip())


def _whole(path: str) -> io.BytesIO:
    """The content of a file or stdin; of a pipe it is read again for the digest. Raises InputError."""
    try:
        return io.BytesIO(read_stdin() if path == "-" else read_file(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {why_absent(error)}") from None


def _parse(line: bytes, where: str) -> Verdict:
    try:
        return msgspec.json.decode(line, type=Verdict)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        beginning = line[:60].decode("utf-8", "backslashreplace")
        raise InputError(
            f"{where}: {error}: {beginning!r}; expected a verdict such as "
            '{"id": "a.jpg", "verdict": "accept"}, accept or reject'
        ) from None


def without_defaults(verdict: Verdict) -> dict[str, Any]:
    """The fields of a line that are given, as JSON values."""
    return {name: value for name, value in msgspec.to_builtins(verdict).items() if value is not None}


class Verdicts:
    """Verdicts as a stage applies them.

    Args:
        lines: of ``read_verdicts``.
        about: what the stage decides: RECORD or DUPLICATE.
    """

    def __init__(self, lines: Sequence[Verdict] = (), about: str = RECORD) -> None:
        own = [line for line in lines if line.about in (None, about)]
        self._num_others = len(lines) - len(own)
        self._others = "omni filter" if about == DUPLICATE else "omni dedup"
        self._by_id: dict[str, dict[str | None, str]] = {}
        for line in own:
            self._by_id.setdefault(line.id, {})[line.key[1] if about == RECORD else None] = line.verdict
        self._unmet = dict.fromkeys(self._by_id)

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def accepts(self, record: Record) -> bool:
        """Whether a person wants the record to stay."""
        return bool(self._by_id) and self._find(record) == ACCEPT

    def rejects(self, record: Record) -> bool:
        """Whether a person wants the record to leave."""
        return bool(self._by_id) and self._find(record) == REJECT

    def count(self, record: Record, counters: dict[str, int]) -> None:
        """Count what becomes of a readable record: the ``observe`` of a stage."""
        name = record.get("id")
        if not self._by_id or name not in self._by_id:
            return
        if name in self._unmet:
            del self._unmet[name]
            counters[MET] += 1
        verdict = self._find(record)
        counters[{ACCEPT: ACCEPTED, REJECT: REJECTED}.get(verdict or "", OTHER_CLASS)] += 1

    def closing(self, counters: Mapping[str, int], *, is_whole: bool = True) -> list[str]:
        """Lines about what was applied, and about what was not.

        Args:
            counters: of the run.
            is_whole: all records were read by this process, so that an id that was not met is unknown.
        """
        if not self._by_id and not self._num_others:
            return []
        accepted, rejected, other = (counters.get(key, 0) for key in (ACCEPTED, REJECTED, OTHER_CLASS))
        lines = [f"verdicts: {accepted:,} records accepted, {rejected:,} rejected"]
        if other:
            lines.append(f"{other:,} records have another class than their verdicts are about, so the rule decided")
        num_unknown = len(self._by_id) - counters.get(MET, 0)
        if num_unknown > 0 and is_whole and counters.get("in") and not counters.get(FILES_NOT_READ):
            names = f": {named(self._unmet)}" if len(self._unmet) == num_unknown else ""
            of = f"{num_unknown:,} of {len(self._by_id):,}"
            lines.append(f"{of} verdicts name no readable record of the input{names}")
        if self._num_others:
            lines.append(f"{self._num_others:,} verdicts are for {self._others} --verdicts and had no effect")
        return lines

    def _find(self, record: Record) -> str | None:
        found = self._by_id.get(str(record.get("id")))
        if found is None:
            return None
        name = record.get("pseudo_class")
        return found.get(None if name is None else normalise_class(str(name)), found.get(None))


NO_VERDICTS = Verdicts()
