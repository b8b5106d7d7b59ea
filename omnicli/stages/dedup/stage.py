"""De-duplication (OmniSource Sec. 3.3): drop web data that are too similar to target data.

    in    web records, and target records: images, videos, folders of frames, rows of feature shards
    out   the same web records in the same order, minus the suspected duplicates, which are rejected with `match`:
          the target's `id` and `path`, both times in seconds, the cosine; and what a second comparison of both frames
          found (``pair_check``)

Frame features of an ImageNet ResNet-50 are whitened and compared pair by pair by their cosine; "the average similarity
among different crops of the same frame is used as the threshold. Similarity above it indicates suspicious duplicates."

Paper: 0.1 % of the web data are rejected; fewer than 10 % of those looked at were real duplicates.
Ours: a video is its frames at 1 FPS, and as similar as its most similar pair of frames; at the threshold counts as
above it; similarities are rounded to 6 decimals before any verdict, so that deciding again from the written line gives
the same. How the target is read: ``target``; what features in bfloat16 do not decide: ``suspects``. ``within`` besides
drops what resembles an earlier record that stays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omnicli.errors import RecordError
from omnicli.media.parallel import Idle, parallel_map
from omnicli.media.record_map import Dropped, keep_drops
from omnicli.reasons import BY_VERDICT, DUPLICATE, REPEAT, unreadable
from omnicli.stages.dedup.frame_database import FrameDatabase
from omnicli.stages.dedup.frame_features import FrameFeatures, FrameReader
from omnicli.stages.dedup.pair_check import PairCheck, Suspicion
from omnicli.stages.dedup.search import may_reach
from omnicli.stages.dedup.suspects import search_block
from omnicli.stages.dedup.target import Target
from omnicli.stages.dedup.whitening import cosines
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.shards.features import as_media
from omnicli.streams.verdicts import NO_VERDICTS, Verdicts

BLOCK_FRAMES = 1024  # web frames searched at once
READ_AHEAD = 256  # records whose features wait while a block is searched
PAUSE_SEC = 0.5  # longer than the gaps between batches of a slow model; a pipe is still answered within a second


@dataclass(frozen=True, kw_only=True)
class DedupRule:
    """What becomes of a record.

    Attributes:
        score_only: nothing is rejected; records gain ``similarity`` and ``nearest``.
        within: also reject records as similar to an earlier kept record.
        as_media: a row of features is written as the image or video that it was made from.
        keep_features: features that this run makes stay with the record, for shards.
    """

    score_only: bool = False
    within: bool = False
    as_media: bool = False
    keep_features: bool = False


def dedup_records(
    records: Iterable[Record],
    *,
    target: Target,
    reader: FrameReader,
    rule: DedupRule,
    check: PairCheck | None = None,
    verdicts: Verdicts = NO_VERDICTS,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """Drop records that resemble the target (OmniSource Sec. 3.3).

    Args:
        records: the crawl.
        target: from ``learn_target``.
        reader: makes or reads features.
        rule: what becomes of a record.
        check: compares the frames of suspects again; None: nothing does.
        verdicts: of people: what they accepted stays although it resembles something, what they rejected leaves.
        on_drop: takes unreadable media, duplicates (with ``match``), repeats, and what people rejected.

    Yields:
        Records that stay, in order; with ``score_only`` all, with ``similarity`` and ``nearest``.
    """
    floor = -1.0 if rule.score_only or target.threshold is None else target.threshold
    stayed = target.database.alike() if rule.within else None
    read = keep_drops(lambda records, on_drop: reader.read(records, on_drop=on_drop), records)
    for unsettled in _blocks(read):
        # "We calculate the cosine similarity of features between the web data and target dataset"
        block, units, similarities, rows = search_block(
            unsettled, target.database, target.whitening, floor=floor, margin=lambda: target.margin, reader=reader
        )
        within = _Within(stayed, units, floor) if stayed is not None else None
        decided: list[_Verdict] = []
        start = 0
        for frames in block:
            if isinstance(frames, Dropped):
                decided.append(_Verdict(*frames))
                continue
            part = slice(start, start + len(frames.features))
            start = part.stop
            try:
                with reading(frames.record):
                    found = _best_match(target.database, frames, similarities[part], rows[part])
                    one = _decide(_outgoing(frames, rule), found, rule, verdicts)
            except RecordError as error:
                one = _Verdict(frames.record, unreadable(error))
            if (
                within
                and one.reason is None
                and (repeated := within.repeated(frames, part))
                and not (verdicts.accepts(one.record))
            ):
                one = _Verdict(one.record, REPEAT, repeated)
            decided.append(one)
        yield from _settle(decided, check, on_drop)


def decide_again(
    records: Iterable[Record], *, threshold: float, verdicts: Verdicts = NO_VERDICTS, on_drop: OnDrop
) -> Iterator[Record]:
    """Drop by the ``similarity`` that an earlier run with ``score_only`` wrote. Raises InputError without one.

    What that run could not read is rejected again for the same reason.
    """
    for record in records:
        if record.why_unreadable and record.get("similarity") is None:
            on_drop(record, record.why_unreadable)
            continue
        is_alike = record.require("similarity") >= threshold
        if verdicts.rejects(record):
            on_drop(record.derive(match=record.require("nearest")) if is_alike else record, BY_VERDICT)
        elif is_alike and not verdicts.accepts(record):
            on_drop(record.derive(match=record.require("nearest")), DUPLICATE)
        else:
            yield record


class _Found(NamedTuple):
    """A match, and the two records whose frames it is about."""

    match: dict[str, Any]
    record: Record
    target: Record


class _Verdict(NamedTuple):
    """A record with its reject reason, None if it stays, and what it resembles."""

    record: Record
    reason: str | None = None
    found: _Found | None = None


def _decide(record: Record, found: _Found | None, rule: DedupRule, verdicts: Verdicts) -> _Verdict:
    """What becomes of a record: similarity "indicates suspicious duplicates"; ``score_only`` rejects nothing."""
    if verdicts.rejects(record):
        return _Verdict(record, BY_VERDICT, found)
    if verdicts.accepts(record):
        return _Verdict(record)
    if found is None or not rule.score_only:
        return _Verdict(record, DUPLICATE if found else None, found)
    return _Verdict(record.derive(similarity=found.match["cosine"], nearest=found.match))


def _settle(verdicts: Sequence[_Verdict], check: PairCheck | None, on_drop: OnDrop) -> Iterator[Record]:
    """Yield what stays and drop the rest, in order; suspects are compared again, together."""
    flagged = [one.found for one in verdicts if one.found is not None]
    suspicions = [
        Suspicion(found.record, found.target, [(found.match["time_sec"], found.match["target_time_sec"])])
        for found in flagged
    ]
    seen = iter(check.check(suspicions) if check else [{}] * len(flagged))
    for record, reason, found in verdicts:
        if reason is None:
            yield record
        else:
            on_drop(record.derive(match={**found.match, **next(seen)}) if found else record, reason)


def _blocks(items: Iterable[FrameFeatures | Dropped]) -> Iterator[list[FrameFeatures | Dropped]]:
    """Collect records until there are ``BLOCK_FRAMES`` frames, or until the input pauses."""
    block: list[FrameFeatures | Dropped] = []
    num_frames = 0
    for item in parallel_map(lambda item: item, items, workers=1, ahead=READ_AHEAD, idle_sec=PAUSE_SEC):
        if not isinstance(item, Idle):
            block.append(item)
            num_frames += 0 if isinstance(item, Dropped) else len(item.features)
        if block and (isinstance(item, Idle) or num_frames >= BLOCK_FRAMES or len(block) >= BLOCK_FRAMES):
            yield block
            block, num_frames = [], 0
    if block:
        yield block


def _outgoing(frames: FrameFeatures, rule: DedupRule) -> Record:
    """The record as it goes on: as it came, or as the media it was made of, or with features that were made now."""
    source = frames.made_of
    is_row = source is not frames.record
    made = as_media(frames.record, source) if rule.as_media and is_row else frames.record.derive()
    if rule.keep_features and not is_row:
        made.arrays = {"features": frames.features, "times": frames.times}
    return made


def _best_match(
    database: FrameDatabase, frames: FrameFeatures, similarities: np.ndarray, rows: np.ndarray
) -> _Found | None:
    """A video is as similar as its most similar frame, the first of equal ones; None if none was found."""
    if not len(rows) or rows.max() < 0:
        return None
    best = int(similarities.argmax())
    row = int(rows[best])
    match, owner = database.match(row, time_sec=float(frames.times[best]), cosine=float(similarities[best]))
    return _Found(match, frames.made_of, owner)


class _Within:
    """The records of one block compared with those that stayed before them, in the block and before it.

    Args:
        stayed: frames of all records that stayed so far; those of the block that stay are added to it.
        units: (Q, d) whitened frames of the whole block.
        floor: the threshold.
    """

    def __init__(self, stayed: FrameDatabase, units: np.ndarray, floor: float) -> None:
        self._stayed = stayed
        self._units = units
        self._floor = floor
        self._first = len(stayed)  # number of the first frame that the block adds
        self._fresh = np.empty_like(units)  # the frames it has added
        self._similarities, self._rows = stayed.search(units, floor)

    def repeated(self, frames: FrameFeatures, part: slice) -> _Found | None:
        """The match of a record whose frames are ``units[part]``; one that repeats nothing stays, and is added."""
        own, similarities, rows = self._units[part], self._similarities[part], self._rows[part]
        fresh = self._fresh[: len(self._stayed) - self._first]
        if len(fresh) and len(own) and may_reach(own, fresh, self._floor):
            exact = cosines(own, fresh)
            nearest = exact.argmax(axis=1)
            found = exact[np.arange(len(own)), nearest]
            is_better = (found >= self._floor) & (found > similarities)
            similarities = np.where(is_better, found, similarities)
            rows = np.where(is_better, self._first + nearest, rows)
        match = _best_match(self._stayed, frames, similarities, rows)
        if match is None:
            self._fresh[len(fresh) : len(fresh) + len(own)] = own
            self._stayed.add(frames.made_of.derive(id=frames.record.get("id")), own, frames.times)
        return match
