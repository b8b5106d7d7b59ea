"""The input that models were published with."""

import pytest

from omnicli.models.factory import model_spec
from omnicli.models.published_input import IPCSN_MEAN, KINETICS_MEAN, published_input


@pytest.mark.parametrize(
    ("name", "mean", "sizes"),
    [
        ("slowonly-r50", KINETICS_MEAN, (256, 224)),
        ("ipcsn-r50", IPCSN_MEAN, (256, 224)),
        ("torchvision-mc3_18", IPCSN_MEAN, (128, 112)),
        ("torchvision-swin3d_t", KINETICS_MEAN, (256, 224)),
    ],
)
def test_by_name(name, mean, sizes):
    assert published_input(name).mean == pytest.approx(mean)
    spec = model_spec(name, classes=[])
    assert (spec.short_side, spec.crop_size) == sizes


def test_a_given_size_decides_the_other():
    spec = model_spec("torchvision-mc3_18", classes=[], crop_size=56)
    assert (spec.short_side, spec.crop_size) == (64, 56)
