"""Checks of the data of a training as a whole, before the first step: what is in two sets, and what is hardly there."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from omnicli.console import scarce_classes
from omnicli.data.dataloader import Example
from omnicli.data.example_table import RecordsOf
from omnicli.data.overlap import Shared, find_shared, shown_shared
from omnicli.data.trained_on import TrainedOn
from omnicli.errors import InputError
from omnicli.models.checkpoint import Checkpoint, load_any
from omnicli.models.model_files import is_model_folder
from omnicli.streams.read.raw_videos import MEDIA
from omnicli.streams.record import Record
from omnicli.training.context import TrainingContext

MAX_COMPARED_TARGET = 10_000  # Ours: the media of a larger target have sizes of too many auxiliary files


def check_data(
    target: Sequence[Example],
    val: Sequence[Example],
    auxiliary: Mapping[str, Sequence[Example]],
    classes: Sequence[str],
    context: TrainingContext,
    *,
    init: str = "scratch",
) -> dict[str, Any]:
    """Say which classes have hardly any auxiliary record, then ``check_overlap``.

    Raises:
        InputError: sets that share records, or a folder of clips to validate on.
    """
    if folder := next((example.record for example in val if example.record.get("media") == MEDIA), None):
        raise InputError(
            f"{folder.where}: a folder of clips, of which training draws one; validate on clips: omni index --each-clip"
        )
    for line in scarce_auxiliary(auxiliary, classes):
        context.say(line)
    memory = check_overlap(target, val, auxiliary, context, init=init)
    counts = {"target": len(target), "val": len(val), "auxiliary": {name: len(own) for name, own in auxiliary.items()}}
    return {**memory, "counts": counts}


def check_overlap(
    target: Sequence[Example],
    val: Sequence[Example],
    auxiliary: Mapping[str, Sequence[Example]],
    context: TrainingContext,
    *,
    init: str = "scratch",
) -> dict[str, Any]:
    """Refuse records that two of the sets share, and return what the checkpoint remembers of the data (``TrainedOn``).

    That includes the data of a checkpoint that the training starts from (``init``), where it remembers them. The first
    process checks for all; the others get an empty memory.

    Raises:
        InputError: sets share records, and ``context.allow_overlap`` is off.
    """
    problem, memory = "", {}
    if context.world.is_first:
        sources = {name: RecordsOf(examples) for name, examples in auxiliary.items()}
        of_target, of_val, every = RecordsOf(target), RecordsOf(val), RecordsOf(*auxiliary.values())
        problem = "; ".join(_overlaps(of_target, of_val, sources, context))
        if not problem or context.allow_overlap:
            own = TrainedOn.of(of_target, every, root=context.root, workers=context.workers)
            memory = own.joined(_trained_on_by(init)).to_meta()
    problem = context.world.gather(problem)[0]
    if problem and not context.allow_overlap:
        raise InputError(f"{problem}; take them out of one of the sets (omni dedup finds more), or --allow-overlap")
    if problem:
        context.say(f"{problem}; trained all the same (--allow-overlap): an accuracy on them is not a test")
    return memory


def _trained_on_by(init: str) -> TrainedOn | None:
    """What the weights of ``--init`` were trained on, where their file says so. Raises ModelError."""
    checkpoint = None if init in ("scratch", "imagenet") or is_model_folder(init) else load_any(init)
    return TrainedOn.from_meta(checkpoint.meta) if isinstance(checkpoint, Checkpoint) else None


def scarce_auxiliary(auxiliary: Mapping[str, Sequence[Example]], classes: Sequence[str]) -> list[str]:
    """A line about classes that no or hardly any auxiliary record has; none without an auxiliary source."""
    if not auxiliary:
        return []
    counts = Counter(label for examples in auxiliary.values() for one in examples for label in {one.label, *one.others})
    kept = {name: counts[label] for label, name in enumerate(classes)}
    return scarce_classes(kept, "auxiliary records", "keep more of them in omni filter, or collect more")


def _overlaps(
    target: Sequence[Record], val: Sequence[Record], auxiliary: Mapping[str, Sequence[Record]], context: TrainingContext
) -> list[str]:
    """A clause for each two sets that share records."""
    clauses = [_clause(find(val, target, context), len(val), "--val", "--target")]
    for name, records in auxiliary.items():
        clauses.append(_clause(find(val, records, context), len(val), "--val", f"--auxiliary {name}"))
        shared = find(target, records, context, by_content=len(target) <= MAX_COMPARED_TARGET)
        clauses.append(_clause(shared, len(target), "--target", f"--auxiliary {name}"))
    return [clause for clause in clauses if clause]


def find(
    records: Sequence[Record], others: Sequence[Record], context: TrainingContext, *, by_content: bool = True
) -> list[Shared]:
    """``find_shared`` where the training runs; nothing is read if one set is empty."""
    if not records or not others:
        return []
    return find_shared(records, others, root=context.root, by_content=by_content, workers=context.workers)


def _clause(shared: Sequence[Shared], count: int, name: str, other: str) -> str:
    if not shared:
        return ""
    return f"{len(shared):,} of {count:,} records of {name} are in {other}, too: {shown_shared(shared)}"
