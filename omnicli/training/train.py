"""One training, of a teacher or of a student: a teacher is a student without auxiliary sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import cast

import torch

from omnicli import __version__
from omnicli.data.dataloader import Example
from omnicli.data.example_table import RecordsOf, label_bytes, lines_of
from omnicli.data.labels import check_every_class_has_a_clip
from omnicli.data.training_clips import check_media
from omnicli.errors import UsageError
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.content import digest_of_backbone
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.recogniser import Recogniser
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop
from omnicli.streams.shards.features import is_stored
from omnicli.training.batch_sampler import TARGET, make_sampler, with_ratio
from omnicli.training.context import TrainingContext
from omnicli.training.data_checks import check_data
from omnicli.training.examples import MIN_HELD_OUT, hold_out, openable
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs
from omnicli.training.loop import train_epochs
from omnicli.training.objective import Objective
from omnicli.training.recipe_fields import StudentRecipe, TeacherRecipe, as_student
from omnicli.training.saved_state import best_path, check_init_stays, deadly_examples, forget_state, noting_in_flight
from omnicli.training.setup import (
    create_learner,
    frozen_backbone,
    initial_weights,
    learn_classifier,
    make_augmentation,
    make_objective,
    measure_strength,
    prepare_training,
)
from omnicli.training.text_init import mix_weights
from omnicli.training.trainer import Metrics, TrainingRun, UnopenedMedia, digest_of_lines, left_out_before
from omnicli.training.validation import Validator


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The labelled examples of a training.

    Attributes:
        classes: names, in the order of the labels.
        target: D_T.
        auxiliary: D_A,i by name; empty for a teacher.
        val: to measure every epoch on; never trained on.
    """

    classes: Sequence[str]
    target: Sequence[Example]
    auxiliary: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    val: Sequence[Example] = ()

    @property
    def sets(self) -> list[Sequence[Example]]:
        """All sets of examples: target, validation, auxiliary."""
        return [self.target, self.val, *self.auxiliary.values()]


