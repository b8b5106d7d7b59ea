"""Recipes of video transformers, from the configurations that their authors published.

| name | expected on Kinetics-400 (top-1/top-5) | source |
|---|---|---|
| videomae-b-finetune | 79.4/94.1, from VideoMAE's own pre-training of 800 epochs | MCG-NJU/VideoMAE FINETUNE.md |
| mvit-v2-s | 81.0/94.6, from scratch | facebookresearch/SlowFast MVITv2_S_16x4.yaml |
| swin3d-t | 78.8/93.6 (78.3/93.6 in mmaction2), from ImageNet-1k | mmaction2 swin-tiny_p244-w877-in1k-pre |
| vjepa2-probe | ViT-L: 73.7 on Something-Something v2 | facebookresearch/vjepa2 configs/eval/vitl |

The learning rate is that of ``reference_batch_size`` clips. Ours, in all rows: one clip of a video per visit, where
MViTv2 takes two ("repeated augmentation"); training crops are cut from frames of the model's own short side; gradients
are clipped at 40 where the source clips none; weight decay spares all vectors and nothing else.
"""

from omnicli.training.recipe_fields import TeacherRecipe

RANDAUGMENT = "rand-m7-n4-mstd0.5-inc1"

# scripts/kinetics/videomae_vit_base_patch16_224_tubemasking_ratio_0.9_epoch_800/finetune.sh (64 GPUs of 8 clips), and
# the defaults of run_class_finetuning.py
VIDEOMAE_B = TeacherRecipe(
    model="transformers-videomae",
    init="",
    epochs=100,
    batch_size=8,
    reference_batch_size=256,
    lr=1e-3,
    schedule="cosine-after-warmup",
    milestones=(),
    warmup_epochs=5.0,
    optimizer="adamw",
    weight_decay=0.05,
    layer_decay=0.75,
    drop_path=0.1,
    dropout=0.0,
    label_smoothing=0.1,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    randaugment=RANDAUGMENT,
    random_erasing=0.25,
    temperature=False,
)

# configs/Kinetics/MVITv2_S_16x4.yaml: BASE_LR for 16 videos, two clips of each
MVIT_V2_S = TeacherRecipe(
    model="torchvision-mvit_v2_s",
    init="scratch",
    num_frames=16,
    frame_interval=4,
    epochs=200,
    batch_size=4,
    reference_batch_size=32,
    lr=1e-4,
    schedule="cosine-after-warmup",
    milestones=(),
    warmup_epochs=30.0,
    clip_norm=1.0,
    optimizer="adamw",
    weight_decay=0.05,
    drop_path=0.2,
    dropout=0.5,
    label_smoothing=0.1,
    mixup_alpha=0.8,
    cutmix_alpha=1.0,
    randaugment=RANDAUGMENT,
    random_erasing=0.25,
    temperature=False,
)

# configs/recognition/swin/swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb.py of mmaction2 (8 GPUs of
# 8 clips). Ours: from weights of Swin3D, such as torchvision's; those of ImageNet are not inflated
SWIN3D_T = TeacherRecipe(
    model="torchvision-swin3d_t",
    init="",
    num_frames=32,
    frame_interval=2,
    short_side=256,
    crop_size=224,
    epochs=30,
    batch_size=8,
    reference_batch_size=64,
    lr=1e-3,
    backbone_lr_scale=0.1,
    schedule="cosine",
    milestones=(),
    warmup_epochs=2.5,
    optimizer="adamw",
    weight_decay=0.02,
    drop_path=0.1,
    dropout=0.5,
    temperature=False,
)

# configs/eval/vitl (64 GPUs of 4 clips) and evals/video_classification_frozen/eval.py: the attentive pooler and the
# classifier learn, the encoder is frozen. The source trains 20 probes, at learning rates 1e-4 to 5e-3 and weight decays
# 0.01 to 0.8, and reports the best; Ours: the ones in the middle. Ours: one clip per video, where the source joins the
# tokens of 2 (Something-Something v2) or 8 (Kinetics)
VJEPA2_PROBE = TeacherRecipe(
    model="transformers-vjepa2",
    init="",
    flip=False,
    freeze="encoder",
    epochs=20,
    batch_size=4,
    reference_batch_size=256,
    lr=1e-3,
    schedule="cosine",
    milestones=(),
    optimizer="adamw",
    weight_decay=0.1,
    dropout=0.0,
    randaugment=RANDAUGMENT,
    random_erasing=0.25,
    temperature=False,
)

TRANSFORMER_RECIPES = {
    "videomae-b-finetune": VIDEOMAE_B,
    "mvit-v2-s": MVIT_V2_S,
    "swin3d-t": SWIN3D_T,
    "vjepa2-probe": VJEPA2_PROBE,
}
