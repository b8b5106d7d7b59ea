"""Model, optimizer and augmentation of a training, from its recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from omnicli.data.training_clips import Augmentation
from omnicli.errors import Interrupted, UsageError
from omnicli.models.architectures import backbone_name, find_config_3d
from omnicli.models.blocks import checkpoint_gradients, find_blocks, set_drop_path
from omnicli.models.clip.tower import is_clip
from omnicli.models.content import digest_of_backbone
from omnicli.models.factory import ModelSpec, create_model, model_spec
from omnicli.models.flow_spec import check_takes_flow, flow_spec
from omnicli.models.licences import say_licence
from omnicli.models.model_files import digest_of_model
from omnicli.models.pretrained import imagenet_weights
from omnicli.models.recogniser import Recogniser
from omnicli.models.stored_options import published_config
from omnicli.models.strength import Strength
from omnicli.training.batch_sampler import JointSampler
from omnicli.training.context import TrainingContext
from omnicli.training.cross_validation import cross_validated_accuracy
from omnicli.training.inputs import CachedFeatureInputs
from omnicli.training.loop import train_epoch
from omnicli.training.objective import Objective
from omnicli.training.optim import ParameterGroup, Schedule, layer_groups, make_adamw, make_sgd, scaled_lr
from omnicli.training.recipe_fields import StudentRecipe, TeacherRecipe
from omnicli.training.text_init import create_from_texts
from omnicli.training.trainer import Progress, SourceMetrics, TrainingRun

MAX_CLASSIFIER_DECAY = 0.2


def create_learner(
    recipe: StudentRecipe, classes: Sequence[str], seed: int, context: TrainingContext
) -> tuple[ModelSpec, Recogniser]:
    """The model to train, on its device, and its description.

    Raises:
        UsageError: no such architecture, or an option that it does not have.
    """
    name = recipe.model or ""
    is_3d = find_config_3d(name) is not None
    if is_3d and recipe.num_segments:
        raise UsageError(f"--num-segments is for 2D models, and {name} takes clips: give --num-frames")
    if is_flow := recipe.modality == "flow":
        check_takes_flow(name)
        if recipe.randaugment != "none":
            raise UsageError("--randaugment turns frames and changes their colours, which makes flow wrong: remove it")
    if not is_3d and ((recipe.num_frames and not is_flow) or recipe.frame_interval):
        raise UsageError(f"--num-frames and --frame-interval are for 3D models, and {name} takes segments")
    if is_clip(name):
        spec, from_texts = create_from_texts(recipe, classes, context)
        _change_blocks(from_texts, recipe, name)
        from_texts.freeze(recipe.freeze)
        return spec, from_texts.to_device(context.device)
    spec = model_spec(
        name, classes=classes, num_segments=recipe.num_segments, num_frames=recipe.num_frames,
        frame_interval=recipe.frame_interval, short_side=recipe.short_side, crop_size=recipe.crop_size,
        dropout=recipe.dropout, published=published_config(recipe.init),
    )  # fmt: skip
    spec = replace(flow_spec(spec, recipe.num_frames) if is_flow else spec, multi_label=recipe.multi_label)
    say_licence(spec.licence, path=recipe.init)
    model = create_model(
        name, num_classes=len(classes), init=recipe.init, dropout=recipe.dropout, seed=seed,
        library=spec.library, flow_pairs=spec.flow_pairs,
    )  # fmt: skip
    _change_blocks(model, recipe, name)
    model.freeze(recipe.freeze)
    return spec, model.to_device(context.device)


def _change_blocks(model: Recogniser, recipe: TeacherRecipe, name: str) -> None:
    """Drop path and gradient checkpoints of a transformer. Raises UsageError: the model has no such blocks."""
    if recipe.drop_path is not None:
        set_drop_path(model.backbone, recipe.drop_path, name=name)
    if recipe.gradient_checkpointing:
        checkpoint_gradients(model.backbone, name=name)
    if recipe.layer_decay != 1.0 and not find_blocks(model.backbone):
        raise UsageError(f"--layer-decay: {name} is not a transformer whose blocks omni knows; remove it")


def initial_weights(
    recipe: TeacherRecipe, spec: ModelSpec, model: Recogniser, context: TrainingContext
) -> dict[str, str] | None:
    """Name and digest (``models.content``) of the weights that the backbone starts from; None if they are random."""
    if recipe.init == "scratch":
        return None
    name = Path(recipe.init).name
    if recipe.init == "imagenet":
        config = find_config_3d(spec.name)
        depth = getattr(config, "depth", None)
        name = imagenet_weights(f"resnet{depth}" if depth else backbone_name(spec.name))
    sha256 = digest_of_backbone(model.backbone, spec)
    context.say(f"initial weights {name}, backbone sha256 {sha256[:12]}")
    return {"name": name, "sha256": sha256}


def frozen_backbone(recipe: TeacherRecipe) -> str | None:
    """SHA-256 of the weights file of a frozen backbone; "" for ImageNet weights; None if it is trained or random."""
    if recipe.freeze != "backbone" or recipe.init == "scratch":
        return None
    return "" if recipe.init == "imagenet" else digest_of_model(recipe.init)


def make_augmentation(
    spec: ModelSpec, recipe: StudentRecipe, *, seed: int, stage: str, root: str | None
) -> Augmentation:
    """How training clips are read. Raises UsageError if ``recipe.snippets`` do not fit the model."""
    return Augmentation(
        num_segments=spec.num_segments, num_frames=spec.num_frames * (spec.flow_pairs or 1),
        frame_interval=spec.frame_interval, short_side=spec.short_side, crop_size=spec.crop_size, crop=recipe.crop,
        min_area=recipe.min_area, flip=recipe.flip, randaugment=recipe.randaugment,
        random_erasing=recipe.random_erasing, mean=spec.mean, std=spec.std, seed=seed, stage=stage, root=root,
        num_positive=_num_positive(recipe, spec), is_flow=spec.flow_pairs > 0,
    )  # fmt: skip


def _num_positive(recipe: StudentRecipe, spec: ModelSpec) -> int | None:
    """Positive snippets of a segmented video; None for the default. Raises UsageError."""
    shown = ":".join(map(str, recipe.snippets))
    if recipe.snippets and len(recipe.snippets) != 2:
        raise UsageError(f"--snippets {shown}: expected two numbers, positive and negative snippets, such as 1:2")
    if recipe.snippets and sum(recipe.snippets) != spec.num_segments:
        total = sum(recipe.snippets)
        raise UsageError(f"--snippets {shown}: {total} snippets, and {spec.name} takes {spec.num_segments}")
    return recipe.snippets[0] if recipe.snippets else None


def make_objective(recipe: StudentRecipe, num_classes: int) -> Objective:
    """The loss of a recipe."""
    return Objective(
        num_classes=num_classes, label_smoothing=recipe.label_smoothing, mixup_alpha=recipe.mixup_alpha,
        cutmix_alpha=recipe.cutmix_alpha, is_cross=recipe.mixup == "cross", multi_label=recipe.multi_label,
        num_passes=recipe.num_passes,
    )  # fmt: skip


def prepare_training(
    model: Recogniser,
    recipe: StudentRecipe,
    sampler: JointSampler,
    out: Path,
    options: Mapping[str, Any],
    context: TrainingContext,
) -> TrainingRun:
    """A fresh training run.

    Args:
        model: on its device.
        recipe: learning rates, schedule, weight decay, EMA.
        sampler: of the steps.
        out: path of the finished checkpoint.
        options: everything that determines the result.
        context: where the training runs.
    """
    unreached = [f"{milestone:g}" for milestone in recipe.milestones if milestone >= recipe.epochs]
    if unreached and recipe.schedule == "step":
        shown = ", ".join(unreached)
        context.say(f"{recipe.epochs} epochs end before milestones {shown} of the learning rate: give --milestones")
    step_size = sampler.step_size
    backbone = [ParameterGroup(list(model.backbone.parameters()), recipe.backbone_lr_scale, recipe.weight_decay)]
    if recipe.layer_decay != 1.0:
        backbone = layer_groups(
            model.backbone, lr_scale=recipe.backbone_lr_scale, weight_decay=recipe.weight_decay,
            layer_decay=recipe.layer_decay,
        )  # fmt: skip
    classifier = ParameterGroup(list(model.fc.parameters()), 1.0, classifier_decay(recipe, sampler))
    optimizer = (make_adamw if recipe.optimizer == "adamw" else make_sgd)([*backbone, classifier])
    average = get_ema_multi_avg_fn(recipe.ema) if recipe.ema else None  # type: ignore[no-untyped-call]
    return TrainingRun(
        out=out,
        model=model,
        optimizer=optimizer,
        schedule=Schedule(recipe.schedule, recipe.epochs, recipe.milestones, recipe.warmup_epochs),
        lr=scaled_lr(recipe.lr, batch_size=step_size, reference_batch_size=recipe.reference_batch_size or step_size),
        steps_per_epoch=sampler.num_steps,
        clip_norm=recipe.clip_norm,
        seed=sampler.seed,
        stage=sampler.stage,
        options=options,
        should_stop=context.should_stop,
        world=context.world,
        averages=AveragedModel(model, multi_avg_fn=average, use_buffers=True) if average else None,
        progress=Progress(tallies={source.name: SourceMetrics() for source in sampler.sources}),
    )


def classifier_decay(recipe: StudentRecipe, sampler: JointSampler) -> float:
    """L2 weight of the classifier: weight decay and ``classifier_prior``."""
    num_drawn = sampler.step_size * sampler.num_steps
    num_samples = num_drawn if len(sampler.sources) > 1 else len(sampler.sources[0].examples)
    return recipe.weight_decay + min(recipe.classifier_prior / num_samples, MAX_CLASSIFIER_DECAY)


def measure_strength(inputs: CachedFeatureInputs, recipe: StudentRecipe, run: TrainingRun) -> Strength:
    """How far the model of this training can be trusted; cross-validated where that takes seconds.

    Ours: for a teacher of few clips per class, with a frozen backbone (or a classifier that is trained first), in one
    process.
    """
    target = inputs.sampler.sources[0].examples
    labels = [label for example in target for label in {example.label, *example.others}]
    _, counts = np.unique(labels, return_counts=True)
    strength = Strength(float(np.median(counts)), is_student=len(inputs.sampler.sources) > 1)
    is_pretrained = recipe.freeze == "backbone" or recipe.probe_epochs > 0
    if strength.is_student or not strength.is_weak or not is_pretrained or recipe.multi_label or run.world.size > 1:
        return strength
    decay = classifier_decay(recipe, inputs.sampler)
    return replace(strength, cross_val_acc=cross_validated_accuracy(inputs, decay, run.bad))


def learn_classifier(
    inputs: CachedFeatureInputs, recipe: StudentRecipe, run: TrainingRun, objective: Objective
) -> None:
    """Train the classifier alone on the frozen backbone, because a random one would damage pretrained weights.

    Ours, after Kumar et al., 2022 (linear probing, then fine-tuning). It is short and not saved: a training stopped
    here begins again.
    """
    probe = replace(recipe, epochs=recipe.probe_epochs, lr=recipe.probe_lr, ema=0.0)
    plain = replace(objective, label_smoothing=0.0, mixup_alpha=0.0, cutmix_alpha=0.0, is_cross=False)
    model = inputs.model.network
    model.freeze("backbone")
    inner = prepare_training(model, probe, inputs.sampler, run.out, run.options, inputs.context)
    for epoch in range(probe.epochs):
        if not train_epoch(inner, inputs.batches(run.bad, epoch, 0), inputs, plain):
            raise Interrupted("stopped before the first epoch; run the same command again")
        inner.progress.next_epoch()
    model.freeze(recipe.freeze)
