"""TSN: independent snippets, averaged features, one classifier."""

import pytest
import torch
from torch import nn

from omnicli.models.tsn import TSN


class Colours(nn.Module):
    """A backbone whose features are the mean colour after a batch-norm, which training mode would change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.norm(self.conv(images)).mean(dim=(2, 3))


def make_tsn(**options) -> TSN:
    torch.manual_seed(0)
    return TSN(Colours(), 3, 5, **options)


def test_features_are_the_mean_over_segments_of_each_snippet_alone():
    model = make_tsn().eval()
    clips = torch.randn(2, 3, 4, 6, 7)
    expected = torch.stack(
        [torch.stack([model.backbone(clip[:, s][None])[0] for s in range(4)]).mean(0) for clip in clips]
    )
    torch.testing.assert_close(model.features(clips), expected)
    torch.testing.assert_close(model(clips), model.fc(expected))


def test_an_image_is_a_clip_of_one_segment():
    model = make_tsn().eval()
    image = torch.randn(1, 3, 1, 6, 7)
    torch.testing.assert_close(model(image), model(image.expand(1, 3, 4, 6, 7)))


def test_logits_are_float32_at_any_precision():
    model = make_tsn().eval().set_precision(torch.bfloat16)
    assert model(torch.randn(1, 3, 2, 4, 4)).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert make_tsn().eval()(torch.randn(1, 3, 2, 4, 4)).dtype == torch.float32


@pytest.mark.parametrize(("what", "moving"), [("nothing", True), ("batch-norm", False), ("backbone", False)])
def test_frozen_statistics_stay_in_training(what, moving):
    model = make_tsn()
    model.freeze(what)
    model.train()
    before = model.backbone.norm.running_mean.clone()
    model(torch.randn(4, 3, 2, 4, 4))
    assert torch.equal(before, model.backbone.norm.running_mean) is not moving


def test_freezing_decides_which_weights_are_trained():
    model = make_tsn()

    def learning() -> set[str]:
        return {name for name, parameter in model.named_parameters() if parameter.requires_grad}

    everything = learning()
    model.freeze("batch-norm")
    assert everything - learning() == {"backbone.norm.weight", "backbone.norm.bias"}
    model.freeze("backbone")
    assert learning() == {"fc.weight", "fc.bias"}
    model.freeze("nothing")
    assert learning() == everything


def test_dropout_acts_in_training_only():
    model = make_tsn(dropout=0.9)
    model.freeze("backbone")
    features = torch.randn(100, 3)
    assert torch.equal(model.eval().classify(features), model.classify(features))
    assert not torch.equal(model.train().classify(features), model.classify(features))
