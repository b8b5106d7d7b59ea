"""What teacher-train and train do alike: the model, its media, how it learns, the best epoch, what is held out.

Training a teacher is joint training without web sources.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from omnicli.data.dataloader import Example
from omnicli.data.training_clips import Augmentation
from omnicli.errors import InputError, Interrupted, MediaError, UsageError
from omnicli.media.parallel import IDLE_SEC, Idle, parallel_map
from omnicli.media.source import is_image, open_media
from omnicli.models.architectures import find_config_3d
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import ModelSpec, create_model, model_spec
from omnicli.models.recogniser import Recogniser
from omnicli.reasons import unreadable
from omnicli.rng import keyed_seed
from omnicli.streams.record import OnDrop, partition_key
from omnicli.training.batch_sampler import JointSampler
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import CachedFeatureInputs
from omnicli.training.loop import Progress, SourceMetrics
from omnicli.training.objective import Objective, step_losses
from omnicli.training.optim import ParameterGroup, Schedule, make_sgd, scaled_lr
from omnicli.training.recipes import TeacherRecipe
from omnicli.training.trainer import Metrics, TrainingRun, UnopenedMedia, forget_state
from omnicli.training.validation import Validator

MAX_CLASSIFIER_DECAY = 0.2
HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 5_000
MIN_HELD_OUT = 100


def create_learner(
    recipe: TeacherRecipe, classes: Sequence[str], seed: int, setting: TrainingContext, *, multi_label: bool = False
) -> tuple[ModelSpec, Recogniser]:
    """The new model, and what it eats.

    Raises:
        UsageError: no such architecture, or it has no use for an option.
    """
    name = recipe.model or ""
    is_3d = find_config_3d(name) is not None
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
    spec = replace(spec, multi_label=multi_label)
    model = create_model(name, num_classes=len(classes), init=recipe.init, dropout=recipe.dropout, seed=seed)
    model.freeze(recipe.freeze)
    return spec, model.to(setting.device)


def frozen_backbone(recipe: TeacherRecipe) -> str | None:
    """SHA-256 of the file whose weights the backbone keeps; "" for ImageNet's, None where it learns or is random."""
    if recipe.freeze != "backbone" or recipe.init == "scratch":
        return None
    return "" if recipe.init == "imagenet" else hashlib.sha256(Path(recipe.init).read_bytes()).hexdigest()


def augmentation(spec: ModelSpec, recipe: TeacherRecipe, *, seed: int, stage: str, root: str | None) -> Augmentation:
    """How training looks at media."""
    return Augmentation(
        num_segments=spec.num_segments, num_frames=spec.num_frames, frame_interval=spec.frame_interval,
        short_side=spec.short_side, crop_size=spec.crop_size, crop=recipe.crop, min_area=recipe.min_area,
        seed=seed, stage=stage, root=root,
    )  # fmt: skip


def opened_sets(
    target: Sequence[Example],
    val: Sequence[Example],
    takes_images: bool,
    setting: TrainingContext,
    on_drop: OnDrop,
    left_out: UnopenedMedia,
) -> tuple[list[Example], list[Example]]:
    """``readable`` of the target and of the validation set. Raises InputError."""
    target = list(readable(target, takes_images, setting, on_drop, left_out=left_out, name="target"))
    return target, list(readable(val, takes_images, setting, on_drop, left_out=left_out, name="val"))


def readable(
    examples: Sequence[Example],
    takes_images: bool,
    setting: TrainingContext,
    on_drop: OnDrop,
    *,
    left_out: UnopenedMedia,
    name: str,
) -> Iterator[Example]:
    """Those whose media can be opened, or could be when the training began; ranks share the opening.

    Args:
        examples: a set of them.
        takes_images: the model is 2D.
        setting: where.
        on_drop: told of the others, as ``unreadable: why``.
        left_out: of an unfinished training, or where to note it.
        name: of the set.

    Raises:
        InputError: an image for a 3D model.
    """
    places = left_out.places.setdefault(name, {})
    if not left_out.is_known:
        places |= _unopened(examples, takes_images, setting)
    for place, example in enumerate(examples):
        if why := places.get(place):
            on_drop(example.record, unreadable(why))
        else:
            yield example


