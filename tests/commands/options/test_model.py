"""Options of models: contradictions are refused before a model is loaded."""

from types import SimpleNamespace
from typing import Any

import pytest

from omnicli.commands.options.compute import ComputeOptions
from omnicli.commands.options.model import (
    DEFAULT_BACKBONE,
    BackboneOptions,
    ModelOptions,
    check_frames,
    check_modality,
    check_views,
    strength_of,
)
from omnicli.errors import InputError, UsageError


def test_a_model_takes_what_it_was_trained_on():
    model = SimpleNamespace(name="flow.pth", spec=SimpleNamespace(modality="flow"))
    check_modality(model, None)
    check_modality(model, "flow")
    with pytest.raises(UsageError, match=r"^--modality rgb: flow\.pth was trained on flow$"):
        check_modality(model, "rgb")


def test_segments_and_clips_are_for_models_that_have_them():
    tsn: Any = SimpleNamespace(name="tsn.pth", network=SimpleNamespace(is_2d=True))
    slowonly: Any = SimpleNamespace(name="slowonly.pth", network=SimpleNamespace(is_2d=False))
    check_views([tsn, slowonly], has_segments=True, has_clips=True)
    check_views([tsn], has_segments=True, has_clips=False)
    check_views([slowonly], has_segments=False, has_clips=True)
    with pytest.raises(
        UsageError, match=r"^--num-clips is for 3D models, and tsn\.pth is 2D: remove it, or give --num-s"
    ):
        check_views([tsn, tsn], has_segments=False, has_clips=True)
    with pytest.raises(
        UsageError, match=r"^--num-segments is for 2D models, and slowonly\.pth is 3D: remove it, or give"
    ):
        check_views([slowonly], has_segments=True, has_clips=False)


def test_class_names_are_those_of_the_file(tmp_path):
    (tmp_path / "classes.txt").write_text("archery\ndiving\n")
    assert ModelOptions(classes=tmp_path / "classes.txt").class_names() == ("archery", "diving")
    assert ModelOptions().class_names() is None
    with pytest.raises(InputError, match=r"gone\.txt"):
        ModelOptions(classes=tmp_path / "gone.txt").class_names()


@pytest.mark.parametrize("given", [{"backbone": "resnet18"}, {"weights": "w.pth"}])
def test_a_checkpoint_brings_its_own_backbone(given):
    with pytest.raises(UsageError, match="remove --backbone and --weights"):
        BackboneOptions(checkpoint="tsn.pth", **given).check()
    BackboneOptions(**given).check()


def test_a_backbone_has_the_tag_of_its_weights_only_if_they_are_downloaded():
    assert BackboneOptions().name == f"{DEFAULT_BACKBONE}.tv_in1k"
    assert BackboneOptions(weights="w.pth").name == DEFAULT_BACKBONE
    assert BackboneOptions(checkpoint="tsn.pth").name is None


def test_frames_of_clips_are_for_3d_models():
    both: Any = [SimpleNamespace(name=f"{is_2d}.pth", network=SimpleNamespace(is_2d=is_2d)) for is_2d in (True, False)]
    tsn, slowonly = both
    check_frames([tsn], ModelOptions())
    check_frames([tsn, slowonly], ModelOptions(num_frames=8))
    with pytest.raises(
        UsageError, match=r"^--num-frames and --frame-interval: True\.pth is a 2D model, which takes no"
    ):
        check_frames([tsn], ModelOptions(num_frames=8, frame_interval=2))


def test_files_of_weights_have_a_digest(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"abc")
    assert BackboneOptions(weights=tmp_path / "w.pth").digests() == {
        "weights": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    }
    assert BackboneOptions(backbone="resnet18").digests() == {}


def test_flow_needs_a_checkpoint():
    with pytest.raises(UsageError, match="--backbone takes RGB; give --checkpoint FILE"):
        BackboneOptions(backbone="resnet18").load(ComputeOptions(), modality="flow")


def test_without_a_teacher_nothing_is_known_of_its_strength():
    assert strength_of([]) is None
