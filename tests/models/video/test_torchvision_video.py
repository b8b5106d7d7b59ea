"""Video models of torchvision compute what its own classes do, learn, and pass through every stage."""

from dataclasses import replace

import pytest
import torch
from clip_training import SHORT, check_learns_and_resumes, crawl_to_student, two_clips_per_class
from tiny_torchvision import TINY, tiny_config
from torchvision.models import get_model, get_model_weights

from omnicli.errors import UsageError
from omnicli.models.factory import model_spec
from omnicli.models.loading import load_model
from omnicli.models.video.library_model import LibraryModel
from omnicli.models.video.torchvision_video import TORCHVISION_VIDEO

CLASSES = [f"class {index}" for index in range(400)]
ALL = [*TORCHVISION_VIDEO, "torchvision-r3d_18", "torchvision-mc3_18", "torchvision-r2plus1d_18"]


@pytest.fixture(params=TINY)
def tiny(request, monkeypatch):
    """The name of a small model, known to omni for a test."""
    monkeypatch.setitem(TORCHVISION_VIDEO, request.param, tiny_config(request.param))
    return request.param


def clips(num_frames, side):
    return torch.randn(2, 3, num_frames, side, side, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def check_same_logits(model, tmp_path, name, num_frames, side, *, is_named=False):
    torch.save(model.eval().state_dict(), tmp_path / "a.pth")
    loaded = load_model(tmp_path / "a.pth", classes=CLASSES, name=name if is_named else None)
    assert loaded.spec.name == name
    shown = clips(num_frames, side)
    assert (loaded.network(shown) - model(shown)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ALL)
def test_input_is_that_of_the_published_weights(name):
    weights = next(iter(get_model_weights(name.removeprefix("torchvision-"))))
    published, spec = weights.transforms(), model_spec(name, classes=CLASSES)
    assert spec.mean == pytest.approx([255 * value for value in published.mean])
    assert spec.std == pytest.approx([255 * value for value in published.std])
    assert [spec.crop_size] * 2 == published.crop_size
    assert spec.short_side == min(published.resize_size)
    if name in TORCHVISION_VIDEO:
        documented = weights.meta["_docs"]
        assert f"clips_per_video={TORCHVISION_VIDEO[name].num_clips}" in documented
        assert f"clip_len={spec.num_frames}" in documented
        assert f"frame_rate={30 / spec.frame_interval:g}" in documented


def test_small_models_have_torchvisions_logits(tiny, tmp_path):
    torch.manual_seed(1)
    check_same_logits(TINY[tiny](), tmp_path, tiny, 4, 32, is_named=True)


def test_swin3d_is_recognised_and_has_torchvisions_logits(tmp_path):
    torch.manual_seed(1)
    check_same_logits(get_model("swin3d_t"), tmp_path, "torchvision-swin3d_t", 4, 32)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "frames"), [("mvit_v2_s", 16), ("s3d", 14)])
def test_mvit_and_s3d_are_recognised_and_have_torchvisions_logits(tmp_path, name, frames):
    torch.manual_seed(1)
    check_same_logits(get_model(name), tmp_path, f"torchvision-{name}", frames, 224)


def test_training_lowers_the_loss_and_resumes_exactly(tiny, world, tmp_path):
    recipe = replace(SHORT, model=tiny, lr=0.02, reference_batch_size=0)
    check_learns_and_resumes(two_clips_per_class(world), tmp_path, recipe)
    network = load_model(tmp_path / "a.pth").network
    assert isinstance(network, LibraryModel)


@pytest.mark.slow
def test_from_a_crawl_to_a_student(tiny, world, tmp_path):
    summary = crawl_to_student(world, tmp_path, ("--model", tiny))
    assert 0 <= summary["top1_acc"] <= 1
    assert summary["view"] == "1 clip, float32"


@pytest.mark.parametrize("option", [{"num_frames": 8}, {"crop_size": 160}, {"short_side": 128}])
def test_an_input_that_mvit_does_not_take_is_refused(option):
    with pytest.raises(UsageError, match="takes 16 frames of 224 pixels"):
        model_spec("torchvision-mvit_v2_s", classes=CLASSES, **option)