def train(
    data: TrainingData,
    *,
    stage: str,
    recipe: TeacherRecipe,
    out: Path,
    seed: int = 0,
    calibrate: bool = True,
    min_held_out: int = MIN_HELD_OUT,
    resume: bool = True,
    context: TrainingContext,
    on_drop: OnDrop,
) -> Iterator[Metrics]:
    """Train a model on the target and the auxiliary sources, and write it to ``out``.

    Args:
        data: all labels are checked; the media of the target and of the validation set are opened before the first
            step, those of auxiliary sources when they are drawn.
        stage: part of the key of every draw.
        recipe: of a teacher, or of a student; its ``model`` is set. Metric records of a student name their source.
        out: the checkpoint, absent until training has finished. With ``data.val``, the best epoch is saved beside it.
        seed: of every draw.
        calibrate: fit a temperature if there are enough target clips (not with ``recipe.multi_label``).
        min_held_out: fewest clips to fit a temperature on.
        resume: continue an unfinished run of the same options and data.
        context: where the training runs.
        on_drop: takes records of unreadable media, as ``unreadable: DETAIL``.

    Yields:
        One metric record per epoch and source; a resumed run repeats those of finished epochs first.

    Raises:
        InputError: records that the model cannot learn from, a class without a clip, or sets that share records.
        UsageError: options that do not fit together, more processes than target records, or initial weights where the
            best epoch is saved.
        Interrupted: stopped with the state saved.
        OutputError: ``out`` cannot be written.
    """
    is_student = isinstance(recipe, StudentRecipe)
    student = _student_of(recipe, data, out)
    digest, labels = _common_digests(data, context)
    trained_on = check_data(data.target, data.val, data.auxiliary, data.classes, context, init=student.init)

    # The model, and the examples that it can learn from
    spec, model = create_learner(student, data.classes, seed, context)
    backbone = frozen_backbone(student)
    _check_media(data, student, backbone, spec, model, context)
    left_out = left_out_before(out, context.world, digest, labels) if resume else UnopenedMedia()
    target = openable(data.target, model, context, on_drop, left_out=left_out, name="target")
    val = openable(data.val, model, context, on_drop, left_out=left_out, name="val")
    least = min_held_out if calibrate and not student.multi_label else len(target) + 1
    held_out, target = hold_out(target, seed=seed, stage=stage, min_held_out=least)
    _check_enough(target, data.classes, context)

    # The steps, and the run over them, fresh or resumed
    paced = student.with_length(len(target))
    sampler = make_sampler(
        target, data.auxiliary, paced, seed=seed, stage=stage, target_name=TARGET if is_student else "",
        world=context.world,
    )  # fmt: skip
    options = {
        **asdict(student if is_student else recipe), "seed": seed, "calibrate": calibrate, "data": digest,
        **({"sources": list(data.auxiliary)} if is_student else {}), "omni": __version__,
        "trunk": backbone, "initial_weights": initial_weights(student, spec, model, context),
        **({"processes": context.world.size} if is_student or context.world.size > 1 else {}),
    }  # fmt: skip
    run = prepare_training(model, paced, sampler, out, options, context)
    run.left_out, run.trained_on, run.labels = left_out, trained_on, labels
    is_resumed = _resume(run, resume)
    for (source, row), why in run.bad.items():  # what the unfinished run found unreadable is a reject of this one too
        on_drop(sampler.sources[source].examples[row].record, unreadable(why))

    # OmniSource Eq. 1, step by step
    augmentation = make_augmentation(spec, student, seed=seed, stage=stage, root=context.root)
    objective = make_objective(student, len(data.classes))
    loaded = LoadedModel(model, spec, 1.0, "", str(out), context.device, torch.float32)
    cached = CachedFeatureInputs(loaded, sampler, augmentation, context)
    if context.compile:
        model.compile()
    inputs = cached if student.freeze == "backbone" else ClipInputs(loaded, sampler, augmentation, context)
    result = replace(loaded, network=cast(Recogniser, run.result))
    validator = Validator(result, val, context, on_drop)
    with noting_in_flight(out, context.world, run.examples_key):
        if not is_resumed:
            _before_first_epoch(cached, student, run, objective)
        yield from train_epochs(
            run, inputs, objective, measure=partial(measure_epoch, validator=validator, spec=spec),
            on_bad=lambda example, why: on_drop(example.record, unreadable(why)),
        )  # fmt: skip

    # Weights mixed with the first ones, a temperature for the scores, and the finished checkpoint
    mixed = mix_and_measure(result, student, seed, validator, context)
    temperature = Validator(result, held_out, context, on_drop).temperature() if held_out else None
    if context.world.is_first:
        last = run.history[-len(sampler.sources)]
        _save(run, out, spec, temperature, {name: last[name] for name in last if name != "seconds"} | mixed)
        forget_state(out)


def _before_first_epoch(
    inputs: CachedFeatureInputs, student: StudentRecipe, run: TrainingRun, objective: Objective
) -> None:
    """Measure the strength of the model, and train its classifier where the recipe does that first."""
    run.strength = measure_strength(inputs, student, run).to_meta()
    if student.probe_epochs:
        learn_classifier(inputs, student, run, objective)


def measure_epoch(run: TrainingRun, *, validator: Validator, spec: ModelSpec) -> Metrics:
    """Metrics of the validation records; saves the best epoch by top-1 or mean AP, the earlier of equal ones."""
    metrics: Metrics = {f"val_{name}": value for name, value in validator.metrics(multi_label=spec.multi_label).items()}
    deciding = "val_mean_ap" if spec.multi_label else "val_top1_acc"
    if metrics and metrics[deciding] > run.best:
        run.best = metrics[deciding]
        if run.world.is_first:
            _save(run, best_path(run.out), spec, None, {"epoch": run.progress.epoch, **metrics})
    return metrics


