"""Teacher training (Sec. 3.4): M on the target dataset D_T, with intra-dataset mixup (Sec. 3.6).

    in    target records with a class each, videos if M is 3D; optionally validation records
    out   one metric record an epoch, and a checkpoint

Every class, label and file is checked before the first step: media that cannot be opened leave as counted rejects. A
clip that opens but fails to decode in the middle of training leaves then, counted too, and its place in the batch stays
empty: nothing is drawn in its stead, so the balance of classes never shifts unseen.

Frozen trunk (``freeze="backbone"``): epoch e sees augmented view e mod 10 of every clip, and the features of a view are
computed once, in fixed batches, and kept (up to 2 GiB; beyond that they are computed again, to the same bits). So what
is cached is exactly what would be computed; the ten views are Ours. With mixup the features are mixed (Ours).

Ours: a temperature is fitted (Guo et al., 2017) on 5 % of the training clips, held out by their origin, where that
makes 100 or more; else there is none: clips of one shoot look so alike that a handful would only flatter M.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omnicli import __version__
from omnicli.data.dataset import Augmentation
from omnicli.data.keyed_random import keyed_rng, keyed_seed
from omnicli.data.loaders import Batch, Example
from omnicli.data.mixup import draw_mixup, label_probabilities, mix
from omnicli.data.targets import check_every_class_has_a_clip, infer_classes, read_examples
from omnicli.engine.fit import StepLoss
from omnicli.engine.losses import cross_entropy
from omnicli.engine.optim import Group, Schedule, make_sgd, scaled_lr
from omnicli.errors import InputError, Interrupted, MediaError, UsageError
from omnicli.feeds import ClipFeed, FrozenFeed, Judge, Setting
from omnicli.media.prefetch import Lull, map_ahead
from omnicli.media.source import is_picture, open_media
from omnicli.models.architectures import three_d_design
from omnicli.models.checkpoint import check_writable, save_checkpoint
from omnicli.models.factory import ModelSpec, create_model, model_spec
from omnicli.models.recogniser import Recogniser
from omnicli.models.teacher import Teacher
from omnicli.recipes import TeacherRecipe
from omnicli.streams.records import OnDrop, Record, shard_key
from omnicli.training import Metrics, Training, digest_of_records, forget_state

STAGE = "teacher-train"
MAX_CLASSIFIER_DECAY = 0.2
HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 5_000
MIN_HELD_OUT = 100


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
    setting: Setting,
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
    spec, model = _create(recipe, names, seed, setting)
    examples = list(_readable(examples, model.is_2d, setting, on_drop))
    val_examples = list(_readable(val_examples, model.is_2d, setting, on_drop))
    held_out, examples = _hold_out(examples, seed, min_held_out, HELD_OUT_SHARE) if calibrate else ([], examples)
    check_every_class_has_a_clip(examples, names)

    # how M learns
    options = {**asdict(recipe), "seed": seed, "calibrate": calibrate, "data": digest, "omni": __version__}
    training = _prepare(model, recipe, len(examples), out, options, setting)
    if not resume:
        forget_state(out)
    resumed = training.resume()
    for example in examples:
        if why := training.bad.get(str(example.record.get("id"))):
            on_drop(example.record, f"unreadable: {why}")

    # train on D_T
    look = Augmentation(
        num_segments=spec.num_segments, num_frames=spec.num_frames, frame_interval=spec.frame_interval,
        short_side=spec.short_side, crop_size=spec.crop_size, crop=recipe.crop, min_area=recipe.min_area,
        seed=seed, stage=STAGE, root=setting.root,
    )  # fmt: skip
    teacher = Teacher(model, spec, 1.0, "", str(out), setting.device, torch.float32)
    if recipe.probe_epochs and not resumed:
        _learn_classifier(FrozenFeed(teacher, examples, look, recipe.batch_size, setting), recipe, training)
    feed = (FrozenFeed if recipe.freeze == "backbone" else ClipFeed)(
        teacher, examples, look, recipe.batch_size, setting
    )
    measure = partial(_measure, judge=Judge(teacher, val_examples, setting, on_drop), spec=spec)
    yield from training.run(
        partial(feed.batches, training.bad), compute_loss=partial(_loss, feed=feed, training=training, recipe=recipe),
        measure=measure, on_bad=lambda example, why: on_drop(example.record, f"unreadable: {why}"),
    )  # fmt: skip

    # a temperature for its scores, and the finished teacher
    temperature = Judge(teacher, held_out, setting, on_drop).temperature() if held_out else None
    metrics = {name: value for name, value in training.history[-1].items() if name != "seconds"}
    meta = {"model": spec.to_meta(), "temperature": temperature, "metrics": metrics, "provenance": options}
    save_checkpoint(out, meta=meta, state_dict=model.state_dict())
    forget_state(out)


def _readable(
    examples: Sequence[Example], takes_pictures: bool, setting: Setting, on_drop: OnDrop
) -> Iterator[Example]:
    """Those whose media can be opened.

    Raises:
        InputError: a picture for a 3D model.
    """

    def why_not(example: Example) -> str:
        try:
            with open_media(example.record, root=setting.root) as source:
                if is_picture(source) and not takes_pictures:
                    raise InputError(
                        f"{example.record.where}: a picture, and a 3D model learns from clips; train a 2D model on "
                        "it, such as a TSN, or leave pictures out"
                    )
        except MediaError as error:
            return str(error)
        return ""

    reasons = map_ahead(why_not, examples, workers=setting.workers, ahead=4 * setting.workers)
    for example, why in zip(examples, (reason for reason in reasons if not isinstance(reason, Lull)), strict=True):
        if setting.should_stop():
            raise Interrupted("stopped before the first step; run the same command again")
        if why:
            on_drop(example.record, f"unreadable: {why}")
        else:
            yield example


def _hold_out(
    examples: Sequence[Example], seed: int, min_held_out: int, share: float
) -> tuple[list[Example], list[Example]]:
    """Examples to fit a temperature on, and those to train on; pieces of one video stay together.

    Every class keeps an example to train on. None are held out where that gives fewer than ``min_held_out``.
    """
    wanted = min(int(share * len(examples)), MAX_HELD_OUT)
    if wanted < min_held_out:
        return [], list(examples)
    origins: dict[str, list[Example]] = {}
    for example in examples:
        origins.setdefault(shard_key(example.record), []).append(example)
    left = Counter(example.label for example in examples)
    held_out: list[Example] = []
    for key in sorted(origins, key=lambda key: keyed_seed(seed, STAGE, key, draw=1)):
        taken = Counter(example.label for example in origins[key])
        if len(held_out) + len(origins[key]) <= wanted and all(left[label] > count for label, count in taken.items()):
            left -= taken
            held_out += origins[key]
    if len(held_out) < min_held_out:
        return [], list(examples)
    gone = {id(example) for example in held_out}
    return held_out, [example for example in examples if id(example) not in gone]


def _create(recipe: TeacherRecipe, classes: Sequence[str], seed: int, setting: Setting) -> tuple[ModelSpec, Recogniser]:
    """M and what it eats.

    Raises:
        UsageError: no such architecture, or it has no use for an option.
    """
    name = recipe.model or ""
    is_3d = three_d_design(name) is not None
    if is_3d and recipe.num_segments:
        raise UsageError(f"--num-segments is for 2D models, and {name} looks at clips: give --num-frames")
    if not is_3d and (recipe.num_frames or recipe.frame_interval):
        raise UsageError(f"--num-frames and --frame-interval are for 3D models, and {name} looks at segments")
    spec = model_spec(
        name,
        classes=classes,
        num_segments=recipe.num_segments,
        num_frames=recipe.num_frames,
        frame_interval=recipe.frame_interval,
        short_side=recipe.short_side,
        crop_size=recipe.crop_size,
        dropout=recipe.dropout,
    )
    model = create_model(name, num_classes=len(classes), init=recipe.init, dropout=recipe.dropout, seed=seed)
    model.freeze(recipe.freeze)
    return spec, model.to(setting.device)


def _prepare(
    model: Recogniser, recipe: TeacherRecipe, num_clips: int, out: Path, options: Mapping[str, Any], setting: Setting
) -> Training:
    prior = min(recipe.classifier_prior / num_clips, MAX_CLASSIFIER_DECAY)
    optimizer = make_sgd(
        [
            Group(list(model.backbone.parameters()), recipe.backbone_lr_scale, recipe.weight_decay),
            Group(list(model.fc.parameters()), 1.0, recipe.weight_decay + prior),
        ]
    )
    lr = scaled_lr(recipe.lr, batch_size=recipe.batch_size, reference_batch_size=recipe.reference_batch_size)
    return Training(
        out=out,
        model=model,
        optimizer=optimizer,
        schedule=Schedule(recipe.schedule, recipe.epochs, recipe.milestones, recipe.warmup_epochs),
        lr=lr,
        steps_per_epoch=-(-num_clips // recipe.batch_size),
        seed=options["seed"],
        stage=STAGE,
        options=options,
        should_stop=setting.should_stop,
    )


def _learn_classifier(feed: FrozenFeed, recipe: TeacherRecipe, training: Training) -> None:
    """First the classifier alone, on the frozen trunk: a random one would tear at pretrained weights.

    Ours, after Kumar et al., 2022 (linear probing, then fine-tuning). It takes little and is not saved: a training
    interrupted here begins again.
    """
    probe = replace(recipe, epochs=recipe.probe_epochs, lr=recipe.probe_lr, label_smoothing=0.0, mixup_alpha=0.0)
    feed.teacher.model.freeze("backbone")
    inner = _prepare(feed.teacher.model, probe, len(feed.examples), training.out, training.options, feed.setting)
    for epoch in range(probe.epochs):
        batches = feed.batches({}, epoch, 0)
        if not inner.train_epoch(batches, partial(_loss, feed=feed, training=inner, recipe=probe)):
            raise Interrupted("stopped before the first epoch; run the same command again")
        inner.progress.next_epoch()
    feed.teacher.model.freeze(recipe.freeze)


def _loss(model: nn.Module, batch: Batch, *, feed: ClipFeed, training: Training, recipe: TeacherRecipe) -> StepLoss:
    """Cross-entropy, with intra-dataset mixup where asked for: x = λ x_i + (1 - λ) x_j, labels likewise (Sec. 3.6)."""
    inputs, labels = feed.inputs(batch), batch.labels.to(feed.setting.device)
    heavier, wanted = labels, labels
    if recipe.mixup_alpha:
        progress = training.progress
        rng = keyed_rng(training.seed, STAGE, "mixup", progress.epoch, progress.step)
        lam, partners = draw_mixup(len(labels), alpha=recipe.mixup_alpha, rng=rng)
        probabilities = label_probabilities(labels, len(feed.teacher.classes))
        inputs, wanted = mix(inputs, lam, partners), mix(probabilities, lam, partners)
        heavier = labels if lam >= 0.5 else labels[partners.to(labels.device)]
    logits = feed.logits(inputs)  # (N, K)
    loss = cross_entropy(logits, wanted, label_smoothing=recipe.label_smoothing)
    return StepLoss(loss, int((logits.argmax(dim=1) == heavier).sum()), len(labels))


def _measure(training: Training, *, judge: Judge, spec: ModelSpec) -> Metrics:
    """Accuracy on the validation records; the best epoch by top-1, the earlier of equals, is kept beside ``-o``."""
    metrics = {f"val_{name}": value for name, value in judge.metrics().items()}
    if metrics and metrics["val_top1_acc"] > training.best:
        training.best = metrics["val_top1_acc"]
        meta = {"model": spec.to_meta(), "temperature": None, "metrics": {"epoch": training.progress.epoch, **metrics}}
        path = training.out.with_name(f"{training.out.stem}.best{training.out.suffix}")
        save_checkpoint(
            path, meta={**meta, "provenance": dict(training.options)}, state_dict=training.model.state_dict()
        )
    return metrics
