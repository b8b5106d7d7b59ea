"""Training settings by name, for ``--recipe NAME``; explicit options take precedence.

Sources: the released mmaction configurations of OmniSource, IG-65M, and ours for few clips. Those of optical flow are
in ``flow_recipes``, those of video transformers in ``transformer_recipes``.

| name | expected on the real data (top-1/top-5) | cost |
|---|---|---|
| few-clips | Ours, the default, backbone frozen: 6 UCF-101 actions, 55 clips: 0.93 | a minute on two cores |
| few-clips-finetune | Ours, the default with --freeze batch-norm: 0.92 | minutes on two cores |
| few-clips-scratch | Ours, the default with --init scratch: for tests and synthetic data | seconds to minutes |
| tsn-r50-3seg | Kinetics-400 70.6/89.4, with OmniSource 73.6/91.0 | 100 epochs, days on 8 GPUs |
| tsn-efficientnet_b4-3seg | Kinetics-400 73.3/91.0, with OmniSource 75.2/92.0 | 100 epochs, days on 8 GPUs |
| tsn-r50-3seg-ig1b | Kinetics-400 73.1/90.4, with OmniSource 75.7/91.9, from IG-1B | 100 epochs, days on 8 GPUs |
| minikinetics-tsn-8seg | MiniKinetics-200 77.4, with all web data 81.3 | 100 epochs, a day on 8 GPUs |
| slowonly-r50-4x16 | Kinetics-400 72.9/90.9, with OmniSource 76.8/92.5 | 256 epochs |
| slowonly-r50-4x16-imagenet | Kinetics-400 73.8/90.9, with OmniSource 76.6/92.5 | 150 epochs |
| slowonly-r101-8x8 | Kinetics-400 76.3/92.6, with OmniSource 80.4/94.4 | 196 epochs |
| ircsn-r152-32x2 | Kinetics-400 82.6/95.3, with OmniSource 83.6/96.0; needs IG-65M weights | 58 epochs |
| slowonly-8x4-ucf101 | OmniSource Table 4; needs a Kinetics-400 model | 40 epochs, a day on 8 GPUs |
| slowonly-8x4-hmdb51 | OmniSource Table 4; needs a Kinetics-400 model | 40 epochs, a day on 8 GPUs |
| minikinetics-slowonly-8x8 | MiniKinetics-200 78.6, with all web data 82.9 | 256 epochs |
| ig65m-r2plus1d-34 | pre-training on 65 M videos with hashtags, 8 frames (IG-65M Table 1) | 490 M clips, 128 GPUs |
| r2plus1d-34 | Kinetics-400 in IG-65M, 8 frames; needs IG-65M weights | 58 epochs |
| r2plus1d-34-32 | Kinetics-400 79.6/94.2 (fully convolutional); needs IG-65M weights | 58 epochs |

The 3D rows take days to weeks on 8 GPUs (R(2+1)D: 64); the papers give no times. A learning rate is that of the whole
batch, batch x 8 GPUs (R(2+1)D: x 64), and is scaled linearly to the actual batch. For weights pre-trained on fewer than
10 M videos, IG-65M uses ten times the learning rate at 8 frames: ``--lr``. The published numbers hold no clips out, so
only the few-clips recipes fit a temperature. SlowOnly-R101 from ImageNet has no released configuration; Ours: take the
one of R50, ``--recipe slowonly-r50-4x16-imagenet --model slowonly-r101 --num-frames 8 --frame-interval 8``.
"""

from dataclasses import replace

from omnicli.training.flow_recipes import FLOW_RECIPES
from omnicli.training.recipe_fields import TeacherRecipe
from omnicli.training.transformer_recipes import TRANSFORMER_RECIPES

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

