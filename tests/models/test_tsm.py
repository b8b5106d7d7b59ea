"""TSM: the direction of the shift, its ends, and the blocks that shift."""

import pytest
import timm
import torch

from omnicli.models.tsm import TSM, ShiftedConv2d, shift
from omnicli.models.tsn import TSN


def test_channels_move_from_the_next_and_previous_frame_and_the_ends_are_zero():
    clips = torch.randn(2, 5, 19, 3, 3)  # 19 channels: a fold of 2, and a remainder
    shifted = shift(clips.flatten(0, 1), 5).view_as(clips)
    assert torch.equal(shifted[:, :4, :2], clips[:, 1:, :2])
    assert torch.equal(shifted[:, 1:, 2:4], clips[:, :4, 2:4])
    assert torch.equal(shifted[:, :, 4:], clips[:, :, 4:])
    assert not shifted[:, 4, :2].any() and not shifted[:, 0, 2:4].any()


def tsm(backbone):
    model = TSM(timm.create_model(backbone, num_classes=0, zero_init_last=False), 512, 3)
    torch.nn.init.normal_(model.fc.weight)
    return model


@pytest.mark.parametrize(("backbone", "count"), [("resnet50", 16), ("resnet101", 33 // 2 + 2)])
def test_every_block_shifts_or_every_second_in_deep_resnets(backbone, count):
    with torch.device("meta"):
        model = tsm(backbone)
    blocks = sum(isinstance(module, ShiftedConv2d) for module in model.modules())
    assert blocks == (16 if backbone == "resnet50" else 2 + 2 + 12 + 2)
    assert blocks == count


def test_weights_are_named_as_those_of_a_tsn():
    with torch.device("meta"):
        assert (
            tsm("resnet18").state_dict().keys()
            == TSN(timm.create_model("resnet18", num_classes=0), 512, 3).state_dict().keys()
        )


@torch.no_grad()
def test_features_depend_on_neighbouring_frames_but_not_on_other_clips():
    model = tsm("resnet18").eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    changed = clips.clone()
    changed[0, :, 3] += 1
    before, after = model.snippet_features(clips), model.snippet_features(changed)
    assert not torch.equal(before[0, 2], after[0, 2])
    assert torch.allclose(before[1], after[1])


@torch.no_grad()
def test_logits_are_averaged_over_frames():
    model = tsm("resnet18").eval()
    clips = torch.randn(1, 3, 4, 32, 32)
    assert torch.allclose(model(clips), model.classify(model.features(clips)), atol=1e-6)
    one_by_one = torch.stack([model(clips[:, :, [i]]) for i in range(4)]).mean(dim=0)
    assert not torch.allclose(model(clips), one_by_one, atol=1e-4)


def test_a_backbone_other_than_a_resnet_is_refused():
    with pytest.raises(ValueError, match="not a ResNet"):
        TSM(timm.create_model("mobilenetv2_035", num_classes=0), 1280, 3)
