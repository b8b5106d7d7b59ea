"""Joint training (OmniSource Sec. 3.6, Eq. 1): the student M' learns from the target and all auxiliary sources at once.

    in    target records D_T; auxiliary records D_A,i, one list per source, with pseudo-labels; validation records
    out   one metric record per epoch and source, and a checkpoint

The step of Eq. 1 is in ``training.loop.train_epoch``, mixup in ``data.mixup``.

Batches: |B_T| : |B_A,1| : ... = ``ratio``; paper: "2:1 ~ 1:1 works reasonably well". Ours: the default is that of the
released configurations, 1:1 for one auxiliary source and 2:1:...:1 for several.
Resampling: records are drawn by their ``weight`` (``omni balance``), so that a class of N records is drawn ∝ N^p.
``alternate``: one update per source batch, as in the released code.

Ours: the student teaches the next round, so it gets a temperature as a teacher does (see ``teacher_train``), fitted on
held-out target clips; none with several labels per record.

Ours: a source without records, because its filter kept nothing, is left out, and the ratio of the others stays.

All labels are checked and all target media are opened before the first step. Auxiliary media are opened when they are
drawn, because there may be millions; unreadable ones are rejected then and leave a gap in their batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress, count
from pathlib import Path

from omnicli.data.auxiliary import read_auxiliary
from omnicli.data.example_table import ExampleTable
from omnicli.data.query_labels import Queries
from omnicli.data.target import TargetReader
from omnicli.errors import InputError
from omnicli.models.checkpoint import check_writable
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record
from omnicli.streams.stored_records import StoredRecords
from omnicli.training.batch_sampler import with_ratio
from omnicli.training.context import TrainingContext
from omnicli.training.examples import MIN_HELD_OUT
from omnicli.training.recipe_fields import MixupName, StudentRecipe
from omnicli.training.train import TrainingData, train
from omnicli.training.trainer import Metrics

STAGE = "train"


def train_student(
    target: Iterable[Record],
    auxiliaries: Mapping[str, Iterable[Record]],
    *,
    recipe: StudentRecipe,
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
    on_empty: Callable[[str], None] = lambda name: None,
) -> Iterator[Metrics]:
    """Train M' on D_T and all D_A,i, and write it to ``out``, as ``training.train.train`` does.

    ``target`` is D_T, each record with ``class_name`` or ``label``, or in a folder of that name; ``auxiliaries``
    the D_A,i by name, each record with a class in the field that the recipe names; ``query_map`` gives the class
    names of other queries; with ``recipe.target_label`` "query", the target and the validation records are labelled by
    their queries, too. ``classes`` are the names in the order of the labels; the default is the order of the
    target's integers, else sorted names. ``on_drop`` also takes records whose query is no class; ``on_empty`` the name
    of a source without records.

    Yields:
        One metric record per epoch and source; a resumed run repeats those of finished epochs first.

    Raises:
        InputError: a label that does not fit, a class without a clip, a source of which no query is a class.
        UsageError: batch sizes that are not whole numbers, or more processes than target records.
        Interrupted: stopped with the state saved.
        OutputError: ``out`` cannot be written.
    """
    check_writable(out)
    recipe = with_ratio(recipe, len(auxiliaries))  # checks the options before anything is read
    records = StoredRecords(target)
    if not records:
        raise InputError("no target records: joint training needs labelled clips")
    reader = TargetReader(
        by=recipe.target_label or "label", classes=classes, query_map=query_map or {}, multi_label=recipe.multi_label
    )
    names = reader.class_names(records)
    queries = Queries(ClassIndex(names), query_map or {}, seed)
    sources = {name: _read_source(name, source, queries, recipe, on_drop) for name, source in auxiliaries.items()}
    for name in (name for name, source in sources.items() if not source):
        on_empty(name)
    recipe = without_empty(recipe, [bool(source) for source in sources.values()])
    data = TrainingData(
        classes=names,
        target=reader.read(records, names, on_drop),
        val=reader.read(val or [], names, on_drop),
        auxiliary={name: source for name, source in sources.items() if source},
    )
    yield from train(
        data, stage=STAGE, recipe=recipe, out=out, seed=seed, calibrate=calibrate, min_held_out=min_held_out,
        resume=resume, context=context, on_drop=on_drop,
    )  # fmt: skip


def without_empty(recipe: StudentRecipe, has_records: Sequence[bool]) -> StudentRecipe:
    """The recipe for the auxiliary sources that have records; for none of them, that of a teacher.

    >>> without_empty(StudentRecipe(ratio=(4, 2, 1), mixup="cross"), [False, True]).ratio
    (4, 1)
    """
    if not any(has_records):
        mixup: MixupName = "none" if recipe.mixup == "cross" else recipe.mixup
        alpha = recipe.mixup_alpha if mixup != "none" else 0.0
        return replace(recipe, ratio=(), auxiliary_batch_sizes=(), alternate=False, mixup=mixup, mixup_alpha=alpha)
    ratio = tuple(compress(recipe.ratio, [True, *has_records]))
    sizes = tuple(compress(recipe.auxiliary_batch_sizes, has_records))
    return replace(recipe, ratio=ratio, auxiliary_batch_sizes=sizes)


def _read_source(
    name: str, records: Iterable[Record], queries: Queries, recipe: StudentRecipe, on_drop: OnDrop
) -> ExampleTable:
    """The examples of an auxiliary source; none if it has no record. Raises InputError: no query is a class."""
    num_read = count()
    numbered = (record for record, _ in zip(records, num_read, strict=False))
    examples = read_auxiliary(
        numbered, queries, by=recipe.auxiliary_label, is_soft=recipe.soft_labels, multi_label=recipe.multi_label,
        on_drop=on_drop,
    )  # fmt: skip
    if not examples and next(num_read):
        raise InputError(
            f"auxiliary {name}: none of its queries is one of the {len(queries.classes)} classes; {queries.advice()}"
        )
    return examples
