"""Which examples each step of an epoch learns from (OmniSource Sec. 3.6): batches of the target and of every source.

Only row numbers are computed. An epoch is one pass over the target. The draws depend on the seed, the epoch and the
sources, so every process and every resumed run computes the same steps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnicli.data.auxiliary import has_weights, read_weights
from omnicli.data.dataloader import Example, epoch_order
from omnicli.errors import UsageError
from omnicli.rng import keyed_rng
from omnicli.training.distributed import World
from omnicli.training.recipe_fields import StudentRecipe
from omnicli.training.sources import TrainingSource as TrainingSource
from omnicli.training.sources import occurrences as occurrences
from omnicli.training.sources import weighted_draws as weighted_draws

TARGET = "target"  # name of the target among the sources of a student

Turn = tuple[int, int]  # source, batch of it; source 0 is the target


@dataclass(frozen=True)
class SourceDraws:
    """The samples of one source in one step of one process.

    Attributes:
        source: its number.
        rows: (B,) examples.
        draws: (B,) numbers of the draws (``TrainingSource.number_draws``).
    """

    source: int
    rows: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class JointSampler:
    """Draws the batches of every source for every step.

    Attributes:
        sources: the target first.
        ratio: of their batch sizes, the target's first (``--ratio``).
        alternate: one update per source batch, as in the released code, instead of one joint update (OmniSource Eq. 1).
        seed: of every draw.
        stage: part of the key of every draw.
        multi_label: an example is trained on all of its classes at once, not on one of them.
        rank: of this process.
        size: number of processes.
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
        """Batches of one pass over the target, of all processes together."""
        return self._num_batches(self.sources[0])

    @property
    def num_steps(self) -> int:
        """Updates per epoch; of the longest epoch if sources alternate."""
        if not self.alternate:
            return self.num_target_batches
        return self.num_target_batches + -(-self.num_target_batches // self.ratio[0]) * sum(self.ratio[1:])

    @property
    def step_size(self) -> int:
        """Samples per update of all processes, which the learning rate is scaled to (Ours).

        If sources alternate, those of the target's updates, as in the released code.
        """
        sources = self.sources[:1] if self.alternate else self.sources
        return self.size * sum(source.batch_size for source in sources)

    def steps(self, epoch: int) -> list[list[SourceDraws]]:
        """The draws of this process for each step of an epoch, in the order of its forward passes.

        Joint: every source in every step. Ours: the target last, so that the running batch statistics, which move with
        each forward pass, end with it. (The released runner takes the target's batch first, and alternates.) If the
        last target batch is shorter, the other batches shrink with it, rounded up.
        """
        if self.alternate:
            turns = alternate_turns([self._num_batches(source) for source in self.sources], self.ratio, epoch)
            return [[draws] for draws in self._alternating(turns, epoch)]
        batches = [self._joint_batches(number, epoch) for number in range(len(self.sources))]
        target_last = [*range(1, len(self.sources)), 0]
        return [[batches[number][step] for number in target_last] for step in range(self.num_target_batches)]

    def _joint_batches(self, number: int, epoch: int) -> list[SourceDraws]:
        """One batch per step: |B_i| = |B_T| r_i / r_0."""
        target = self.sources[0]
        sizes = np.full(self.num_target_batches, target.batch_size * self.size)
        sizes[-1] = target.num_draws - sizes[:-1].sum()
        sizes = -(-sizes * self.ratio[number] // self.ratio[0])
        rows = self._draw(number, epoch, 0, int(sizes.sum()))
        draws = self.sources[number].number_draws(rows)
        ends = np.cumsum(sizes)
        spans = zip(ends - sizes, ends, strict=True)
        return [self._own(number, rows[start:end], draws[start:end]) for start, end in spans]

    def _alternating(self, turns: Sequence[Turn], epoch: int) -> list[SourceDraws]:
        """Each source in passes over its own batches, repeated when they end."""
        rows: dict[int, np.ndarray] = {number: np.empty(0, np.int64) for number in range(len(self.sources))}
        spans: list[tuple[int, int, int]] = []
        rounds = [0] * len(self.sources)
        for number, batch in turns:
            source = self.sources[number]
            if batch == 0:
                drawn = self._draw(number, epoch, rounds[number], source.num_draws)
                rows[number] = np.concatenate([rows[number], drawn])
                rounds[number] += 1
            begin = (rounds[number] - 1) * source.num_draws
            start = begin + batch * source.batch_size * self.size
            spans.append((number, start, min(start + source.batch_size * self.size, begin + source.num_draws)))
        draws = {number: self.sources[number].number_draws(drawn) for number, drawn in rows.items()}
        return [self._own(number, rows[number][start:end], draws[number][start:end]) for number, start, end in spans]

    def _draw(self, number: int, epoch: int, part: int, count: int) -> np.ndarray:
        source = self.sources[number]
        if source.weights is None:
            order = epoch_order(len(source.examples), seed=self.seed, stage=self.stage, epoch=epoch)
            return order[:count]
        rng = keyed_rng(self.seed, self.stage, f"draw {number}", epoch, part)
        return weighted_draws(source.weights, count, rng)

    def _own(self, number: int, rows: np.ndarray, draws: np.ndarray) -> SourceDraws:
        """The share of this process, every ``size``-th row; shares differ by one row at most."""
        return SourceDraws(number, rows[self.rank :: self.size], draws[self.rank :: self.size])

    def _num_batches(self, source: TrainingSource) -> int:
        return -(-source.num_draws // (source.batch_size * self.size))


def make_sampler(
    target: Sequence[Example],
    auxiliary: Mapping[str, Sequence[Example]],
    recipe: StudentRecipe,
    *,
    seed: int,
    stage: str,
    target_name: str = TARGET,
    world: World | None = None,
) -> JointSampler:
    """Batches in the ratio of the recipe; records are drawn by their ``weight``, if they have one. Raises InputError.

    Ours: with ``train_clips``, every pass over the target has the same number of draws, the last of them included.
    """
    world = world or World()
    own_size, *sizes = source_batch_sizes(recipe, len(auxiliary))
    weights = read_weights(target, TARGET) if has_weights(target) else None
    epoch_size = None if recipe.train_clips is None else min(-(-recipe.train_clips // recipe.epochs), len(target))
    sources = [TrainingSource(target_name, target, own_size, weights, epoch_size)]
    for (name, examples), size in zip(auxiliary.items(), sizes, strict=True):
        sources.append(TrainingSource(name, examples, size, read_weights(examples, name)))
    return JointSampler(
        sources, recipe.ratio, alternate=recipe.alternate, seed=seed, stage=stage, multi_label=recipe.multi_label,
        rank=world.rank, size=world.size,
    )  # fmt: skip


def with_ratio(recipe: StudentRecipe, num_auxiliary: int) -> StudentRecipe:
    """The recipe with its ratio set; the default is 1:1 for one auxiliary source, 2:1:...:1 for several.

    Raises:
        UsageError: a ratio for another number of sources, or batch sizes that are not whole numbers.

    >>> with_ratio(StudentRecipe(), 3).ratio
    (2, 1, 1, 1)
    """
    default = (1,) * (1 + num_auxiliary) if num_auxiliary < 2 else (2, *(1,) * num_auxiliary)
    recipe = replace(recipe, ratio=recipe.ratio or default)
    if len(recipe.ratio) != 1 + num_auxiliary:
        shown = ":".join(map(str, recipe.ratio))
        raise UsageError(f"--ratio {shown}: expected {1 + num_auxiliary} numbers: the target's and each --auxiliary's")
    source_batch_sizes(recipe, num_auxiliary)
    return recipe


def source_batch_sizes(recipe: StudentRecipe, num_auxiliary: int) -> list[int]:
    """|B_T|, |B_A,1|, ... on each process. Raises UsageError if they are not whole numbers."""
    if recipe.alternate:
        return [recipe.batch_size, *(recipe.auxiliary_batch_sizes or [recipe.batch_size] * num_auxiliary)]
    return batch_sizes(recipe.batch_size, recipe.ratio)


def batch_sizes(batch_size: int, ratio: Sequence[int]) -> list[int]:
    """|B_T| and every |B_A,i| = |B_T| r_i / r_0.

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
                f"is not a whole number; take a multiple of {step}"
            )
    return [batch_size * part // ratio[0] for part in ratio]


def alternate_turns(num_batches: Sequence[int], ratio: Sequence[int], epoch: int) -> list[Turn]:
    """The source and batch of each update of an epoch, as in the released code.

    Iterations count target batches over all epochs; after every r_0-th of them, each auxiliary source follows with r_i
    batches. Auxiliary sources start over with each epoch, and when they end.

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
