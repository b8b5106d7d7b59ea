"""Frames and sides that a model cannot compute with are refused before anything is read."""

import pytest

from omnicli.errors import UsageError
from omnicli.models import input_sizes
from omnicli.models.factory import model_spec
from omnicli.models.input_sizes import check_view_sizes


@pytest.mark.parametrize(
    ("name", "sizes", "says"),
    [
        ("slowfast-r50", {"num_frames": 30}, "--num-frames 30: slowfast-r50 takes a multiple of 8: give 24"),
        ("i3d-r50", {"num_frames": 4}, "--num-frames 4: i3d-r50 takes 5 or more"),
        ("tsn-vit_tiny_patch16_224", {"crop_size": 192}, "cannot take 192 x 192 pixels .*published with 224 x 224"),
        ("torchvision-s3d", {"num_frames": 8}, "cannot take 8 frames of 224 x 224 .*published with 128 frames"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name, sizes, says):
    with pytest.raises(UsageError, match=says):
        model_spec(name, classes=["a"], **sizes)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("slowfast-r50", {"num_frames": 16, "crop_size": 112}),
        ("i3d-r50", {"num_frames": 8}),
        ("tsn-resnet18", {"crop_size": 64}),
        ("torchvision-swin3d_t", {"num_frames": 8, "crop_size": 112}),
    ],
)
def test_others_are_taken_without_a_try(name, sizes, monkeypatch):
    monkeypatch.setattr(input_sizes, "_failure", lambda *given: pytest.fail("tried"))
    assert model_spec(name, classes=["a"], **sizes)


def test_views_of_other_sides_are_refused_for_fixed_models():
    spec = model_spec("tsn-vit_tiny_patch16_224", classes=["a"])
    check_view_sizes(spec, (224, 224))
    with pytest.raises(UsageError, match="cannot take 288 x 256 pixels"):
        check_view_sizes(spec, (256, 288))
