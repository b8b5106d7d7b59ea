"""Settings by name: the paper's (CHECKPOINTS section 5), and ours for few clips. ``--recipe NAME`` fills what is unset.

| name | expected on the real data (top-1/top-5) | cost |
|---|---|---|
| few-clips | Ours, the default, trunk frozen: 6 UCF-101 actions, 55 clips: 0.93 | a minute on two cores |
| few-clips-finetune | Ours, the default with --freeze batch-norm: 0.92 | minutes on two cores |
| few-clips-scratch | Ours, the default with --init scratch: for tests and made data | seconds to minutes |
| tsn-r50-3seg | Kinetics-400 70.6/89.4, with OmniSource 73.6/91.0 | 100 epochs, days on 8 GPUs |
| tsn-efficientnet_b4-3seg | Kinetics-400 73.3/91.0, with OmniSource 75.2/92.0 | 100 epochs, days on 8 GPUs |
| minikinetics-tsn-8seg | MiniKinetics-200 77.4, with all web data 81.3 | 100 epochs, a day on 8 GPUs |
"""

from dataclasses import dataclass, replace
from typing import Literal

CropName = Literal["random-resized", "multi-scale"]
ScheduleName = Literal["step", "cosine", "constant"]
FreezeName = Literal["nothing", "batch-norm", "backbone"]


@dataclass(frozen=True, kw_only=True)
class TeacherRecipe:
    """How a teacher is trained; SGD with momentum 0.9, gradient norm clipped at 40.

    Attributes:
        model: architecture, or None where any will do.
        init: ``scratch``, ``imagenet`` or a file of weights.
        num_segments: snippets of a training clip.
        short_side: pixels, or None for the backbone's own.
        crop_size: pixels, or None for the backbone's own.
        crop: how the training crop is drawn.
        min_area: smallest share of the picture that a random-resized crop takes.
        epochs: passes over the target.
        batch_size: clips of one step.
        reference_batch_size: the batch ``lr`` is meant for; another scales it linearly (Ours).
        lr: of the classifier.
        backbone_lr_scale: the backbone's learning rate, relative to ``lr``.
        schedule: of the learning rate.
        milestones: epochs, for ``step``.
        warmup_epochs: linear rise from a tenth.
        weight_decay: L2 on all weights.
        classifier_prior: more weight decay on the classifier: this over the number of clips, at most 0.2. That is L2
            logistic regression with C = 1 / classifier_prior, a prior that fades as clips grow.
        dropout: before the classifier.
        label_smoothing: share of the label that is spread over all classes.
        mixup_alpha: of intra-dataset mixup (Sec. 3.6); 0 is none.
        freeze: what of the backbone stays as it was loaded.
        probe_epochs: first the classifier alone is trained for so long, on the frozen trunk (Ours).
        probe_lr: its learning rate then.
    """

    model: str | None = None
    init: str = "imagenet"
    num_segments: int = 3
    short_side: int | None = None
    crop_size: int | None = None
    crop: CropName = "random-resized"
    min_area: float = 0.08
    epochs: int = 100
    batch_size: int = 32
    reference_batch_size: int = 256
    lr: float = 0.01
    backbone_lr_scale: float = 1.0
    schedule: ScheduleName = "step"
    milestones: tuple[int, ...] = (40, 80)
    warmup_epochs: float = 0.0
    weight_decay: float = 1e-4
    classifier_prior: float = 0.0
    dropout: float = 0.4
    label_smoothing: float = 0.0
    mixup_alpha: float = 0.0
    freeze: FreezeName = "nothing"
    probe_epochs: int = 0
    probe_lr: float = 0.01


FEW_CLIPS = TeacherRecipe(
    min_area=0.5,
    epochs=50,
    batch_size=8,
    reference_batch_size=8,
    backbone_lr_scale=0.1,
    schedule="cosine",
    milestones=(),
    classifier_prior=10.0,
    freeze="backbone",
)

TEACHER_RECIPES = {
    "few-clips": FEW_CLIPS,
    "few-clips-finetune": replace(
        FEW_CLIPS, epochs=6, lr=0.002, backbone_lr_scale=0.1, freeze="batch-norm", probe_epochs=50
    ),
    "few-clips-scratch": replace(
        FEW_CLIPS, init="scratch", epochs=40, lr=0.02, backbone_lr_scale=1.0, classifier_prior=0.0, freeze="nothing"
    ),
    "tsn-r50-3seg": TeacherRecipe(model="tsn-resnet50", short_side=256, crop_size=224, crop="multi-scale"),
    "tsn-efficientnet_b4-3seg": TeacherRecipe(
        model="tsn-tf_efficientnet_b4", short_side=256, crop_size=224, crop="multi-scale"
    ),
    "minikinetics-tsn-8seg": TeacherRecipe(
        model="tsn-resnet50",
        num_segments=8,
        short_side=256,
        crop_size=224,
        batch_size=12,
        reference_batch_size=96,
        lr=0.00375,
    ),
}


def default_teacher_recipe(*, init: str | None, freeze: str | None) -> str:
    """The recipe where none is named.

    Ours: a classifier on a frozen trunk ranks web media better than a fine-tuned trunk where clips are few, and a few
    clips cannot re-estimate batch-norm; without pretrained weights all of the model has to move.

    >>> default_teacher_recipe(init="scratch", freeze=None)
    'few-clips-scratch'
    """
    if init == "scratch":
        return "few-clips-scratch"
    return "few-clips" if freeze in (None, "backbone") else "few-clips-finetune"
