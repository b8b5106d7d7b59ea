"""Which examples each step of an epoch learns from (Sec. 3.6): mini-batches of the target and of every web source.

Pure arithmetic over row numbers. An epoch is one pass of the target. What is drawn depends on the seed, the epoch and
the sources, so every rank and every restart comes to the same steps.

Ours: a web source is drawn by systematic sampling: with normalised weights w, each of its records is drawn n·w times,
rounded down or up, in an order of its own. Class frequencies are then as near to the weights as whole numbers can be,
and without weights nothing is seen twice in an epoch before everything was seen once in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnicli.data.dataloader import Example, epoch_order
from omnicli.errors import UsageError
from omnicli.rng import keyed_rng

Turn = tuple[int, int]  # source, batch of it; source 0 is the target


@dataclass(frozen=True)
class TrainingSource:
    """One data set of a joint training.

    Attributes:
        name: in metrics and messages.
        examples: (M,) what it holds.
        batch_size: samples of one step, on each rank.
        weights: (M,) relative chances to be drawn, or None for one pass after another (the target).
    """

    name: str
    examples: Sequence[Example]
    batch_size: int
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class SourceDraws:
    """What one source gives to one forward pass of one rank.

    Attributes:
        source: its number.
        rows: (B,) examples.
        draws: (B,) how often each was drawn before in this epoch; part of the key of its augmentation.
    """

    source: int
    rows: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class JointSampler:
    """How the sources of a training take turns.

    Attributes:
        sources: the target first.
        ratio: of the sources, the target's first (``--ratio``).
        alternate: one update a source batch, as the released runner does, instead of one joint update (Eq. 1).
        seed: of every draw.
        stage: part of every key.
        multi_label: an example is taught all of its classes at once, not one of them.
        rank: of this process.
        size: processes.
    """

    sources: Sequence[TrainingSource]
    ratio: Sequence[int]
    alternate: bool = False
    seed: int = 0
    stage: str = "train"
    multi_label: bool = False
    rank: int = 0
    size: int = 1

    @property
    def num_target_batches(self) -> int:
        """Batches of one pass of the target, over all ranks together."""
        return self._num_batches(self.sources[0])

    @property
    def num_steps(self) -> int:
        """Updates of an epoch; of the longest one where sources alternate."""
        if not self.alternate:
            return self.num_target_batches
        return self.num_target_batches + -(-self.num_target_batches // self.ratio[0]) * sum(self.ratio[1:])

    @property
    def step_size(self) -> int:
        """Samples of one update, over all ranks: what the learning rate is scaled to (Ours).

        Where sources alternate, that of the target's updates, as in the released code.
        """
        sources = self.sources[:1] if self.alternate else self.sources
        return self.size * sum(source.batch_size for source in sources)

    def steps(self, epoch: int) -> list[list[SourceDraws]]:
        """The portions of each step of an epoch, those of this rank, in the order of its forward passes.

        Joint: every source in every step, the target last, as in the released code's loop. A short last batch of the
        target is joined by as short ones of the others, rounded up.
        """
        if self.alternate:
            turns = alternate_turns([self._num_batches(source) for source in self.sources], self.ratio, epoch)
            return [[portion] for portion in self._alternating(turns, epoch)]
        batches = [self._joint_batches(number, epoch) for number in range(len(self.sources))]
        last_is_target = [*range(1, len(self.sources)), 0]
        return [[batches[number][step] for number in last_is_target] for step in range(self.num_target_batches)]

    def _joint_batches(self, number: int, epoch: int) -> list[SourceDraws]:
        """One batch a step: |B_i| = |B_T| r_i / r_0."""
        target = self.sources[0]
        sizes = np.full(self.num_target_batches, target.batch_size * self.size)
        sizes[-1] = len(target.examples) - sizes[:-1].sum()
        sizes = -(-sizes * self.ratio[number] // self.ratio[0])
        rows = self._draw(number, epoch, 0, int(sizes.sum()))
        draws = occurrences(rows)
        ends = np.cumsum(sizes)
        spans = zip(ends - sizes, ends, strict=True)
        return [self._mine(number, rows[start:end], draws[start:end]) for start, end in spans]

    def _alternating(self, turns: Sequence[Turn], epoch: int) -> list[SourceDraws]:
        """Each source in passes of its own batches, begun again when they have ended."""
        rows: dict[int, np.ndarray] = {number: np.empty(0, np.int64) for number in range(len(self.sources))}
        spans: list[tuple[int, int, int]] = []
        rounds = [0] * len(self.sources)
        for number, batch in turns:
            source = self.sources[number]
            if batch == 0:
                drawn = self._draw(number, epoch, rounds[number], len(source.examples))
                rows[number] = np.concatenate([rows[number], drawn])
                rounds[number] += 1
            begin = (rounds[number] - 1) * len(source.examples)
            start = begin + batch * source.batch_size * self.size
            spans.append((number, start, min(start + source.batch_size * self.size, begin + len(source.examples))))
        draws = {number: occurrences(drawn) for number, drawn in rows.items()}
        return [self._mine(number, rows[number][start:end], draws[number][start:end]) for number, start, end in spans]

    def _draw(self, number: int, epoch: int, part: int, count: int) -> np.ndarray:
        source = self.sources[number]
        if source.weights is None:
            return epoch_order(count, seed=self.seed, stage=self.stage, epoch=epoch)
        rng = keyed_rng(self.seed, self.stage, f"draw {number}", epoch, part)
        return weighted_draws(source.weights, count, rng)

    def _mine(self, number: int, rows: np.ndarray, draws: np.ndarray) -> SourceDraws:
        """Every ``size``-th of them: no rank has more than one above another."""
        return SourceDraws(number, rows[self.rank :: self.size], draws[self.rank :: self.size])

    def _num_batches(self, source: TrainingSource) -> int:
        return -(-len(source.examples) // (source.batch_size * self.size))


def batch_sizes(batch_size: int, ratio: Sequence[int]) -> list[int]:
    """|B_T| and every |B_Ai| = |B_T| r_i / r_0.

    Raises:
        UsageError: one of them is not a whole number.

    >>> batch_sizes(12, [2, 1, 1])
    [12, 6, 6]
    """
    for part in ratio[1:]:
        if batch_size * part % ratio[0]:
            step = ratio[0] // math.gcd(ratio[0], *ratio[1:])
            raise UsageError(
                f"--batch-size {batch_size} with --ratio {':'.join(map(str, ratio))}: {batch_size} x {part}/{ratio[0]} "
                f"is no whole number; take a multiple of {step}"
            )
    return [batch_size * part // ratio[0] for part in ratio]


def alternate_turns(num_batches: Sequence[int], ratio: Sequence[int], epoch: int) -> list[Turn]:
    """Whose batch each update of the released runner takes.

    Its iterations count batches of the target over all epochs; in every r_0-th of them each web source follows with
    r_i batches. Web sources begin anew with each epoch, and again when they have ended.

    >>> alternate_turns([3, 2], [2, 1], epoch=0)
    [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)]
    """
    turns: list[Turn] = []
    taken = [0] * len(num_batches)
    for batch in range(num_batches[0]):
        turns.append((0, batch))
        if (epoch * num_batches[0] + batch) % ratio[0]:
            continue
        for number in range(1, len(num_batches)):
            for _ in range(ratio[number]):
                turns.append((number, taken[number] % num_batches[number]))
                taken[number] += 1
    return turns


def weighted_draws(weights: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Systematic sampling: each row about count x its share of the weights times, rounded down or up, in random order.

    Args:
        weights: (M,) >= 0, at least one above 0.
        count: rows to draw.
        rng: draws.

    Returns:
        (count,) int64 in [0, M).
    """
    order = rng.permutation(len(weights))
    ends = np.cumsum(weights[order])
    marks = (rng.random() + np.arange(count)) * (ends[-1] / max(count, 1))
    drawn = order[np.searchsorted(ends, marks, side="right").clip(max=len(weights) - 1)]
    return rng.permutation(drawn)


def occurrences(rows: np.ndarray) -> np.ndarray:
    """How often each entry was there before.

    >>> occurrences(np.array([5, 3, 5, 5]))
    array([0, 0, 1, 2])
    """
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    places = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
    counts = np.empty(len(rows), np.int64)
    counts[order] = places
    return counts
