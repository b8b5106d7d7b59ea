"""Examples, and batches of them that threads decode ahead."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnicli.errors import MediaError
from omnicli.media.parallel import parallel_map
from omnicli.rng import keyed_rng
from omnicli.streams.reading import reading
from omnicli.streams.record import Record

READ_AHEAD = 4  # clips per worker that are decoded ahead of the model


@dataclass(frozen=True)
class Example:
    """A record with its label.

    Attributes:
        record: names the media.
        label: its class, in [0, K).
        others: more classes. Of several queries, one class is drawn per epoch (IG-65M Sec. 3.3); of several labels,
            all are true.
        scores: (class, share) of a soft label; shares sum to 1.
    """

    record: Record
    label: int
    others: tuple[int, ...] = ()
    scores: tuple[tuple[int, float], ...] = ()

    @property
    def id(self) -> str:
        """The ID of the record."""
        return str(self.record.get("id"))

    @property
    def number(self) -> int:
        """The same for all draws of one record of a set, and another for each other."""
        return id(self.record)

    def with_label(self, label: int) -> "Example":
        """The same with one class."""
        return replace(self, label=label, others=())


ExampleKey = tuple[int, int]
SOURCE_SHIFT = 40  # bits of a row
"""Number of a source and row of it; identifies an example of a training, because ids may occur twice."""


class DrawnExample(NamedTuple):
    """An example in a batch.

    Attributes:
        example: the example.
        draw: its number among the draws of its ID in this epoch.
        key: identifies the example.
    """

    example: Example
    draw: int
    key: ExampleKey


def position_of(key: ExampleKey) -> int:
    """One number for the key of an example, greater than the position of any other record that is read.

    >>> key_of(position_of((2, 7)))
    (2, 7)
    """
    return (key[0] + 1) << SOURCE_SHIFT | key[1]


def key_of(position: int) -> ExampleKey:
    """The key of an example, from ``position_of``; its source is -1 if the number is none."""
    return (position >> SOURCE_SHIFT) - 1, position & ((1 << SOURCE_SHIFT) - 1)


@dataclass(frozen=True)
class SourceBatch:
    """The samples of one source in one step.

    Attributes:
        clips: (N, S, H, W, C) uint8 RGB, S = 1 if all are images for a TSN; or (N, D) float32 features.
        labels: (N,) int64.
        examples: (N,) examples of the clips.
        bad: examples of this batch whose media are unreadable, and why; they are not in ``clips``.
        source: name of the source.
    """

    clips: Tensor
    labels: Tensor
    examples: tuple[Example, ...]
    bad: tuple[tuple[DrawnExample, str], ...] = ()
    source: str = ""

    @property
    def ids(self) -> list[str]:
        """Record ids, for messages; reads stored records."""
        return [example.id for example in self.examples]


@dataclass(frozen=True)
class StepBatch:
    """The samples of one update: a batch of each source, in the order of their forward passes."""

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
        """Unreadable examples of all parts, and why."""
        return tuple(found for part in self.parts for found in part.bad)


def epoch_order(num_examples: int, *, seed: int, stage: str, epoch: int) -> np.ndarray:
    """(num_examples,) int64, the shuffled order of one epoch; a permutation."""
    return keyed_rng(seed, stage, "order", epoch).permutation(num_examples)


def read_batches(
    batches: Iterable[Iterable[DrawnExample]],
    *,
    read: Callable[[Record, int], np.ndarray],
    workers: int,
    is_bad: Callable[[DrawnExample], bool],
) -> Iterator[SourceBatch]:
    """Batches of clips, decoded ahead by a pool of threads.

    Bad media leave a gap in their batch; no other example replaces them.

    Args:
        batches: the drawn examples of each batch, asked for as they are read.
        read: record and draw to (S, H, W, C) uint8; may raise MediaError, which lands in ``SourceBatch.bad``.
        workers: threads that read.
        is_bad: examples that are left out unread.

    Yields:
        As many batches; one without a readable example has no clips.
    """

    def try_read(drawn: DrawnExample | None) -> _Read | None:
        if drawn is None:
            return None
        if is_bad(drawn):
            return drawn, None, ""
        try:
            with reading(drawn.example.record, position_of(drawn.key)):
                return drawn, read(drawn.example.record, drawn.draw), ""
        except MediaError as error:
            return drawn, None, str(error)

    flat = (drawn for batch in batches for drawn in chain(batch, (None,)))  # None: the end of a batch
    results = parallel_map(try_read, flat, workers=workers, ahead=READ_AHEAD * workers)
    items: list[_Read] = []
    try:
        for result in results:
            if result is not None:
                items.append(result)
                continue
            yield _collate(items)
            items = []
    finally:
        results.close()  # type: ignore[attr-defined]  # ends the threads


def feature_batches(
    features: Tensor,
    batches: Iterable[tuple[np.ndarray, Sequence[DrawnExample]]],
    *,
    is_bad: Callable[[DrawnExample], bool],
) -> Iterator[SourceBatch]:
    """Batches of features.

    Args:
        features: (M, D); rows of bad examples hold any value.
        batches: (B,) rows of ``features``, and their drawn examples.
        is_bad: examples that leave a gap.
    """
    for rows, drawn in batches:
        kept = [index for index, one in enumerate(drawn) if not is_bad(one)]
        chosen = tuple(drawn[index].example for index in kept)
        labels = torch.tensor([example.label for example in chosen], dtype=torch.int64)
        yield SourceBatch(features[torch.from_numpy(rows[kept])], labels, chosen)


_Read = tuple[DrawnExample, np.ndarray | None, str]  # its clip, or why there is none


def _collate(items: Iterable[_Read]) -> SourceBatch:
    """One batch. Beside videos, an image of one frame is repeated; a batch of images alone stays at one frame each."""
    good = [(drawn.example, clip) for drawn, clip, _ in items if clip is not None]
    bad = tuple((drawn, why) for drawn, _, why in items if why)
    num_frames = max((len(clip) for _, clip in good), default=0)
    shown = [clip if len(clip) == num_frames else np.repeat(clip, num_frames, axis=0) for _, clip in good]
    clips = torch.from_numpy(np.stack(shown)) if good else torch.empty(0, dtype=torch.uint8)
    labels = torch.tensor([example.label for example, _ in good], dtype=torch.int64)
    return SourceBatch(clips, labels, tuple(example for example, _ in good), bad)
