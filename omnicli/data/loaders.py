"""Examples to batches, decoded ahead in threads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omnicli.data.keyed_random import keyed_rng
from omnicli.errors import MediaError
from omnicli.media.prefetch import Lull, map_ahead
from omnicli.streams.records import Record

READ_AHEAD = 4  # clips a worker may be ahead of the model


@dataclass(frozen=True)
class Example:
    """A record and the class it is taught as, in [0, K)."""

    record: Record
    label: int


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        clips: (N, S, H, W, C) uint8 RGB, or (N, D) float32 features.
        labels: (N,) int64.
        examples: (N,) whose clips these are.
        bad: examples of this batch whose media turned out unreadable, and why; they are not in ``clips``.
    """

    clips: Tensor
    labels: Tensor
    examples: tuple[Example, ...]
    bad: tuple[tuple[Example, str], ...] = ()

    @property
    def ids(self) -> list[str]:
        """Record ids, for messages."""
        return [str(example.record.get("id")) for example in self.examples]


def epoch_order(num_examples: int, *, seed: int, stage: str, epoch: int) -> np.ndarray:
    """(num_examples,) int64, the shuffled order of one epoch; a permutation."""
    return keyed_rng(seed, stage, "order", epoch).permutation(num_examples)


def iterate_batches(
    examples: Sequence[Example],
    order: np.ndarray,
    *,
    read: Callable[[Record], np.ndarray],
    batch_size: int,
    workers: int,
    is_bad: Callable[[Example], bool],
    first_step: int = 0,
) -> Iterator[Batch]:
    """Batches of one epoch; the last one may be short.

    A batch is always the same ``batch_size`` places of ``order``: known bad media leave a gap, and nobody moves up, so
    that an epoch taken up again at ``first_step`` goes on with the same batches.

    Args:
        examples: all of them.
        order: indices into ``examples``.
        read: record to (S, H, W, C) uint8; may raise MediaError, which lands in ``Batch.bad``.
        batch_size: places in a batch.
        workers: threads that read.
        is_bad: examples that are left out unread.
        first_step: batches to skip.

    Yields:
        Batches in order; one whose places are all bad has no clips.
    """
    places = [examples[index] for index in order[first_step * batch_size :]]

    def try_read(example: Example) -> tuple[Example, np.ndarray | None, str]:
        if is_bad(example):
            return example, None, ""
        try:
            return example, read(example.record), ""
        except MediaError as error:
            return example, None, str(error)

    waiting: list[tuple[Example, np.ndarray | None, str]] = []
    for item in map_ahead(try_read, places, workers=workers, ahead=READ_AHEAD * workers):
        if isinstance(item, Lull):
            continue
        waiting.append(item)
        if len(waiting) == batch_size:
            yield _collate(waiting)
            waiting = []
    if waiting:
        yield _collate(waiting)


def feature_batches(
    features: Tensor,
    examples: Sequence[Example],
    order: np.ndarray,
    *,
    batch_size: int,
    is_bad: Callable[[Example], bool],
    first_step: int = 0,
    bad: tuple[tuple[Example, str], ...] = (),
) -> Iterator[Batch]:
    """The same batches of ready features (M, D), row for row those of ``examples``.

    Args:
        features: of every example; rows of bad ones hold anything.
        examples: all of them.
        order: indices into ``examples``.
        batch_size: places in a batch.
        is_bad: examples that leave a gap.
        first_step: batches to skip.
        bad: goes with the first batch.
    """
    gone = {id(example) for example, _ in bad}
    for start in range(first_step * batch_size, len(order), batch_size):
        places = (int(index) for index in order[start : start + batch_size])
        rows = [row for row in places if id(examples[row]) not in gone and not is_bad(examples[row])]
        chosen = tuple(examples[row] for row in rows)
        labels = torch.tensor([example.label for example in chosen], dtype=torch.int64)
        yield Batch(features[rows], labels, chosen, bad if start == first_step * batch_size else ())


def _collate(items: Iterable[tuple[Example, np.ndarray | None, str]]) -> Batch:
    good = [(example, clip) for example, clip, _ in items if clip is not None]
    bad = tuple((example, why) for example, _, why in items if why)
    clips = torch.from_numpy(np.stack([clip for _, clip in good])) if good else torch.empty(0, dtype=torch.uint8)
    labels = torch.tensor([example.label for example, _ in good], dtype=torch.int64)
    return Batch(clips, labels, tuple(example for example, _ in good), bad)
