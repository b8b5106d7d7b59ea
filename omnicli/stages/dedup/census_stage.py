"""De-duplication by census signatures (IG-65M A.2): copies that share a second of footage with a target video.

    in    the crawl
    out   the same records in the same order, minus suspected copies, rejected as `duplicate`, or as `repeat` of an
          earlier record of the stream, with `match`: `id`, `path`
          and `media` of the target, `start_sec` and `end_sec` of the longest common run, `target_start_sec` and
          `target_end_sec` in the target, `matched_sec` and `overlap` (seconds and share of the video that match),
          `flipped`; and what a second comparison of three frames found (``pair_check``)

Paper: 16 frames per second, a 64-bit signature per frame, locality-sensitive hashing; the overlap is the matched share
of the source's frames; whatever overlaps is removed, for recall counts more than precision.
Ours: suspect at one second of consecutive matches, whatever the share; images have no second and pass untouched, and
so do videos of less than a second.

Found, of copies of 54 clips of UCF-101 (benchmarks/bench_census_actions6.py): all that were encoded anew at another
size and rate, given bars or mirrored margins, flipped, brightened, played 4 % faster, and all excerpts of 3 seconds in
a minute; at 212 x 160, 15 frames per second and strong compression 53; zoomed by 5 % 52, by 10 % 37. Not found: heavier
crops, images in images, other margins (blurred, a still image), turned or reversed videos, and playing so fast that a
second is another.

Found without being copies: of 281 clips of actions6, searched among those of all other recordings, three of the sea
(Surfing g09, g17; g02, g05), where waves passed for mirrored margins, and what was left was a few bands of water in
both. So a match without margins on either side needs ``MIN_REDUCED_SCORE``, which leaves none of them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from omnicli.cpus import available_cores
from omnicli.errors import InputError, RecordError
from omnicli.media.record_map import map_records
from omnicli.media.source import open_media
from omnicli.reasons import BY_VERDICT, DUPLICATE, REPEAT, unreadable
from omnicli.stages.dedup.census import FPS, Census, take_census
from omnicli.stages.dedup.lsh_index import GrowingIndex, Run, RunRule
from omnicli.stages.dedup.pair_check import PairCheck, Suspicion, shown_fields
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.temp_records import NumberedRecords
from omnicli.streams.verdicts import NO_VERDICTS, Verdicts

RADIUS = 11  # of 64 bits; Ours: copies in actions6 differ in less, other footage in 13 and more
REACH = 17  # of 64 bits; other footage before and behind an excerpt differs in about 32
MIN_RUN = FPS  # frames: a second
MAX_GAP = FPS // 2  # frames without match within a stretch; as REACH, changes times and overlap, no verdict
READ_AHEAD = 4  # records per worker
# Where margins were taken off both, which is four to nine times as many comparisons: as much as a second without a
# differing bit gives, in whatever time. False matches in actions6 have 236 at most, true ones 670 and more.
MIN_REDUCED_SCORE = MIN_RUN * (REACH + 1)
CHECK_AT = (0.25, 0.5, 0.75)  # of a common stretch, for the second comparison

NUM_FRAMES = "census: frames"
NUM_TEXTURELESS = "census: frames with little texture"
NUM_IMAGES = "census: images"
NUM_SHORT = "census: videos under a second"


class CensusTargets:
    """The videos whose copies are looked for: 10 bytes of memory per frame at 16 frames per second, in each framing.

    240,000 videos of 10 seconds take 0.4 GB, those with bars or margins two to four times as much; twice that
    while tables are joined.
    """

    def __init__(self) -> None:
        self._index = GrowingIndex(RunRule(radius=RADIUS, reach=REACH, min_run=MIN_RUN, max_gap=MAX_GAP))
        self._records = NumberedRecords()
        self._ids: list[str] = []
        self._of_stream: set[int] = set()  # those that are no targets, but records that stayed
        self._start_secs: list[float] = []
        self._video_of_track: list[int] = []
        self._is_reduced: list[bool] = []  # by track: without bars or mirrored margins

    def add(self, record: Record, census: Census, *, of_stream: bool = False) -> None:
        """One more target, or a record of the stream that stayed."""
        if of_stream:
            self._of_stream.add(len(self._ids))
        for number, framing in enumerate(census.framings):
            self._index.add(framing.bits, framing.votes)
            self._video_of_track.append(len(self._ids))
            self._is_reduced.append(number > 0)
        self._records.add(record)
        self._ids.append(str(record.require("id")))
        self._start_secs.append(census.start_sec)

    def find(self, census: Census) -> "CensusMatch | None":
        """The best match of a video; None if it shares no second with any.

        Ours: best is the stretch with the most bits in common over the length of it; of equals the target whose id
        comes first, so that the order of targets means nothing. Targets come before records of the stream.
        """
        found = [
            _Found(run, self._video_of_track[run.track], is_flipped)
            for number, framing in enumerate(census.framings)
            for is_flipped, bits in ((False, framing.bits), (True, framing.flipped))
            for run in self._index.runs(bits, framing.votes)
            if number == 0 or not self._is_reduced[run.track] or run.score >= MIN_REDUCED_SCORE
        ]
        if not found:
            return None
        best = min(
            found,
            key=lambda one: (
                one.video in self._of_stream, -one.run.score, self._ids[one.video], one.is_flipped, one.run,
            ),
        )  # fmt: skip
        covered = np.zeros(census.num_frames, bool)
        for one in found:
            if one.video == best.video:
                covered[one.run.source_start : one.run.source_start + one.run.num_frames] = True
        start_sec = census.start_sec + best.run.source_start / FPS
        target_start_sec = self._start_secs[best.video] + best.run.target_start / FPS
        length_sec = best.run.num_frames / FPS
        target = self._records[best.video]
        fields = {
            **shown_fields(target),
            "start_sec": round(start_sec, 3),
            "end_sec": round(start_sec + length_sec, 3),
            "target_start_sec": round(target_start_sec, 3),
            "target_end_sec": round(target_start_sec + length_sec, 3),
            "matched_sec": round(float(covered.sum()) / FPS, 3),
            "overlap": round(float(covered.mean()), 4),
            "flipped": best.is_flipped,
        }
        return CensusMatch(fields, target, best.video in self._of_stream)


class CensusMatch(NamedTuple):
    """A match as it is written, the record that it is with, and whether that one is of the stream."""

    fields: dict[str, Any]
    target: Record
    is_repeat: bool


class _Found(NamedTuple):
    run: Run
    video: int
    is_flipped: bool


def census_targets(
    records: Iterable[Record], *, root: str | None = None, workers: int | None = None, on_drop: OnDrop
) -> CensusTargets:
    """Reads all target videos.

    Args:
        records: videos or folders of frames; images have no second to share and are left out.
        root: folder that relative paths start from.
        workers: threads that read and decode; default all cores.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Raises:
        InputError: two targets have one id.
    """
    targets = CensusTargets()
    lines: dict[str, str] = {}
    for record, census in _censuses(records, root=root, workers=workers, on_drop=on_drop):
        name = str(record.require("id"))
        if name in lines:
            raise InputError(f"{record.where}: id {name!r} is that of {lines[name]} too; targets need ids of their own")
        lines[name] = record.where
        if census is not None:
            targets.add(record, census)
    return targets


def dedup_census_records(
    records: Iterable[Record],
    *,
    targets: CensusTargets,
    within: bool = False,
    root: str | None = None,
    workers: int | None = None,
    counts: Counter[str],
    check: PairCheck | None = None,
    verdicts: Verdicts = NO_VERDICTS,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """Take out what shares a second of footage with a target (A.2).

    Args:
        records: the crawl; several threads decode, and each record is yielded as soon as those before it are.
        targets: of ``census_targets``; empty, with ``within``, to look for copies inside the stream alone.
        within: a record that stays becomes a target for those behind it. Needs the whole stream: no shards or resuming.
        root: folder that relative paths start from.
        workers: threads that read and decode; default all cores.
        counts: gains NUM_FRAMES, NUM_TEXTURELESS, NUM_IMAGES, NUM_SHORT.
        check: compares the frames of suspects again; None: nothing does.
        verdicts: of people, who overrule what was found.
        on_drop: takes suspected copies, with ``match``, and what cannot be read.

    Yields:
        Records without match, in order.
    """
    for record, census in _censuses(records, root=root, workers=workers, on_drop=on_drop):
        try:
            with reading(record):
                found = targets.find(census) if census is not None else None
        except RecordError as error:
            on_drop(record, unreadable(error))
            continue
        _count(census, counts)
        if found is not None and not verdicts.accepts(record):
            seen = check.check([_suspicion(record, found.fields, found.target)])[0] if check else {}
            record = record.derive(match={**found.fields, **seen})
        if verdicts.rejects(record):
            on_drop(record, BY_VERDICT)
            continue
        if found is not None and not verdicts.accepts(record):
            on_drop(record, REPEAT if found.is_repeat else DUPLICATE)
            continue
        if within and census is not None:
            targets.add(record, census, of_stream=True)
        yield record


def _suspicion(record: Record, match: Mapping[str, Any], target: Record) -> Suspicion:
    """Frames of the common stretch to compare again."""
    length_sec = match["end_sec"] - match["start_sec"]
    times = [(match["start_sec"] + part * length_sec, match["target_start_sec"] + part * length_sec)
               for part in CHECK_AT]  # fmt: skip
    return Suspicion(record, target, times)


def _count(census: Census | None, counts: Counter[str]) -> None:
    if census is None:
        counts[NUM_IMAGES] += 1
        return
    counts[NUM_FRAMES] += census.num_frames
    counts[NUM_TEXTURELESS] += census.num_textureless
    counts[NUM_SHORT] += census.num_frames < MIN_RUN


def _censuses(
    records: Iterable[Record], *, root: str | None, workers: int | None, on_drop: OnDrop
) -> Iterator[tuple[Record, Census | None]]:
    """Every record that can be read, in order; None for images."""

    def read(record: Record) -> tuple[Record, Census | None]:
        with open_media(record, root=root) as source:
            return record, take_census(source) if source.fps else None

    return map_records(read, records, workers=workers or available_cores(), ahead=READ_AHEAD, on_drop=on_drop)
