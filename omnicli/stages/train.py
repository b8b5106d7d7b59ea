"""Joint training (Sec. 3.6, Eq. 1): one student M' learns from the target set and every web source at once.

    in    target records D_T; auxiliary records D_A,i, one list a source, with pseudo-labels; validation records
    out   one metric record an epoch and source, and a checkpoint

Eq. 1: the loss of a step is the cross-entropy summed over B_T and every B_A,i. Ours: divided by the number of samples,
with a learning rate that grows with it, which is the same step; one forward pass a source, so that each has its own
batch statistics, the target last, so that the running statistics lean to it (the released runner's order).

Balance between mini-batches: |B_T| : |B_A,1| : ... = ``ratio``; the paper: "2:1 ~ 1:1 works reasonably well". Ours: the
default is the released one, 1:1 for one web source, 2:1:...:1 for several.
Resampling: records are drawn by their ``weight`` (``omni balance``), so that a class of N records is drawn ∝ N^p.
Cross-dataset mixup, and Eq. 1 itself: see ``objective``.

``alternate``: what the released runner does: one update a source batch.

A student teaches the next round, so it gets a temperature as a teacher does (Ours; see ``teacher_train``), fitted on
target clips that are held out; none with several labels a record.

Every label is checked, and all media of the target opened, before the first step. Web media are opened when their turn
comes, for there may be millions; what turns out unreadable leaves then, counted, and its place stays empty.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch

from omnicli import __version__
from omnicli.data.auxiliary import read_auxiliary, read_weights
from omnicli.data.dataloader import Example
from omnicli.data.labels import (
    check_every_class_has_a_clip,
    infer_classes,
    one_class_each,
    read_examples,
    read_multi_label,
)
from omnicli.data.query_labels import Queries
from omnicli.data.training_clips import check_media
from omnicli.errors import InputError, UsageError
from omnicli.models.checkpoint import check_writable
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.recogniser import Recogniser
from omnicli.reasons import unreadable
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record
from omnicli.training.batch_sampler import JointSampler, TrainingSource, batch_sizes
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs
from omnicli.training.objective import Objective, step_losses
from omnicli.training.recipes import StudentRecipe
from omnicli.training.setup import (
    MIN_HELD_OUT,
    augmentation,
    create_learner,
    finish_training,
    frozen_backbone,
    hold_out,
    learn_classifier,
    measure_epoch,
    opened_sets,
    prepare_training,
    tell_again,
)
from omnicli.training.trainer import (
    Metrics,
    TrainingRun,
    UnopenedMedia,
    digest_of_records,
    forget_state,
    left_out_before,
)
from omnicli.training.validation import Validator

STAGE = "train"
TARGET = "target"


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
    setting: TrainingContext,
    on_drop: OnDrop,
) -> Iterator[Metrics]:
    """Train M' on D_T and all D_A,i, and write it to ``out``.

    Args:
        target: D_T, each with ``class_name`` or ``label``, or in a folder named after its class.
        auxiliaries: D_A,i by name, each record with a class in the field that the recipe names.
        recipe: how; its ``model`` and ``ratio`` are set.
        out: the checkpoint, absent until training has finished. With ``val`` the best epoch is kept beside it.
        val: labelled records to measure every epoch on; never trained on.
        classes: their order; default that of the target's integers, else sorted names.
        query_map: queries that are no class name.
        seed: of every draw.
        calibrate: fit a temperature where there are enough target clips.
        min_held_out: fewest clips worth fitting a temperature on.
        resume: take up an unfinished training of the same options and data.
        setting: where and how.
        on_drop: takes what cannot be read, as ``unreadable: why``, and what was searched for no class.

    Yields:
        One metric record an epoch and source, those of finished epochs of an interrupted run first.

    Raises:
        InputError: a source without records, a label that does not fit, a class without a clip.
        UsageError: batch sizes that are not whole, more processes than target records.
        Interrupted: stopped with the state saved.
        OutputError: ``out`` cannot become a checkpoint.
    """
    check_writable(out)
    world = setting.world
    recipe, sizes = mini_batches(recipe, len(auxiliaries))
    # D_T, and every D_A,i with its pseudo-labels: all labels are checked before the first step
    names, target_examples, val_examples = _read_target(list(target), val, classes, recipe.multi_label)
    queries = Queries(ClassIndex(names), query_map or {}, seed)
    web = {name: _read_web(name, records, queries, recipe, on_drop) for name, records in auxiliaries.items()}
    everything = [*target_examples, *val_examples, *(example for examples in web.values() for example in examples)]
    digest = _common_digest(everything, setting)

    # M', and the target's media
    spec, model = create_learner(recipe, names, seed, setting, multi_label=recipe.multi_label)
    backbone = frozen_backbone(recipe)
    check_media(
        [example.record for example in everything], is_2d=model.is_2d, is_frozen=recipe.freeze == "backbone",
        backbone=backbone, looks=spec.signature, root=setting.root,
    )  # fmt: skip
    left_out = left_out_before(out, world, digest) if resume else UnopenedMedia()
    target_examples, val_examples = opened_sets(target_examples, val_examples, model.is_2d, setting, on_drop, left_out)
    held_out: list[Example] = []
    if calibrate and not recipe.multi_label:
        held_out, target_examples = hold_out(target_examples, seed=seed, stage=STAGE, min_held_out=min_held_out)
    _check_enough(target_examples, names, setting)

    # |B_T| : |B_A,1| : ..., and chances ∝ weight
    plan = _plan_sources(target_examples, web, recipe, sizes, seed, setting)
    options = {
        **asdict(recipe), "seed": seed, "calibrate": calibrate, "sources": list(web), "data": digest,
        "processes": world.size, "omni": __version__, "trunk": backbone,
    }  # fmt: skip
    training = prepare_training(model, recipe, plan, out, options, setting, ema=recipe.ema)
    training.left_out = left_out
    resumed = _take_up(training, plan, resume, on_drop)

    # Eq. 1, step by step
    num_positive = _num_positive(recipe, spec)
    look = replace(augmentation(spec, recipe, seed=seed, stage=STAGE, root=setting.root), num_positive=num_positive)
    student = LoadedModel(model, spec, 1.0, "", str(out), setting.device, torch.float32)
    objective = Objective(
        num_classes=len(names), label_smoothing=recipe.label_smoothing, mixup_alpha=recipe.mixup_alpha,
        is_cross=recipe.mixup == "cross", multi_label=recipe.multi_label, num_passes=recipe.num_passes,
    )  # fmt: skip
    if recipe.probe_epochs and not resumed:
        learn_classifier(CachedFeatureInputs(student, plan, look, setting), recipe, training, objective)
    if setting.compile:
        model.compile()
    feed = (CachedFeatureInputs if recipe.freeze == "backbone" else ClipInputs)(student, plan, look, setting)
    student = replace(student, network=cast(Recogniser, training.result))
    judge = Validator(student, val_examples, setting, on_drop)
    yield from training.run(
        partial(feed.batches, training.bad),
        compute_loss=partial(step_losses, feed=feed, training=training, objective=objective),
        measure=partial(measure_epoch, judge=judge, spec=spec, multi_label=recipe.multi_label),
        on_bad=lambda example, why: on_drop(example.record, unreadable(why)),
    )

    # a temperature for its scores, and the finished student
    temperature = Validator(student, held_out, setting, on_drop).temperature() if held_out else None
    if world.is_first:
        finish_training(training, spec, temperature, training.history[-len(plan.sources)])


def mini_batches(recipe: StudentRecipe, num_web: int) -> tuple[StudentRecipe, list[int]]:
    """The recipe with its ratio, and |B_T|, |B_A,1|, ... on each process.

    Raises:
        UsageError: a ratio for another number of sources, or batch sizes that are not whole.
    """
    recipe = replace(recipe, ratio=recipe.ratio or default_ratio(num_web))
    if len(recipe.ratio) != 1 + num_web:
        shown = ":".join(map(str, recipe.ratio))
        raise UsageError(f"--ratio {shown}: expected {1 + num_web} numbers: the target's and each --auxiliary's")
    if recipe.alternate:
        return recipe, [recipe.batch_size, *(recipe.auxiliary_batch_sizes or [recipe.batch_size] * num_web)]
    return recipe, batch_sizes(recipe.batch_size, recipe.ratio)


def default_ratio(num_web: int) -> tuple[int, ...]:
    """The released settings: 1:1 for one web source, 2:1:...:1 for several (CHECKPOINTS section 5).

    >>> default_ratio(1), default_ratio(3)
    ((1, 1), (2, 1, 1, 1))
    """
    return (1,) * (1 + num_web) if num_web < 2 else (2, *(1,) * num_web)


def _read_target(
    target: list[Record], val: Iterable[Record] | None, classes: Sequence[str] | None, multi_label: bool
) -> tuple[list[str], list[Example], list[Example]]:
    """Class names, and the examples of D_T and of the validation set."""
    if not target:
        raise InputError("no target records: joint training needs labelled clips")
    read = read_multi_label if multi_label else read_examples
    named = [single for record in target for single in one_class_each(record)] if multi_label else target
    names = list(classes) if classes is not None else infer_classes(named)
    return names, read(target, names), read(list(val), names) if val is not None else []


def _read_web(
    name: str, records: Iterable[Record], queries: Queries, recipe: StudentRecipe, on_drop: OnDrop
) -> list[Example]:
    found = list(records)
    if not found:
        raise InputError(f"auxiliary {name}: no records")
    examples = read_auxiliary(
        found, queries, by=recipe.auxiliary_label, is_soft=recipe.soft_labels, multi_label=recipe.multi_label,
        on_drop=on_drop,
    )  # fmt: skip
    if not examples:
        raise InputError(
            f"auxiliary {name}: none of its queries is one of the {len(queries.classes)} classes; see --query-map"
        )
    return examples


def _plan_sources(
    target: Sequence[Example],
    web: Mapping[str, Sequence[Example]],
    recipe: StudentRecipe,
    sizes: Sequence[int],
    seed: int,
    setting: TrainingContext,
) -> JointSampler:
    """Mini-batches of these sizes, web records drawn by their weight. Raises InputError."""
    sources = [TrainingSource(TARGET, target, sizes[0])]
    for (name, examples), size in zip(web.items(), sizes[1:], strict=True):
        sources.append(TrainingSource(name, examples, size, read_weights(examples, name)))
    return JointSampler(
        sources, recipe.ratio, alternate=recipe.alternate, seed=seed, stage=STAGE, multi_label=recipe.multi_label,
        rank=setting.world.rank, size=setting.world.size,
    )  # fmt: skip


def _num_positive(recipe: StudentRecipe, spec: ModelSpec) -> int | None:
    """Of the snippets of a segmented video. Raises UsageError where they are no clip of the model."""
    shown = ":".join(map(str, recipe.snippets))
    if recipe.snippets and len(recipe.snippets) != 2:
        raise UsageError(f"--snippets {shown}: expected two numbers, positive and negative snippets, such as 1:2")
    if recipe.snippets and sum(recipe.snippets) != spec.num_segments:
        total = sum(recipe.snippets)
        raise UsageError(f"--snippets {shown}: {total} snippets, and {spec.name} sees {spec.num_segments}")
    return recipe.snippets[0] if recipe.snippets else None


def _check_enough(examples: Sequence[Example], names: Sequence[str], setting: TrainingContext) -> None:
    """Something to look at for every class and every process. Raises InputError, UsageError."""
    check_every_class_has_a_clip(examples, names)
    size = setting.world.size
    if len(examples) < size:
        raise UsageError(f"{len(examples)} target records for {size} processes: some would have none; start fewer")


def _common_digest(examples: Sequence[Example], setting: TrainingContext) -> str:
    """What the data are, the same for every process. Raises UsageError."""
    digest = digest_of_records(example.record for example in examples)
    digests = setting.world.gather(digest)
    if len(set(digests)) > 1:
        other = next(rank for rank, found in enumerate(digests) if found != digests[0])
        raise UsageError(f"process {other} read other records than process 0; give files that all see, not a pipe")
    return digest


def _take_up(training: TrainingRun, plan: JointSampler, resume: bool, on_drop: OnDrop) -> bool:
    """Take up an unfinished training, if there is one, and tell again what was unreadable; True if there was."""
    if not resume:
        if training.world.is_first:
            forget_state(training.out)
        return False
    resumed = training.resume()
    tell_again(training, plan, on_drop)
    return resumed
