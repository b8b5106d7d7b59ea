"""Teacher training (Sec. 3.4): M on the target dataset D_T, with intra-dataset mixup (Sec. 3.6).

    in    target records with a class each, videos if M is 3D; optionally validation records
    out   one metric record an epoch, and a checkpoint

Every class, label and file is checked before the first step: media that cannot be opened leave as counted rejects. A
clip that opens but fails to decode in the middle of training leaves then, counted too, and its place in the batch stays
empty: nothing is drawn in its stead, so the balance of classes never shifts unseen.

Frozen backbone (``freeze="backbone"``): epoch e sees augmented view e mod 10 of every clip, and the features of a view
are
computed once, in fixed batches, and kept (up to 2 GiB; beyond that they are computed again, to the same bits). So what
is cached is exactly what would be computed; the ten views are Ours. With mixup the features are mixed (Ours).

Ours: a temperature is fitted (Guo et al., 2017) on 5 % of the training clips, held out by their origin, where that
makes 100 or more; else there is none: clips of one shoot look so alike that a handful would only flatter M.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from omnicli import __version__
from omnicli.data.dataloader import Example
from omnicli.data.labels import check_every_class_has_a_clip, infer_classes, read_examples
from omnicli.data.training_clips import check_media
from omnicli.errors import InputError
from omnicli.models.checkpoint import check_writable
from omnicli.models.loading import LoadedModel
from omnicli.reasons import unreadable
from omnicli.streams.record import OnDrop, Record
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs
from omnicli.training.objective import Objective, step_losses
from omnicli.training.recipes import TeacherRecipe
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
from omnicli.training.trainer import Metrics, UnopenedMedia, digest_of_records, forget_state, left_out_before
from omnicli.training.validation import Validator

STAGE = "teacher-train"


def train_teacher(
    records: Iterable[Record],
    *,
    recipe: TeacherRecipe,
    out: Path,
    val: Iterable[Record] | None = None,
    classes: Sequence[str] | None = None,
    seed: int = 0,
    calibrate: bool = True,
    min_held_out: int = MIN_HELD_OUT,
    resume: bool = True,
    setting: TrainingContext,
    on_drop: OnDrop,
) -> Iterator[Metrics]:
    """Train M on D_T and write it to ``out``.

    Args:
        records: D_T, each with ``class_name`` or ``label``, or in a folder named after its class.
        recipe: how; its ``model`` is set.
        out: the checkpoint, absent until training has finished. With ``val`` the best epoch is kept beside it.
        val: labelled records to measure every epoch on; never trained on, never calibrated on.
        classes: their order; default that of the records' integers, else sorted names.
        seed: of every draw.
        calibrate: fit a temperature where there are enough clips.
        min_held_out: fewest clips worth fitting a temperature on.
        resume: take up an unfinished training of the same options and data.
        setting: where and how.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        One metric record an epoch, those of finished epochs of an interrupted run first.

    Raises:
        InputError: no record, a label that does not fit, a class without a clip.
        Interrupted: stopped with the state saved.
        OutputError: ``out`` cannot become a checkpoint.
    """
    check_writable(out)
    # D_T and M: every label and every file is checked before the first step
    target = list(records)
    if not target:
        raise InputError("no target records: a teacher needs labelled clips")
    names = list(classes) if classes is not None else infer_classes(target)
    examples = read_examples(target, names)
    val_examples = read_examples(list(val), names) if val is not None else []
    digest = digest_of_records(example.record for example in examples + val_examples)
    spec, model = create_learner(recipe, names, seed, setting)
    backbone = frozen_backbone(recipe)
    check_media(
        [example.record for example in examples + val_examples], is_2d=model.is_2d,
        is_frozen=recipe.freeze == "backbone", backbone=backbone, looks=spec.signature, root=setting.root,
    )  # fmt: skip
    left_out = left_out_before(out, setting.world, digest) if resume else UnopenedMedia()
    examples, val_examples = opened_sets(examples, val_examples, model.is_2d, setting, on_drop, left_out)
    held_out: list[Example] = []
    if calibrate:
        held_out, examples = hold_out(examples, seed=seed, stage=STAGE, min_held_out=min_held_out)
    check_every_class_has_a_clip(examples, names)

    # how M learns
    options = {
        **asdict(recipe), "seed": seed, "calibrate": calibrate, "data": digest, "omni": __version__, "trunk": backbone,
    }  # fmt: skip
    plan = JointSampler([TrainingSource("", examples, recipe.batch_size)], ratio=[1], seed=seed, stage=STAGE)
    training = prepare_training(model, recipe, plan, out, options, setting)
    training.left_out = left_out
    if not resume:
        forget_state(out)
    resumed = training.resume()
    tell_again(training, plan, on_drop)

    # train on D_T
    look = augmentation(spec, recipe, seed=seed, stage=STAGE, root=setting.root)
    teacher = LoadedModel(model, spec, 1.0, "", str(out), setting.device, torch.float32)
    objective = Objective(
        num_classes=len(names), label_smoothing=recipe.label_smoothing, mixup_alpha=recipe.mixup_alpha
    )
    if recipe.probe_epochs and not resumed:
        learn_classifier(CachedFeatureInputs(teacher, plan, look, setting), recipe, training, objective)
    feed = (CachedFeatureInputs if recipe.freeze == "backbone" else ClipInputs)(teacher, plan, look, setting)
    yield from training.run(
        partial(feed.batches, training.bad),
        compute_loss=partial(step_losses, feed=feed, training=training, objective=objective),
        measure=partial(measure_epoch, judge=Validator(teacher, val_examples, setting, on_drop), spec=spec),
        on_bad=lambda example, why: on_drop(example.record, unreadable(why)),
    )

    # a temperature for its scores, and the finished teacher
    temperature = Validator(teacher, held_out, setting, on_drop).temperature() if held_out else None
    finish_training(training, spec, temperature, training.history[-1])
