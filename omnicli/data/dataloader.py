"""Examples to batches, decoded ahead in threads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnicli.errors import MediaError
from omnicli.media.parallel import parallel_map
from omnicli.rng import keyed_rng
from omnicli.streams.record import Record

READ_AHEAD = 4  # clips a worker may be ahead of the model


@dataclass(frozen=True)
class Example:
    """A record and what it is taught as.

    Attributes:
        record: whose media.
        label: its class, in [0, K).
        others: more classes: with several queries, a class for each, one is drawn each epoch (IG-65M Sec. 3.3); with
            several labels all are true.
        scores: (class, share) where the label is soft; shares sum to 1.
    """

    record: Record
    label: int
    others: tuple[int, ...] = ()
    scores: tuple[tuple[int, float], ...] = ()

    @property
    def id(self) -> str:
        """Of the record."""
        return str(self.record.get("id"))


ExampleKey = tuple[int, int]
"""Number of a source and a row of it: what tells examples of one training apart, since ids may stand there twice."""


class DrawnExample(NamedTuple):
    """An example in a batch.

    Attributes:
        example: what is learnt there.
        draw: how often it was drawn before in this epoch.
        key: which example of the training it is.
    """

    example: Example
    draw: int
    key: ExampleKey


@dataclass(frozen=True)
class SourceBatch:
    """What one forward pass learns from.

    Attributes:
        clips: (N, S, H, W, C) uint8 RGB, or (N, D) float32 features.
        labels: (N,) int64.
        examples: (N,) whose clips these are.
        bad: places of this batch whose media turned out unreadable, and why; they are not in ``clips``.
        source: which data set they are of.
    """

    clips: Tensor
    labels: Tensor
    examples: tuple[Example, ...]
    bad: tuple[tuple[DrawnExample, str], ...] = ()
    source: str = ""

    @property
    def ids(self) -> list[str]:
        """Record ids, for messages."""
        return [example.id for example in self.examples]


@dataclass(frozen=True)
class StepBatch:
    """What one update learns from: a batch of each source, in the order of their forward passes."""

    parts: tuple[SourceBatch, ...]

    @property
    def num_clips(self) -> int:
        """Clips of all parts."""
        return sum(len(part.examples) for part in self.parts)

    @property
    def ids(self) -> list[str]:
        """Record ids of all parts."""
        return [name for part in self.parts for name in part.ids]

    @property
    def bad(self) -> tuple[tuple[DrawnExample, str], ...]:
        """Unreadable places of all parts, and why."""
        return tuple(found for part in self.parts for found in part.bad)


def epoch_order(num_examples: int, *, seed: int, stage: str, epoch: int) -> np.ndarray:
    """(num_examples,) int64, the shuffled order of one epoch; a permutation."""
    return keyed_rng(seed, stage, "order", epoch).permutation(num_examples)


def read_batches(
    batches: Sequence[Sequence[DrawnExample]],
    *,
    read: Callable[[Record, int], np.ndarray],
    workers: int,
    is_bad: Callable[[DrawnExample], bool],
) -> Iterator[SourceBatch]:
    """One batch for each row of places, all of them decoded ahead by the same threads, in the order they are needed.

    A batch is always the same places: known bad media leave a gap, and nobody moves up.

    Args:
        batches: places, row by row.
        read: record and draw to (S, H, W, C) uint8; may raise MediaError, which lands in ``SourceBatch.bad``.
        workers: threads that read.
        is_bad: places that are left out unread.

    Yields:
        As many batches; one whose places are all bad has no clips.
    """

    def try_read(place: DrawnExample) -> tuple[DrawnExample, np.ndarray | None, str]:
        if is_bad(place):
            return place, None, ""
        try:
            return place, read(place.example.record, place.draw), ""
        except MediaError as error:
            return place, None, str(error)

    flat = (place for places in batches for place in places)
    results = parallel_map(try_read, flat, workers=workers, ahead=READ_AHEAD * workers)
    try:
        for places in batches:
            yield _collate([next(results) for _ in places])
    finally:
        results.close()  # type: ignore[attr-defined]  # ends the threads


def feature_batches(
    features: Tensor,
    batches: Sequence[tuple[np.ndarray, Sequence[DrawnExample]]],
    *,
    is_bad: Callable[[DrawnExample], bool],
) -> Iterator[SourceBatch]:
    """The same batches of ready features.

    Args:
        features: (M, D); rows of bad places hold anything.
        batches: (B,) rows of ``features``, and the places they are for.
        is_bad: places that leave a gap.
    """
    for rows, places in batches:
        kept = [number for number, place in enumerate(places) if not is_bad(place)]
        chosen = tuple(places[number].example for number in kept)
        labels = torch.tensor([example.label for example in chosen], dtype=torch.int64)
        yield SourceBatch(features[torch.from_numpy(rows[kept])], labels, chosen)


def _collate(items: Iterable[tuple[DrawnExample, np.ndarray | None, str]]) -> SourceBatch:
    good = [(place.example, clip) for place, clip, _ in items if clip is not None]
    bad = tuple((place, why) for place, _, why in items if why)
    clips = torch.from_numpy(np.stack([clip for _, clip in good])) if good else torch.empty(0, dtype=torch.uint8)
    labels = torch.tensor([example.label for example, _ in good], dtype=torch.int64)
    return SourceBatch(clips, labels, tuple(example for example, _ in good), bad)
