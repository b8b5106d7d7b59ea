"""Teacher training (OmniSource Sec. 3.4): the teacher M learns from the target dataset D_T, with intra-dataset mixup.

    in    target records with one class each, videos if M is 3D; optionally validation records
    out   one metric record per epoch, and a checkpoint

It is the training of ``train`` without auxiliary sources. Every class, label and file is checked before the first step;
records of media that cannot be opened are rejected. A clip that fails to decode later is rejected then and leaves a gap
in its batch: no other clip replaces it, so the balance of classes stays.

Ours: with the few-clips recipes a temperature (Guo et al., 2017) is fitted on 5 % of the training clips, held out by
their video, if these are 100 or more; the papers' recipes hold no clips out. With a frozen backbone, mixup mixes
features.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from omnicli.data.target import TargetReader
from omnicli.errors import InputError
from omnicli.models.checkpoint import check_writable
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.stored_records import StoredRecords
from omnicli.training.context import TrainingContext
from omnicli.training.examples import MIN_HELD_OUT
from omnicli.training.recipe_fields import TeacherRecipe
from omnicli.training.train import TrainingData, train
from omnicli.training.trainer import Metrics

STAGE = "teacher-train"


def train_teacher(
    records: Iterable[Record],
    *,
    recipe: TeacherRecipe,
    out: Path,
    val: Iterable[Record] | None = None,
    classes: Sequence[str] | None = None,
    query_map: Mapping[str, str] | None = None,
    seed: int = 0,
    calibrate: bool = True,
    min_held_out: int = MIN_HELD_OUT,
    resume: bool = True,
    context: TrainingContext,
    on_drop: OnDrop,
) -> Iterator[Metrics]:
    """Train M on D_T and write it to ``out``, as ``training.train.train`` does; yields one metric record per epoch.

    ``records`` are D_T, each with ``class_name`` or ``label``, or in a folder named after its class. ``classes`` are
    names in the order of the labels; the default is the order of the records' integers, else sorted names. With
    ``recipe.target_label`` "query", the classes are those of the queries (IG-65M), and ``query_map`` gives the class
    names of other queries.

    Raises:
        InputError: no record, a label that does not fit, a class without a clip.
        Interrupted: stopped with the state saved.
        OutputError: ``out`` cannot be written.
    """
    check_writable(out)
    target = StoredRecords(records)
    if not target:
        raise InputError("no target records: a teacher needs labelled clips")
    reader = TargetReader(by=recipe.target_label or "label", classes=classes, query_map=query_map or {})
    names = reader.class_names(target)
    data = TrainingData(
        classes=names, target=reader.read(target, names, on_drop), val=reader.read(val or [], names, on_drop)
    )
    yield from train(
        data, stage=STAGE, recipe=recipe, out=out, seed=seed, calibrate=calibrate, min_held_out=min_held_out,
        resume=resume, context=context, on_drop=on_drop,
    )  # fmt: skip