def mix_and_measure(
    model: LoadedModel, recipe: StudentRecipe, seed: int, validator: Validator, context: TrainingContext
) -> Metrics:
    """Mix trained and first weights (``--wise-ft``); metrics of the validation records by them. ``None``: nothing."""
    if recipe.wise_ft is None:
        return {}
    _, initial = create_learner(recipe, model.spec.classes, seed, context)
    mix_weights(model.network, initial.state_dict(), recipe.wise_ft)
    found = validator.metrics(multi_label=model.spec.multi_label)
    accuracy = found.get("top1_acc")
    shown = "" if accuracy is None else f": validation top-1 {100 * accuracy:.1f} %"
    context.say(f"weights mixed, {recipe.wise_ft:g} of them trained{shown}")
    return {f"val_{name}": value for name, value in found.items()}


def _student_of(recipe: TeacherRecipe, data: TrainingData, out: Path) -> StudentRecipe:
    """The recipe of a student, which a teacher's is, too. Raises UsageError."""
    check_init_stays(recipe.init, out, has_val=bool(data.val))
    return with_ratio(as_student(recipe), len(data.auxiliary))


def _check_media(
    data: TrainingData, student: StudentRecipe, backbone: str | None, spec: ModelSpec, model: Recogniser,
    context: TrainingContext,
) -> None:  # fmt: skip
    """Raise InputError for records that the model cannot learn from, UsageError for options without effect on them."""
    learned = RecordsOf(data.target, *data.auxiliary.values())
    if context.augmentations and all(is_stored(record) for record in learned):
        raise UsageError(f"{context.augmentations[0]} has no effect on rows of features: remove it, or give the media")
    check_media(
        RecordsOf(*data.sets), is_2d=model.is_2d, is_frozen=student.freeze == "backbone",
        backbone=backbone, signature=spec.signature, content=cache(partial(digest_of_backbone, model.backbone, spec)),
        root=context.root,
    )  # fmt: skip


def _save(run: TrainingRun, path: Path, spec: ModelSpec, temperature: float | None, metrics: Metrics) -> None:
    meta = {"model": spec.to_meta(), "temperature": temperature, "metrics": metrics, "provenance": dict(run.options),
            "trained_on": dict(run.trained_on), "strength": dict(run.strength)}  # fmt: skip
    save_checkpoint(path, meta=meta, state_dict=run.result.state_dict())


def _resume(run: TrainingRun, resume: bool) -> bool:
    if resume:
        is_resumed = run.resume()
        run.bad |= deadly_examples(run.out, run.world, run.examples_key)
        return is_resumed
    if run.world.is_first:
        forget_state(run.out)
    return False


def _check_enough(target: Sequence[Example], classes: Sequence[str], context: TrainingContext) -> None:
    """Raise InputError for a class without a clip, UsageError for a process without one."""
    check_every_class_has_a_clip(target, classes)
    size = context.world.size
    if len(target) < size:
        raise UsageError(f"{len(target)} target records for {size} processes: some would have none; start fewer")


def _common_digests(data: TrainingData, context: TrainingContext) -> tuple[str, str]:
    """Digests of the records, and of their classes and labels, the same on every process. Raises UsageError."""
    records = digest_of_lines(line for examples in data.sets for line in lines_of(examples))
    parts = ((repr(len(examples)).encode(), *label_bytes(examples)) for examples in data.sets)
    labels = digest_of_lines(chain((repr(list(data.classes)).encode(),), chain.from_iterable(parts)))
    digests = context.world.gather((records, labels))
    if len(set(digests)) > 1:
        other = next(rank for rank, found in enumerate(digests) if found != digests[0])
        what = "records" if digests[other][0] != records else "classes or labels"
        raise UsageError(f"process {other} read other {what} than process 0; give files that all see, not a pipe")
    return records, labels
