"""Another library's model as one of ours: frozen parts, sizes."""

import pytest
import torch
from torch import nn

from omnicli.errors import UsageError
from omnicli.models.video.library_model import LibraryConfig, LibraryModel


class Pooled(nn.Module):
    """An encoder, and an attentive pooler by name."""

    def __init__(self):
        super().__init__()
        self.encoder, self.pooler = nn.Conv3d(3, 4, 1), nn.Linear(4, 4)

    def forward(self, clips):
        return self.pooler(self.encoder(clips).mean(dim=(2, 3, 4)))


def test_with_a_frozen_encoder_the_pooler_learns():
    model = LibraryModel(Pooled(), 4, 2, dropout=0.0)
    model.freeze("encoder")
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == {
        "backbone.pooler.weight", "backbone.pooler.bias", "fc.weight", "fc.bias",
    }  # fmt: skip
    assert not model.train().backbone.training
    assert model(torch.zeros(1, 3, 2, 4, 4)).shape == (1, 2)
    model.freeze("nothing")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_without_a_pooler_that_is_refused():
    with pytest.raises(UsageError, match="attentive pooler"):
        LibraryModel(nn.Conv3d(3, 4, 1), 4, 2, dropout=0.0).freeze("encoder")


def test_a_fixed_input_is_checked():
    config = LibraryConfig(build=lambda options: (nn.Identity(), 1), num_frames=16, frame_interval=4, is_fixed=True)
    config.check("x", 16, 224)
    with pytest.raises(UsageError, match="x takes 16 frames of 224 pixels"):
        config.check("x", None, 112)
