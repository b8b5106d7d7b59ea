"""Names of video models of other libraries."""

import pytest

from omnicli.errors import UsageError
from omnicli.models.architectures import default_dropout, find_config_3d, imagenet_resnet
from omnicli.models.video.registry import library_config, library_names


def test_every_name_is_a_3d_model_and_others_are_none():
    assert all(find_config_3d(name) is library_config(name) is not None for name in library_names())
    assert library_config("slowonly-r50") is None
    assert default_dropout("torchvision-mvit_v2_s") == 0.5


def test_a_name_that_is_nearly_right_is_told():
    with pytest.raises(UsageError, match="near: torchvision-mvit_v2_s"):
        find_config_3d("torchvision-mvit_v2")


def test_imagenet_weights_are_refused():
    with pytest.raises(UsageError, match="no 2D counterpart"):
        imagenet_resnet("torchvision-swin3d_t")
