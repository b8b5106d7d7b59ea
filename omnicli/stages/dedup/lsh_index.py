"""Stretches of frames that two videos share, found by locality-sensitive hashing (IG-65M A.2).

A frame matches another if their signatures differ in at most ``radius`` of 64 bits, or, one bit further off, if the
frame before or behind it does: two videos were not sampled at the same times. A *run* is a stretch of at least
``min_run`` consecutive frames of a target that match as many consecutive frames of a source.

Paper: locality-sensitive hashing of the frames' signatures.
Ours: the hashing misses nothing. A signature is four bands of 16 bits, each looked up in a table with up to
⌊radius / 4⌋ of its bits changed: of at most ``radius`` differing bits one band holds no more than that. And only every
``min_run``-th frame of a target is in the tables: every run contains one of them, so every run is found. Tables cost
1.3 bytes per frame at 16 frames per run, signatures 8 and votes 1.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

NUM_BANDS = 4
BAND_BITS = 16
NEVER = 99  # bits by which frames that do not vote differ
MAX_WAITING = 256  # tracks that share one rebuilding of tables
BLOCK = 1 << 20  # candidates, or pairs of frames, compared at a time: tens of MiB


class RunRule(NamedTuple):
    """What a run is.

    Attributes:
        radius: of 64 bits, how many may differ, 0 to 15.
        reach: of 64 bits, how many may differ where a run that was found goes on, at least ``radius``.
        min_run: consecutive frames that must match.
        max_gap: a run goes on behind as many frames that differ in more, if those behind them do not.
        block: comparisons held in memory at a time; changes no result.
    """

    radius: int
    reach: int
    min_run: int
    max_gap: int
    block: int = BLOCK


class Run(NamedTuple):
    """A stretch that a source shares with a target.

    Attributes:
        track: number of the target track.
        source_start: first frame, in the source.
        target_start: first frame, in the target.
        num_frames: length.
        num_matched: frames of it that differ in no more than ``reach`` bits.
        score: the sum over its frames of reach + 1 - differing bits, or 0; without the frames beside, which are as much
            alike where nothing moves.
    """

    track: int
    source_start: int
    target_start: int
    num_frames: int
    num_matched: int
    score: int


class OverlapIndex:
    """Target tracks in which runs are looked for. Immutable; ``joined`` makes a larger one.

    Attributes:
        num_tracks: how many.
        num_frames: of all tracks.
    """

    def __init__(self, bits: np.ndarray, votes: np.ndarray, lengths: Sequence[int] | np.ndarray, rule: RunRule) -> None:
        """Fills the tables.

        Args:
            bits: (N,) uint64 signatures of all tracks, one track after the other.
            votes: (N,) bool; frames that do not vote match nothing.
            lengths: frames of each track, adding up to N.
            rule: what a run is.
        """
        self._bits, self._votes = bits, votes
        self._starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self._rule = rule
        self.num_tracks, self.num_frames = len(lengths), len(bits)
        self._flips = _flips(rule.radius // NUM_BANDS)
        of_track = np.arange(len(bits)) - np.repeat(self._starts[:-1], np.diff(self._starts))
        self._anchors = np.flatnonzero((of_track % rule.min_run == rule.min_run - 1) & votes).astype(np.uint32)
        self._tables = [_table(_band(bits[self._anchors], band)) for band in range(NUM_BANDS)]

    def joined(self, other: "OverlapIndex") -> "OverlapIndex":
        """Both as one, the tracks of ``other`` behind ours."""
        return OverlapIndex(
            np.concatenate([self._bits, other._bits]),
            np.concatenate([self._votes, other._votes]),
            np.concatenate([np.diff(self._starts), np.diff(other._starts)]),
            self._rule,
        )

    def runs(self, bits: np.ndarray, votes: np.ndarray) -> list[Run]:
        """All runs of a source, on all tracks.

        Args:
            bits: (F,) uint64.
            votes: (F,) bool.

        Returns:
            By track, then by diagonal, then by time.
        """
        voting = np.flatnonzero(votes)
        diagonals = [np.empty((0, 2), np.int64)]
        for queries, anchors in self._neighbours(bits[voting]):
            tracks = np.searchsorted(self._starts, anchors, side="right") - 1
            shifts = anchors - self._starts[tracks] - voting[queries]  # of the target against the source, frames
            diagonals.append(np.unique(np.stack([tracks, shifts], axis=1), axis=0))
        tracks, shifts = np.concatenate(diagonals).T
        runs: list[Run] = []
        for track in np.unique(tracks).tolist():
            hit = shifts[tracks == track]
            runs += self._runs_of_track(bits, votes, track, np.unique([hit - 1, hit, hit + 1]))
        return runs

    def _neighbours(self, queries: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs (number of the query, position of the anchor) that match; each at least once, at most once a band."""
        for band, (order, starts) in enumerate(self._tables):
            keys = (_band(queries, band)[:, None] ^ self._flips).ravel()  # (Q * P,)
            first, counts = starts[keys], starts[keys + 1] - starts[keys]
            ends = np.cumsum(counts, dtype=np.int64)
            begin = 0
            while begin < len(keys):
                done = ends[begin - 1] if begin else 0
                end = max(int(np.searchsorted(ends, done + self._rule.block, side="right")), begin + 1)
                entries = _ranges(first[begin:end], counts[begin:end])
                numbers = np.repeat(np.arange(begin, end) // len(self._flips), counts[begin:end])
                anchors = self._anchors[order[entries]].astype(np.int64)
                is_near = np.bitwise_count(queries[numbers] ^ self._bits[anchors]) <= self._rule.radius
                yield numbers[is_near], anchors[is_near]
                begin = end

    def _runs_of_track(self, bits: np.ndarray, votes: np.ndarray, track: int, shifts: np.ndarray) -> list[Run]:
        """Runs on some diagonals of the table of all pairs of frames of a source and a track."""
        length = int(self._starts[track + 1] - self._starts[track])
        at_once = max(self._rule.block // length, 1)
        runs: list[Run] = []
        for first in range(0, len(shifts), at_once):
            some = shifts[first : first + at_once]
            frames = np.arange(length)[None, :] - some[:, None]  # (D, T) of the source, beside those of the target
            straight = self._apart(bits, votes, frames, track)
            beside = [self._apart(bits, votes, frames + step, track) + 1 for step in (-1, 1)]
            nearest = np.where((frames >= 0) & (frames < len(bits)), np.minimum(straight, np.minimum(*beside)), NEVER)
            for row, begin, stop in _stretches(nearest, self._rule):
                gains = (self._rule.reach + 1 - straight[row, begin:stop]).clip(0)
                own = np.flatnonzero(gains)  # a run begins and ends with frames that are alike themselves
                if not len(own):
                    continue
                begin, stop = begin + int(own[0]), begin + int(own[-1]) + 1
                matched = int((nearest[row, begin:stop] <= self._rule.reach).sum())
                runs.append(Run(track, begin - int(some[row]), begin, stop - begin, matched, int(gains.sum())))
        return runs

    def _apart(self, bits: np.ndarray, votes: np.ndarray, frames: np.ndarray, track: int) -> np.ndarray:
        """Bits by which frames (D, T) of a source and the T frames of a track differ; NEVER where one does not vote."""
        start, end = self._starts[track], self._starts[track + 1]
        inside = frames.clip(0, len(bits) - 1)
        do_vote = (inside == frames) & votes[inside] & self._votes[start:end]
        return np.where(do_vote, np.bitwise_count(bits[inside] ^ self._bits[start:end]).astype(np.int64), NEVER)


class GrowingIndex:
    """An index that tracks are added to. Parts of like size are joined, so that adding N tracks costs N log N."""

    def __init__(self, rule: RunRule) -> None:
        self._rule = rule
        self._parts: list[OverlapIndex] = []
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, bits: np.ndarray, votes: np.ndarray) -> None:
        """One more track, (F,) uint64 and (F,) bool; tracks are numbered as they come."""
        self._waiting.append((bits, votes))
        if len(self._waiting) == MAX_WAITING:
            self._settle()

    def runs(self, bits: np.ndarray, votes: np.ndarray) -> list[Run]:
        """All runs of a source, on all tracks; as ``OverlapIndex.runs``."""
        self._settle()
        found: list[Run] = []
        before = 0
        for part in self._parts:
            found += [run._replace(track=run.track + before) for run in part.runs(bits, votes)]
            before += part.num_tracks
        return found

    def _settle(self) -> None:
        if not self._waiting:
            return
        bits, votes = (np.concatenate(values) for values in zip(*self._waiting, strict=True))
        self._parts.append(OverlapIndex(bits, votes, [len(track) for track, _ in self._waiting], self._rule))
        self._waiting.clear()
        while len(self._parts) > 1 and self._parts[-2].num_frames <= 2 * self._parts[-1].num_frames:
            last = self._parts.pop()
            self._parts[-1] = self._parts[-1].joined(last)


def _stretches(differing: np.ndarray, rule: RunRule) -> Iterator[tuple[int, int, int]]:
    """Stretches (row, begin, end) of runs.

    Args:
        differing: (D, T) bits, a row for each diagonal.
        rule: what a run is.
    """
    padding = np.full((len(differing), rule.max_gap + 1), NEVER)  # so that no run goes on in the next row
    padded = np.concatenate([differing, padding], axis=1)
    width = padded.shape[1]
    sure, sure_ends = _intervals(padded.ravel() <= rule.radius)
    sure = sure[sure_ends - sure >= rule.min_run]
    if not len(sure):
        return
    begins, ends = _intervals(padded.ravel() <= rule.reach)
    is_new = np.concatenate([[True], begins[1:] - ends[:-1] > rule.max_gap])
    first, last = begins[is_new], ends[np.concatenate([is_new[1:], [True]])]
    for group in np.unique(np.searchsorted(first, sure, side="right") - 1).tolist():
        begin, end = int(first[group]), int(last[group])
        yield begin // width, begin % width, begin % width + end - begin


def _intervals(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where stretches of true begin, and where they end."""
    edges = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)


def _band(bits: np.ndarray, band: int) -> np.ndarray:
    """(N,) int64 in [0, 65536)."""
    return ((bits >> np.uint64(BAND_BITS * band)) & np.uint64((1 << BAND_BITS) - 1)).astype(np.int64)


def _flips(max_bits: int) -> np.ndarray:
    """(P,) int64: all patterns of at most ``max_bits`` of the bits of a band."""
    return np.array(
        [
            sum(1 << bit for bit in bits)
            for count in range(max_bits + 1)
            for bits in combinations(range(BAND_BITS), count)
        ]
    )


def _table(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entries sorted by key: (order (A,), starts (65537,)); those of key k are order[starts[k]:starts[k + 1]]."""
    counts = np.bincount(keys, minlength=1 << BAND_BITS)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
    return np.argsort(keys, kind="stable").astype(np.uint32), starts


def _ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, ..., then first[1], ...: counts[i] numbers each."""
    before = np.cumsum(counts, dtype=np.int64) - counts
    return np.repeat(first.astype(np.int64) - before, counts) + np.arange(int(counts.sum()))
