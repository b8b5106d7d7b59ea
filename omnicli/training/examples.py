"""The examples that a training uses: those whose media can be opened, without those held out for the temperature."""

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from omnicli.data.dataloader import Example
from omnicli.data.example_table import take
from omnicli.data.positive_clips import first_clip
from omnicli.errors import InputError, Interrupted, MediaError
from omnicli.media.parallel import IDLE_SEC, Idle, parallel_map
from omnicli.media.source import is_image, open_modality
from omnicli.models.recogniser import Recogniser
from omnicli.reasons import unreadable
from omnicli.rng import keyed_seed
from omnicli.streams.reading import reading
from omnicli.streams.record import OnDrop, partition_key
from omnicli.training.context import TrainingContext
from omnicli.training.trainer import UnopenedMedia

HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 5_000
MIN_HELD_OUT = 100


def openable(
    examples: Sequence[Example],
    model: Recogniser,
    context: TrainingContext,
    on_drop: OnDrop,
    *,
    left_out: UnopenedMedia,
    name: str,
) -> Sequence[Example]:
    """The examples whose media can be opened, or could be when the training began.

    Args:
        examples: a set of examples; the processes of a training share the opening.
        model: what it takes: images if it is 2D, optical flow if it stacks pairs of it.
        context: where the training runs.
        on_drop: takes the other records, as ``unreadable: DETAIL``.
        left_out: of an unfinished run; a new run adds its own.
        name: of the set.

    Raises:
        InputError: an image for a 3D model.
    """
    rows = left_out.rows.setdefault(name, {})
    if not left_out.is_known:
        rows |= _unopened(examples, model, context)
    for row, why in sorted(rows.items()):
        on_drop(examples[row].record, unreadable(why))
    return take(examples, np.setdiff1d(np.arange(len(examples)), list(rows)) if rows else np.arange(len(examples)))


def hold_out(
    examples: Sequence[Example], *, seed: int, stage: str, min_held_out: int = MIN_HELD_OUT
) -> tuple[Sequence[Example], Sequence[Example]]:
    """Examples to fit a temperature on, and examples to train on; clips of one video stay together.

    Every class keeps an example to train on, be it one class of several. Ours: 5 % are held out; none if that gives
    fewer than ``min_held_out``, because clips of one scene are so similar that a few would overestimate the model. Of a
    long video, its first positive clip.
    """
    wanted = min(int(HELD_OUT_SHARE * len(examples)), MAX_HELD_OUT)
    if wanted < min_held_out:
        return [], examples
    seeds = array("q")  # of the videos: clips of one have the same
    left = Counter[int]()
    for example in examples:
        seeds.append(keyed_seed(seed, stage, partition_key(example.record), draw=1))
        left.update({example.label, *example.others})
    order = np.argsort(np.asarray(seeds), kind="stable")
    videos = np.split(order, np.flatnonzero(np.diff(np.asarray(seeds)[order])) + 1)
    held_out: list[int] = []
    for rows in videos:
        if len(held_out) + len(rows) > wanted:
            continue
        own = (examples[row] for row in rows.tolist())
        taken = Counter(label for one in own for label in {one.label, *one.others})
        if all(left[label] > count for label, count in taken.items()):
            left -= taken
            held_out += rows.tolist()
    if len(held_out) < min_held_out:
        return [], examples
    chosen = (examples[row] for row in held_out)
    first = [Example(first_clip(one.record), one.label, one.others, one.scores) for one in chosen]
    return first, take(examples, np.setdiff1d(np.arange(len(examples)), held_out))


def _unopened(examples: Sequence[Example], model: Recogniser, context: TrainingContext) -> dict[int, str]:
    """Rows of examples whose media cannot be opened, and why. Raises InputError."""

    def why_not(example: Example) -> str:
        if example.record.get("media") == "features":
            return ""
        try:
            record = first_clip(example.record)
            with reading(record), open_modality(record, is_flow=model.flow_pairs > 0, root=context.root) as source:
                if is_image(source) and not model.is_2d:
                    raise InputError(
                        f"{example.record.where}: an image, and a 3D model learns from clips; train a 2D model on "
                        "it, such as a TSN, or leave images out"
                    )
        except MediaError as error:
            return str(error)
        return ""

    world = context.world
    own = examples[world.rank :: world.size]
    reasons: list[str] = []
    results = parallel_map(why_not, own, workers=context.workers, ahead=4 * context.workers, idle_sec=IDLE_SEC)
    for why in results:
        if context.should_stop():
            raise Interrupted("stopped before the first step; run the same command again")
        if not isinstance(why, Idle):
            reasons.append(why)
    gathered = world.gather(reasons)
    whys = ((row, gathered[row % world.size][row // world.size]) for row in range(len(examples)))
    return {row: why for row, why in whys if why}
