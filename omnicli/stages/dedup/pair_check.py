"""A second comparison of suspected copies (Ours): whether two frames are one image, or only similar.

Only flagged pairs are decoded again. The outcome joins `match`, and changes no verdict: OmniSource Sec. 3.3 inspected
its suspects by hand, and a false alarm costs one web record where a missed copy spoils a test set. `omni report`
shows the verified ones first.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from omnicli.cpus import available_cores
from omnicli.errors import OmniError
from omnicli.media.frame_times import frames_at
from omnicli.media.source import open_media
from omnicli.stages.dedup.same_image import Agreement, compare_images
from omnicli.streams.reading import reading
from omnicli.streams.record import Record

ROUNDING_SEC = 0.0005  # times in a match have three decimals
DECIMALS = 4
SHOWN_FIELDS = ("id", "path", "media", "row")  # of a target record, which a match repeats to open it again
NUM_VERIFIED, NUM_SIMILAR, NUM_UNSEEN = "dedup: verified", "dedup: only similar", "dedup: not compared"


class Suspicion(NamedTuple):
    """Two records, one suspected to copy the other.

    Attributes:
        record: the media of the web record.
        target: the media that it seems to copy.
        times: (seconds in ``record``, seconds in ``target``) of frames to compare.
    """

    record: Record
    target: Record
    times: Sequence[tuple[float, float]]


class PairCheck:
    """Decodes and compares the frames of suspected pairs.

    Args:
        root: folder that relative paths start from.
        workers: threads that decode; default all cores.
    """

    def __init__(self, root: str | None = None, workers: int | None = None) -> None:
        self._root = root
        self._workers = workers or available_cores()

    def check(self, suspicions: Sequence[Suspicion]) -> list[dict[str, Any]]:
        """Fields for the match of each suspicion, of the two frames that agree best.

        Returns:
            ``inliers``, ``correlation`` and ``verified``; where a file cannot be read ``not_compared`` alone, with why.
        """
        if not suspicions:
            return []
        pairs = [(one, pair) for one in suspicions for pair in one.times]
        with ThreadPoolExecutor(min(self._workers, len(pairs))) as pool:
            outcomes = iter(list(pool.map(lambda pair: self._compare(*pair), pairs)))
        return [_fields([next(outcomes) for _ in one.times]) for one in suspicions]

    def _compare(self, suspicion: Suspicion, times: tuple[float, float]) -> Agreement | str:
        """How much two frames agree, or why that cannot be said."""
        web_sec, target_sec = times
        try:
            with reading(suspicion.record):
                return compare_images(
                    self._frame(suspicion.record, web_sec), self._frame(suspicion.target, target_sec, of="target: ")
                )
        except OmniError as error:
            return str(error)

    def _frame(self, record: Record, at_sec: float, *, of: str = "") -> np.ndarray:
        """(H, W, 3) uint8, the frame on screen then. Raises OmniError, with ``of`` in front."""
        try:
            with open_media(record, root=self._root) as source:
                frame: np.ndarray = source.read(frames_at(source.times, [at_sec + ROUNDING_SEC]).tolist())[0]
        except OmniError as error:
            raise OmniError(f"{of}{error}") from error
        return frame


def shown_fields(target: Record) -> dict[str, Any]:
    """What a match repeats of its target record."""
    return {field: target[field] for field in SHOWN_FIELDS if target.get(field) is not None}


def count_checks(record: Record, counters: Counter[str]) -> None:
    """Count a rejected record by what the second comparison found."""
    match = record.get("match")
    if not isinstance(match, dict):
        return
    if "not_compared" in match:
        counters[NUM_UNSEEN] += 1
    elif "verified" in match:
        counters[NUM_VERIFIED if match["verified"] else NUM_SIMILAR] += 1


def describe_checks(counters: Mapping[str, int]) -> list[str]:
    """The closing line about suspected copies; none if there are none."""
    verified, alike, unseen = (counters.get(name, 0) for name in (NUM_VERIFIED, NUM_SIMILAR, NUM_UNSEEN))
    if not verified + alike + unseen:
        return []
    line = f"suspects compared again: {verified:,} verified copies, {alike:,} only similar"
    return [line + (f", {unseen:,} cannot be read again (`match.not_compared` says why)" if unseen else "")]


def _fields(outcomes: Sequence[Agreement | str]) -> dict[str, Any]:
    found = [outcome for outcome in outcomes if isinstance(outcome, Agreement)]
    if not found:
        return {"not_compared": next(outcome for outcome in outcomes if isinstance(outcome, str))}
    best = max(found, key=lambda one: (one.is_verified, one))
    return {"inliers": best.inliers, "correlation": round(best.correlation, DECIMALS), "verified": best.is_verified}
