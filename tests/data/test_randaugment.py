"""RandAugment: timm's operations at timm's strengths, one draw for all frames of a clip."""

import random

import numpy as np
import pytest
from PIL import Image
from timm.data.auto_augment import AugmentOp, rand_augment_transform

from omnicli.data import randaugment
from omnicli.data.randaugment import GREY, OPERATIONS, RandAugment, apply, parse_randaugment
from omnicli.errors import UsageError

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)
LIKE_TIMM = {"img_mean": GREY, "interpolation": Image.Resampling.BICUBIC}
VIDEOMAE = "rand-m7-n4-mstd0.5-inc1"


def drawn(monkeypatch, augment, count):
    """(name, magnitude, sign, increasing) of every operation that is applied to ``count`` clips."""
    found = []

    def note(name, frames, magnitude, *, sign, increasing):
        found.append((name, magnitude, sign, increasing))
        return frames

    monkeypatch.setattr(randaugment, "apply", note)
    for seed in range(count):
        augment(FRAMES, np.random.default_rng(seed))
    return found


@pytest.mark.parametrize("increasing", [True, False])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_that_of_timm(name, increasing, monkeypatch):
    has_other = name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
    of_timm = f"{name}Increasing" if increasing and has_other else name
    strengths = (0.0, 3.3, 7.0, 10.0) if name != "Posterize" else (3.3, 7.0)  # of 0 bits Pillow makes no image
    for magnitude in strengths:
        for sign in (1, -1):
            monkeypatch.setattr(random, "random", lambda sign=sign: 0.25 if sign > 0 else 0.75)
            expected = AugmentOp(of_timm, prob=1.0, magnitude=magnitude, hparams=LIKE_TIMM)
            ours = apply(name, FRAMES, magnitude, sign=sign, increasing=increasing)
            assert (ours == np.stack([expected(Image.fromarray(frame)) for frame in FRAMES])).all(), magnitude


@pytest.mark.parametrize(("magnitude", "increasing"), [(0.0, False), (10.0, True), (30.0, True)])
def test_at_least_one_bit_is_left(magnitude, increasing):
    left = apply("Posterize", FRAMES, magnitude, sign=1, increasing=increasing)
    assert sorted(np.unique(left).tolist()) == [0, 128]


def test_a_specification_means_what_timm_reads(monkeypatch):
    assert parse_randaugment("none") is None
    for text in (VIDEOMAE, "rand", "rand-m9-n3", "rand-m5-mstd101-p0.8-mmax7"):
        ours = parse_randaugment(text)
        theirs = rand_augment_transform(text, dict(LIKE_TIMM))
        known = theirs.ops[4]  # Posterize
        assert (ours.n, ours.m, ours.p) == (theirs.num_layers, known.magnitude, known.prob)
        assert ours.mstd == known.magnitude_std or (ours.mstd > 100 and known.magnitude_std == float("inf"))
        assert ours.mmax == (known.magnitude_max or 10)
        assert [op.name.removesuffix("Increasing") for op in theirs.ops] == [*OPERATIONS]
        assert known.name == ("PosterizeIncreasing" if ours.inc else "Posterize")


def test_draws_have_the_probability_the_spread_and_the_bounds_of_the_specification(monkeypatch):
    found = drawn(monkeypatch, parse_randaugment(VIDEOMAE), 2000)
    assert len(found) / 2000 == pytest.approx(4 * 0.5, rel=0.05)
    assert {name for name, *_ in found} == {*OPERATIONS}
    magnitudes = np.array([magnitude for _, magnitude, *_ in found])
    assert magnitudes.mean() == pytest.approx(7, abs=0.05)
    assert magnitudes.std() == pytest.approx(0.5, rel=0.05)
    assert np.mean([sign for *_, sign, _ in found]) == pytest.approx(0, abs=0.06)
    assert all(increasing for *_, increasing in found)
    wide = [magnitude for _, magnitude, *_ in drawn(monkeypatch, RandAugment(m=9, mstd=101, p=1.0), 2000)]
    assert (min(wide), max(wide)) == (pytest.approx(0, abs=0.1), pytest.approx(9, abs=0.1))
    clipped = {magnitude for _, magnitude, *_ in drawn(monkeypatch, RandAugment(m=9, mstd=50, p=1.0), 200)}
    assert {0.0, 10.0} <= clipped
    assert max(clipped) == 10


def test_every_frame_of_a_clip_has_the_same_operations_and_a_draw_repeats():
    still = np.repeat(FRAMES[:1], 3, axis=0)
    augment = parse_randaugment("rand-m9-n6-p1-mstd0.5-inc1")
    changed = augment(still, np.random.default_rng(3))
    assert (changed == changed[:1]).all()
    assert (changed != still).any()
    assert (changed == augment(still, np.random.default_rng(3))).all()
    assert (changed != augment(still, np.random.default_rng(4))).any()


@pytest.mark.parametrize(
    "text", ["", "auto-m7", "rand-m", "rand-x3", "rand-m7-m8", "rand-p2", "rand-tweights", "rand_m7", "rand-m-7"]
)
def test_another_specification_is_refused_and_the_part_named(text):
    with pytest.raises(UsageError, match=r"--randaugment .*such as rand-m7-n4-mstd0\.5-inc1"):
        parse_randaugment(text)
