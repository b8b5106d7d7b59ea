"""Recipes of models of optical flow.

| name | expected on Kinetics-400 (top-1/top-5) | source |
|---|---|---|
| tsn-r50-3seg-flow | 55.7/79.9 with flow of TV-L1 | mmaction2 tsn_r50_320p_1x1x3_110e_kinetics400_flow |
| i3d-r50-flow | none was published | Ours: mmaction2's I3D of RGB, i3d_r50_32x2x1_100e_kinetics400_rgb |

The learning rate is that of ``reference_batch_size`` clips.
"""

from omnicli.training.recipe_fields import TeacherRecipe

FLOW_RECIPES = {
    "tsn-r50-3seg-flow": TeacherRecipe(
        model="tsn-resnet50",
        modality="flow",
        num_segments=3,
        num_frames=5,
        short_side=256,
        crop_size=224,
        epochs=110,
        batch_size=32,
        reference_batch_size=256,
        lr=0.005,
        milestones=(70, 100),
        dropout=0.4,
        temperature=False,
    ),
    "i3d-r50-flow": TeacherRecipe(
        model="i3d-r50",
        modality="flow",
        num_frames=32,
        frame_interval=2,
        short_side=256,
        crop_size=224,
        crop="multi-scale",
        epochs=100,
        batch_size=8,
        reference_batch_size=64,
        lr=0.01,
        milestones=(40, 80),
        dropout=0.5,
        temperature=False,
    ),
}