def _unopened(examples: Sequence[Example], takes_images: bool, setting: TrainingContext) -> dict[int, str]:
    """Places of examples whose media cannot be opened, and why. Raises InputError."""

    def why_not(example: Example) -> str:
        if example.record.get("media") == "features":
            return ""
        try:
            with open_media(example.record, root=setting.root) as source:
                if is_image(source) and not takes_images:
                    raise InputError(
                        f"{example.record.where}: an image, and a 3D model learns from clips; train a 2D model on "
                        "it, such as a TSN, or leave images out"
                    )
        except MediaError as error:
            return str(error)
        return ""

    world = setting.world
    mine = examples[world.rank :: world.size]
    results = parallel_map(why_not, mine, workers=setting.workers, ahead=4 * setting.workers, idle_sec=IDLE_SEC)
    reasons: list[str] = []
    for why in results:
        if setting.should_stop():
            raise Interrupted("stopped before the first step; run the same command again")
        if not isinstance(why, Idle):
            reasons.append(why)
    everyone = world.gather(reasons)
    found = {place: everyone[place % world.size][place // world.size] for place in range(len(examples))}
    return {place: why for place, why in found.items() if why}


def hold_out(
    examples: Sequence[Example], *, seed: int, stage: str, min_held_out: int = MIN_HELD_OUT
) -> tuple[list[Example], list[Example]]:
    """Examples to fit a temperature on, and those to train on; pieces of one video stay together.

    Every class keeps an example to train on. None are held out where that gives fewer than ``min_held_out``: clips of
    one shoot look so alike that a handful would only flatter the model (Ours, as are the numbers).
    """
    wanted = min(int(HELD_OUT_SHARE * len(examples)), MAX_HELD_OUT)
    if wanted < min_held_out:
        return [], list(examples)
    origins: dict[str, list[Example]] = {}
    for example in examples:
        origins.setdefault(partition_key(example.record), []).append(example)
    left = Counter(example.label for example in examples)
    held_out: list[Example] = []
    for key in sorted(origins, key=lambda key: keyed_seed(seed, stage, key, draw=1)):
        taken = Counter(example.label for example in origins[key])
        if len(held_out) + len(origins[key]) <= wanted and all(left[label] > count for label, count in taken.items()):
            left -= taken
            held_out += origins[key]
    if len(held_out) < min_held_out:
        return [], list(examples)
    gone = {id(example) for example in held_out}
    return held_out, [example for example in examples if id(example) not in gone]


def prepare_training(
    model: Recogniser,
    recipe: TeacherRecipe,
    plan: JointSampler,
    out: Path,
    options: Mapping[str, Any],
    setting: TrainingContext,
    *,
    ema: float = 0.0,
) -> TrainingRun:
    """How the model learns.

    Args:
        model: on its device.
        recipe: learning rates, schedule, weight decay.
        plan: whose steps.
        out: the checkpoint to be.
        options: all that decides the result.
        setting: where.
        ema: decay of the averaged weights; 0 keeps none.
    """
    step_size = plan.step_size
    num_samples = step_size * plan.num_steps if len(plan.sources) > 1 else len(plan.sources[0].examples)
    prior = min(recipe.classifier_prior / num_samples, MAX_CLASSIFIER_DECAY)
    optimizer = make_sgd(
        [
            ParameterGroup(list(model.backbone.parameters()), recipe.backbone_lr_scale, recipe.weight_decay),
            ParameterGroup(list(model.fc.parameters()), 1.0, recipe.weight_decay + prior),
        ]
    )
    average = get_ema_multi_avg_fn(ema) if ema else None  # type: ignore[no-untyped-call]
    averages = AveragedModel(model, multi_avg_fn=average, use_buffers=True) if ema else None
    names = [source.name for source in plan.sources]
    return TrainingRun(
        out=out,
        model=model,
        optimizer=optimizer,
        schedule=Schedule(recipe.schedule, recipe.epochs, recipe.milestones, recipe.warmup_epochs),
        lr=scaled_lr(recipe.lr, batch_size=step_size, reference_batch_size=recipe.reference_batch_size or step_size),
        steps_per_epoch=plan.num_steps,
        seed=plan.seed,
        stage=plan.stage,
        options=options,
        should_stop=setting.should_stop,
        world=setting.world,
        averages=averages,
        progress=Progress(tallies={name: SourceMetrics() for name in names}),
    )


def tell_again(training: TrainingRun, plan: JointSampler, on_drop: OnDrop) -> None:
    """What an interrupted run found unreadable is a reject of this one too."""
    for (source, row), why in training.bad.items():
        on_drop(plan.sources[source].examples[row].record, unreadable(why))


def learn_classifier(
    feed: CachedFeatureInputs, recipe: TeacherRecipe, training: TrainingRun, objective: Objective
) -> None:
    """First the classifier alone, on the frozen backbone: a random one would tear at pretrained weights.

    Ours, after Kumar et al., 2022 (linear probing, then fine-tuning). It takes little and is not saved: a training
    interrupted here begins again.
    """
    probe = replace(recipe, epochs=recipe.probe_epochs, lr=recipe.probe_lr)
    plain = replace(objective, label_smoothing=0.0, mixup_alpha=0.0, is_cross=False)
    model = feed.teacher.network
    model.freeze("backbone")
    inner = prepare_training(model, probe, feed.plan, training.out, training.options, feed.setting)
    for epoch in range(probe.epochs):
        compute_loss = partial(step_losses, feed=feed, training=inner, objective=plain)
        if not inner.train_epoch(feed.batches({}, epoch, 0), compute_loss):
            raise Interrupted("stopped before the first epoch; run the same command again")
        inner.progress.next_epoch()
    model.freeze(recipe.freeze)


def finish_training(training: TrainingRun, spec: ModelSpec, temperature: float | None, last: Metrics) -> None:
    """The checkpoint, in the place of the state; ``last`` is the metric record it carries. Raises OutputError."""
    metrics = {name: value for name, value in last.items() if name != "seconds"}
    meta = {"model": spec.to_meta(), "temperature": temperature, "metrics": metrics}
    meta |= {"provenance": dict(training.options)}
    save_checkpoint(training.out, meta=meta, state_dict=training.result.state_dict())
    forget_state(training.out)


def measure_epoch(training: TrainingRun, *, judge: Validator, spec: ModelSpec, multi_label: bool = False) -> Metrics:
    """Accuracy on the validation records; the best epoch by top-1 or mean AP, the earlier of equals, is kept."""
    metrics = {f"val_{name}": value for name, value in judge.metrics(multi_label=multi_label).items()}
    deciding = "val_mean_ap" if multi_label else "val_top1_acc"
    if metrics and metrics[deciding] > training.best:
        training.best = metrics[deciding]
        if training.world.is_first:
            _keep_best(training, spec, metrics)
    return metrics


def _keep_best(training: TrainingRun, spec: ModelSpec, metrics: Mapping[str, float]) -> None:
    meta = {"model": spec.to_meta(), "temperature": None, "metrics": {"epoch": training.progress.epoch, **metrics}}
    path = training.out.with_name(f"{training.out.stem}.best{training.out.suffix}")
    save_checkpoint(path, meta={**meta, "provenance": dict(training.options)}, state_dict=training.result.state_dict())
