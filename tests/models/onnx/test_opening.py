"""A program of another tool is described by its shapes and by options; what is missing is asked for."""

import json

import pytest
import torch
from made_onnx import program, save

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import make_stamp
from omnicli.models.factory import model_spec
from omnicli.models.loading import load_model, open_model

CLASSES = ["a", "b", "c"]
CLIPS = ("NCTHW", ["n", 3, 8, 112, 112])


@pytest.fixture
def images(tmp_path):
    return save(program(), tmp_path / "m.onnx")


@pytest.fixture
def clips(tmp_path):
    return save(program(*CLIPS), tmp_path / "m.onnx")


def test_images_need_class_names_alone(images):
    with pytest.raises(ModelError, match=r"names no classes; --classes FILE"):
        open_model(images)
    with pytest.warns(UserWarning, match="states no preprocessing: taken are 32 pixels of a short side of 37"):
        loaded = load_model(images, classes=CLASSES, precision=torch.bfloat16)
    assert (loaded.spec.name, loaded.spec.crop_size, loaded.spec.num_segments) == ("onnx", 32, 3)
    assert (loaded.precision, loaded.temperature, len(loaded.sha256)) == (torch.float32, 1.0, 64)
    assert loaded.network(torch.rand(2, 3, 1, 32, 32)).shape == (2, 3)


def test_clips_need_the_distance_between_their_frames(clips):
    with pytest.raises(ModelError, match="how far apart the frames of a clip are; give --frame-interval N"):
        open_model(clips, classes=CLASSES)
    with pytest.warns(UserWarning, match="112 pixels"):
        spec = open_model(clips, classes=CLASSES, frame_interval=2).spec
    assert (spec.num_frames, spec.frame_interval, spec.num_segments) == (8, 2, 1)
    with pytest.raises(UsageError, match=r"--num-frames 16: .* takes 8 frames"):
        open_model(clips, classes=CLASSES, num_frames=16, frame_interval=2)


def test_an_architecture_names_the_preprocessing(clips, tmp_path):
    spec = open_model(clips, classes=CLASSES, name="r2plus1d-r34").spec
    published = model_spec("r2plus1d-r34", classes=CLASSES)
    assert (spec.mean, spec.std, spec.short_side) == (published.mean, published.std, published.short_side)
    assert (spec.name, spec.num_frames, spec.crop_size) == ("r2plus1d-r34", 8, 112)
    larger = open_model(clips, classes=CLASSES, name="slowonly-r50").spec
    assert (larger.crop_size, larger.short_side) == (112, 128)
    shifted = open_model(clips, classes=CLASSES, name="tsm-resnet50")
    assert (shifted.spec.num_segments, shifted.network.is_2d, shifted.network.is_framewise) == (8, True, False)
    with pytest.raises(UsageError, match=r"--model tsn-resnet50: .* takes clips"):
        open_model(clips, classes=CLASSES, name="tsn-resnet50")
    with pytest.raises(UsageError, match=r"--model tsm-resnet50: .* takes images"):
        open_model(save(program(), tmp_path / "i.onnx"), classes=CLASSES, name="tsm-resnet50")


@pytest.mark.filterwarnings("ignore:.*states no preprocessing")
@pytest.mark.parametrize(("sizes", "says"), [(["n", 3, 32, 64], "not a square"), (["n", 1, 32, 32], "with 3 channels")])
def test_odd_inputs_are_named(tmp_path, sizes, says):
    with pytest.raises(ModelError, match=says):
        open_model(save(program(sizes=sizes), tmp_path / "m.onnx"), classes=CLASSES)


@pytest.mark.filterwarnings("ignore:.*states no preprocessing")
def test_classes_are_counted(images):
    with pytest.raises(ModelError, match="scores 3 classes, but 2 names were given"):
        open_model(images, classes=CLASSES[:2])


def stamped(tmp_path, model, *, name="tsn-resnet18", **changes):
    spec = model_spec(name, classes=CLASSES, short_side=36, crop_size=32)
    meta = {"model": {**spec.to_meta(), **changes}, "temperature": 1.5}
    return save(model, tmp_path / "m.onnx", omni=make_stamp(json.loads(json.dumps(meta))))


def test_a_stamp_describes_the_program(tmp_path):
    opened = open_model(stamped(tmp_path, program(), licence="cc-by-4.0"))
    assert (opened.spec.classes, opened.temperature, opened.spec.licence) == (tuple(CLASSES), 1.5, "cc-by-4.0")
    with pytest.raises(UsageError, match="stores its architecture; remove --model"):
        open_model(tmp_path / "m.onnx", name="tsn-resnet18")
    with pytest.raises(ModelError, match="other classes than --classes"):
        open_model(tmp_path / "m.onnx", classes=["x", "y", "z"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"crop_size": 64}, r"input images \(\?, 3, 32, 32\) does not fit tsn-resnet18: H is 64"),
        ({"classes": ["a"]}, "scores 3 classes, but 1 names"),
        ({"mean": 3}, "damaged checkpoint"),
    ],
)
def test_a_stamp_that_does_not_fit_is_refused(tmp_path, changes, says):
    with pytest.raises(ModelError, match=says):
        open_model(stamped(tmp_path, program(), **changes))


def test_a_damaged_stamp_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"m\.onnx: damaged checkpoint \(its stamp"):
        open_model(save(program(), tmp_path / "m.onnx", omni='{"version": 1}'))
