"""Names of video models of other libraries."""

import pytest

from omnicli.errors import UsageError
from omnicli.models.architectures import default_dropout, find_config_3d, imagenet_resnet
from omnicli.models.video.registry import library_config, library_names, published_test


def test_every_name_is_a_3d_model_and_others_are_none():
    assert all(find_config_3d(name) is library_config(name) is not None for name in library_names())
    assert library_config("slowonly-r50") is None
    assert default_dropout("torchvision-mvit_v2_s") == 0.5


def test_a_tight_test_cuts_crops_of_the_whole_short_side():
    vjepa2 = {"num_clips": 2, "crops": "three"}
    assert published_test("transformers-vjepa2", short_side=292, crop_size=256) == {**vjepa2, "short_side": 256}
    assert published_test("transformers-vjepa2", short_side=256, crop_size=256) == vjepa2
    assert published_test("transformers-vivit", short_side=256, crop_size=224) == {"num_clips": 4, "crops": "three"}
    assert published_test("slowonly-r50", short_side=256, crop_size=224) == {}


def test_a_name_that_is_nearly_right_is_told():
    with pytest.raises(UsageError, match="near: torchvision-mvit_v2_s"):
        find_config_3d("torchvision-mvit_v2")


def test_imagenet_weights_are_refused():
    with pytest.raises(UsageError, match="no 2D counterpart"):
        imagenet_resnet("torchvision-swin3d_t")
