"""All models: float32 logits from a backbone of any precision, and freezing."""

import pytest
import torch
from torch import nn

from omnicli.models.architectures import new_model
from omnicli.models.recogniser import ClipModel


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 1)
        self.norm = nn.BatchNorm3d(4)

    def forward(self, clips):
        return self.norm(self.conv(clips)).mean(dim=(2, 3, 4))


def test_a_clip_model_gives_float32_logits_for_any_backbone_precision():
    model = ClipModel(Pooled(), 4, 5, 0.5).eval().set_precision(torch.bfloat16)
    assert model.features(torch.randn(2, 3, 4, 8, 8)).dtype == torch.float32
    assert model(torch.randn(2, 3, 4, 8, 8)).shape == (2, 5)
    assert (model.is_2d, model.average_views) == (False, "scores")


def test_a_frozen_batch_norm_keeps_statistics_and_weights_in_training():
    model = ClipModel(Pooled(), 4, 5, 0.5)
    model.freeze("batch-norm")
    before = model.backbone.norm.running_mean.clone()
    model.train()(torch.randn(2, 3, 4, 8, 8) + 5)
    assert torch.equal(model.backbone.norm.running_mean, before)
    assert not model.backbone.norm.weight.requires_grad and model.backbone.conv.weight.requires_grad


@pytest.mark.parametrize(("name", "std"), [("tsn-resnet18", 0.01), ("tsm-resnet18", 0.001)])
def test_the_classifier_is_initialised_with_the_given_std(name, std):
    weight = new_model(name, 400).fc.weight
    assert float(weight.detach().std()) == pytest.approx(std, rel=0.05)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("ircsn-r50", torch.contiguous_format),
        ("r2plus1d-r18", torch.channels_last_3d),
        ("slowonly-r18w16", torch.channels_last_3d),
        ("tsn-resnet10t", torch.channels_last),
    ],
)
def test_each_model_has_the_layout_that_is_fastest_on_a_gpu(name, layout):
    model = new_model(name, 2)
    assert model._layout_on(torch.device("cuda")) == layout
    on_cpu = model.to_device(torch.device("cpu")).memory_format
    assert on_cpu == (torch.channels_last if model.is_2d else torch.channels_last_3d)


@torch.no_grad()
def test_r2plus1d_sees_several_windows_in_a_frame_of_128_pixels():
    """IG-65M Sec. 4.4: trained on 112 pixels (7 x 7 positions), tested on 128 (8 x 8): four windows of 7 x 7."""
    model = new_model("r2plus1d-r18", 3).eval()
    clips = torch.randn(1, 3, 2, 128, 128)
    windows = model.window_logits(clips, crop_size=112)
    assert windows.shape == (1, 4, 3)
    positions = model.backbone.feature_map(clips)
    assert positions.shape == (1, 512, 8, 8)
    last = model.classify(positions[:, :, 1:, 1:].mean(dim=(2, 3)))
    torch.testing.assert_close(windows[:, -1], last)
    crop = clips[..., :112, :112]
    torch.testing.assert_close(model.window_logits(crop, crop_size=112)[:, 0], model(crop))