TSN_3SEG = TeacherRecipe(
    model="tsn-resnet50", num_segments=3, short_side=256, crop_size=224, crop="multi-scale", dropout=0.4,
    temperature=False,
)  # fmt: skip
SLOW_ONLY = TeacherRecipe(
    model="slowonly-r50",
    init="scratch",
    dropout=0.5,
    num_frames=4,
    frame_interval=16,
    short_side=256,
    crop_size=224,
    epochs=256,
    batch_size=8,
    reference_batch_size=64,
    lr=0.1,
    schedule="cosine",
    milestones=(),
    temperature=False,
)
SLOW_ONLY_8X4 = replace(  # OmniSource Table 4
    SLOW_ONLY,
    init="",
    num_frames=8,
    frame_interval=4,
    lr=0.001,
    schedule="step",
    milestones=(15, 30),
    epochs=40,
    clip_norm=20.0,
)
# From IG-65M: a small learning rate after a long warm-up.
IR_CSN = TeacherRecipe(
    model="ircsn-r152",
    init="",
    temperature=False,
    dropout=0.5,
    num_frames=32,
    frame_interval=2,
    short_side=256,
    crop_size=224,
    epochs=58,
    batch_size=3,
    reference_batch_size=24,
    lr=1.25e-4,
    milestones=(32, 48),
    warmup_epochs=16.0,
    freeze="batch-norm",
)
R2PLUS1D = replace(
    IR_CSN,
    model="r2plus1d-r34",
    dropout=0.0,
    num_frames=8,
    frame_interval=1,  # consecutive frames, as in VMZ; the paper gives only their number
    short_side=128,
    crop_size=112,
    batch_size=16,
    reference_batch_size=16 * 64,
    lr=3e-5 * 64,
    freeze="nothing",
    crop="random",  # Ours: of 128 pixels on the short side at the video's own shape; the paper stretches to 128x171
)

# IG-65M Sec. 3.3: pre-training on hashtags, 16 clips on each of 128 GPUs. Ours: the paper gives no length of the
# warm-up; it is one of the 14 stretches of equal learning rate.
IG65M = replace(
    R2PLUS1D,
    init="scratch",
    epochs=14,
    train_clips=490_000_000,
    reference_batch_size=16 * 128,
    lr=0.192,
    schedule="halving",
    milestones=(),
    warmup_epochs=1.0,
    target_label="query",
)

TEACHER_RECIPES = {
    "few-clips": FEW_CLIPS,
    "few-clips-finetune": replace(
        FEW_CLIPS, epochs=6, lr=0.002, backbone_lr_scale=0.1, freeze="batch-norm", probe_epochs=50
    ),
    "few-clips-scratch": replace(
        FEW_CLIPS, init="scratch", epochs=40, lr=0.02, backbone_lr_scale=1.0, classifier_prior=0.0, freeze="nothing"
    ),
    "tsn-r50-3seg": TSN_3SEG,
    "tsn-efficientnet_b4-3seg": replace(TSN_3SEG, model="tsn-tf_efficientnet_b4"),
    "tsn-r50-3seg-ig1b": replace(TSN_3SEG, model="tsn-resnet50.fb_swsl_ig1b_ft_in1k", crop="random-resized"),
    "minikinetics-tsn-8seg": replace(
        TSN_3SEG, num_segments=8, crop="random-resized", batch_size=12, reference_batch_size=96, lr=0.00375
    ),
    "slowonly-r50-4x16": SLOW_ONLY,
    "slowonly-r50-4x16-imagenet": replace(
        SLOW_ONLY, init="imagenet", lr=0.01, schedule="step", milestones=(90, 130), epochs=150, warmup_epochs=10.0
    ),
    "slowonly-r101-8x8": replace(
        SLOW_ONLY, model="slowonly-r101", num_frames=8, frame_interval=8, epochs=196, warmup_epochs=34.0
    ),
    "ircsn-r152-32x2": IR_CSN,
    "slowonly-8x4-ucf101": SLOW_ONLY_8X4,
    "slowonly-8x4-hmdb51": SLOW_ONLY_8X4,
    "minikinetics-slowonly-8x8": replace(
        SLOW_ONLY, num_frames=8, frame_interval=8, batch_size=12, reference_batch_size=96, lr=0.15
    ),
    "r2plus1d-34": R2PLUS1D,
    "ig65m-r2plus1d-34": IG65M,
    "r2plus1d-34-32": replace(R2PLUS1D, num_frames=32, batch_size=6, reference_batch_size=6 * 64),
    **FLOW_RECIPES,
    **TRANSFORMER_RECIPES,
}


def default_teacher_recipe(*, init: str | None, freeze: str | None) -> str:
    """The default recipe.

    Ours: with few clips, a classifier on a frozen backbone ranks web media better than a fine-tuned backbone, and batch
    norm cannot be re-estimated; without pretrained weights the whole model is trained.

    >>> default_teacher_recipe(init="scratch", freeze=None)
    'few-clips-scratch'
    """
    if init == "scratch":
        return "few-clips-scratch"
    return "few-clips" if freeze in (None, "backbone") else "few-clips-finetune"
