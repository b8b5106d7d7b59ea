"""Imported models compute the released implementation's outputs; errors name what does not fit."""

import contextlib
import json
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torchvision.models import video
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import ModelError
from omnicli.models import import_weights as foreign
from omnicli.models import resnet3d_configs, tsm
from omnicli.models.architectures import new_model
from omnicli.models.import_weights import build_foreign, infer_name
from omnicli.models.loading import load_model
from omnicli.models.resnet3d import ResNet3D
from omnicli.models.weight_names import bare_names, from_omni, is_tsm, to_omni

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference"
CLASSES = [f"class {index}" for index in range(400)]
RECORDED = ["tsn_r50_3seg", "tsm_r50_8seg", "slowonly_r50_4x16", "ircsn_r50_32x2", "r2plus1d_r34_8x8"]
MODELS = [
    *("i3d_r50_32x2", "ipcsn_r152_32x2", "ircsn_r152_32x2", "ircsn_r50_32x2", "r2plus1d_r34_32x2", "r2plus1d_r34_8x8"),
    *("slowfast_r50_4x16", "slowfast_r50_8x8", "slowonly_r101_8x8", "slowonly_r50_4x16", "slowonly_r50_8x8"),
    *("tsm_r50_8seg", "tsn_r50_3seg", "tsn_r50_3seg_224"),
]


@torch.no_grad()
def logits_of(model, clips):
    return model(clips)


@pytest.mark.parametrize("model", RECORDED)
def test_logits_equal_those_of_the_released_implementation(reference, tmp_path, model):
    raw = {"meta": {"epoch": 100}, "state_dict": reference.weights(model), "optimizer": {}}
    torch.save(raw, tmp_path / "a.pth")
    teacher = load_model(tmp_path / "a.pth", classes=CLASSES)
    assert teacher.spec.name == reference.architectures[model]
    assert (logits_of(teacher.network, reference.clips(model)) - reference.logits(model)).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["R3D_18", "MC3_18", "R2Plus1D_18"])
def test_torchvisions_video_models_get_their_published_input(tmp_path, name):
    published = getattr(video, f"{name}_Weights").DEFAULT.transforms()
    torch.save(getattr(video, name.lower())(weights=None).state_dict(), tmp_path / "a.pth")
    spec = load_model(tmp_path / "a.pth", classes=CLASSES).spec
    assert spec.mean == pytest.approx([255 * value for value in published.mean])
    assert spec.std == pytest.approx([255 * value for value in published.std])
    assert [spec.crop_size] * 2 == published.crop_size
    assert spec.short_side == min(published.resize_size)


@pytest.mark.parametrize("model", MODELS)
def test_every_key_and_shape_of_the_released_models_round_trips(reference, model):
    theirs = reference.empty_weights(model)
    ours = to_omni(theirs)
    name = infer_name(ours, is_shifted=is_tsm(theirs), path="a.pth")
    assert name == reference.architectures[model]
    with torch.device("meta"):
        wanted = new_model(name, 400).state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()} == {key: tensor.shape for key, tensor in wanted.items()}
    back = from_omni(ours, "mmaction2", is_shifted=name.startswith("tsm-"))
    assert {key: tensor.shape for key, tensor in back.items()} == {key: t.shape for key, t in theirs.items()}


@pytest.mark.parametrize("model", ["tsn_r50_3seg", "tsm_r50_8seg", "slowonly_r50_4x16", "i3d_r50_32x2"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("has_counts", [True, False])
def test_old_mmaction_names_are_recognised_with_and_without_prefix(reference, model, prefix, has_counts):
    is_shifted = model.startswith("tsm")
    old = from_omni(to_omni(reference.empty_weights(model)), "mmaction", is_shifted=is_shifted)
    assert "backbone.bn1.weight" in old and "cls_head.fc_cls.weight" in old
    assert ("backbone.layer1.0.conv1.net.weight" in old) == is_shifted
    old = {prefix + key: tensor for key, tensor in old.items() if has_counts or "num_batches" not in key}
    old["data_preprocessor.mean"] = torch.zeros(3)
    name = infer_name(to_omni(old), is_shifted=is_tsm(bare_names(old)), path="a.pth")
    assert name == reference.architectures[model]


@pytest.mark.parametrize("wrap", [lambda weights: weights, lambda weights: {"state_dict": weights}])
def test_an_old_file_without_counts_gives_the_recorded_logits(reference, tmp_path, wrap):
    weights = from_omni(to_omni(reference.weights("slowonly_r50_4x16")), "mmaction")
    weights = {f"module.{key}": tensor for key, tensor in weights.items() if "num_batches" not in key}
    torch.save(wrap(weights), tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    model = load_model(tmp_path / "a.pth", classes=CLASSES).network
    difference = logits_of(model, reference.clips("slowonly_r50_4x16")) - reference.logits("slowonly_r50_4x16")
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("keys_timm_resnet50", "tsn-resnet50"),
        ("keys_torchvision_resnet50", "tsn-resnet50"),
        ("keys_timm_tf_efficientnet_b4", "tsn-tf_efficientnet_b4"),
        ("keys_torchvision_densenet161", "tsn-densenet161"),
        ("keys_timm_swin_base_patch4_window7_224", "tsn-swin_base_patch4_window7_224"),
    ],
)
def test_other_2d_backbones_are_recognised_by_their_keys(reference, file, name):
    theirs = reference.empty_weights(file)
    twin = pytest.warns(
        UserWarning, match="fit tsn-tf_efficientnet_b4 and tsn-efficientnet_b4, which differ in padding"
    )
    with twin if "-tf_" in name else contextlib.nullcontext():
        assert infer_name(to_omni(theirs), is_shifted=is_tsm(theirs), path="a.pth") == name


def recorded_model(reference, model):
    weights = reference.weights(model)
    return build_foreign(weights, path="a.pth", classes=CLASSES)[0], reference.clips(model), reference.logits(model)


def wrong_by(reference, model, change):
    built, clips, expected = recorded_model(reference, model)
    change(built)
    return (logits_of(built, clips) - expected).abs().max()


@pytest.mark.parametrize("model", ["tsn_r50_3seg", "slowonly_r50_4x16", "ircsn_r50_32x2", "r2plus1d_r34_8x8"])
def test_a_wrong_batch_norm_epsilon_changes_the_logits(reference, model):
    def change(built):
        for module in built.backbone.modules():
            if hasattr(module, "eps"):
                module.eps = 1e-5 if module.eps == 1e-3 else 1e-3

    assert wrong_by(reference, model, change) > 2e-4


def test_a_wrong_shift_direction_changes_the_logits(reference, monkeypatch):
    right = tsm.shift

    def wrong(frames, num_segments):
        turned = frames.view(-1, num_segments, *frames.shape[1:]).flip(1).flatten(0, 1)
        return right(turned, num_segments).view(-1, num_segments, *frames.shape[1:]).flip(1).flatten(0, 1)

    monkeypatch.setattr(tsm, "shift", wrong)
    assert wrong_by(reference, "tsm_r50_8seg", lambda built: None) > 2e-4


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        ("slowonly_r50_4x16", {"temporal_strides": (1, 2, 1, 1)}),
        ("slowonly_r50_4x16", {"pool_stride_t": 2}),
        ("ircsn_r50_32x2", {"temporal_strides": (1, 1, 2, 2)}),
        ("r2plus1d_r34_8x8", {"temporal_strides": (1, 1, 2, 2)}),
        ("r2plus1d_r34_8x8", {"pool_stride_t": None}),
        ("slowonly_r50_4x16", {"has_time_pool": True}),
    ],
)
def test_a_wrong_stride_or_pooling_changes_the_logits(reference, monkeypatch, model, wrong):
    name = reference.architectures[model]
    monkeypatch.setitem(
        resnet3d_configs.RESNET3D_CONFIGS, name, replace(resnet3d_configs.RESNET3D_CONFIGS[name], **wrong)
    )
    foreign.shapes_of_backbone.cache_clear()
    assert wrong_by(reference, model, lambda built: None) > 2e-4


def test_a_2d_stride_on_the_first_convolution_changes_the_logits(reference):
    def change(built):
        for layer in (built.backbone.layer2, built.backbone.layer3, built.backbone.layer4):
            layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)

    assert wrong_by(reference, "tsn_r50_3seg", change) > 2e-4


def test_a_mismatch_says_which_keys_and_shapes_differ():
    weights = ResNet3D(resnet3d_configs.RESNET3D_CONFIGS["r3d-r18"]).state_dict()
    ours = {f"backbone.{key}": tensor for key, tensor in weights.items()} | {"fc.weight": torch.zeros(2, 512)}
    ours["backbone.conv1.weight"] = torch.zeros(64, 3, 5, 7, 7)
    with pytest.raises(
        ModelError, match=r"a\.pth: .*not r3d-r18: backbone.conv1.weight is \(64, 3, 5, 7, 7\), expected"
    ):
        build_foreign(ours, path="a.pth", classes=["a", "b"])
    with pytest.raises(ModelError, match=r"does not fit ircsn-r50: .* and \d+ more"):
        build_foreign(ours, path="a.pth", classes=["a", "b"], name="ircsn-r50")


def test_the_number_of_classes_must_agree_and_a_classifier_is_required():
    weights = {
        f"backbone.{key}": tensor
        for key, tensor in ResNet3D(resnet3d_configs.RESNET3D_CONFIGS["r3d-r18"]).state_dict().items()
    }
    with pytest.raises(ModelError, match="no classifier"):
        build_foreign(weights, path="a.pth", classes=["a"])
    with pytest.raises(ModelError, match="scores 3 classes, but 1 names"):
        build_foreign(weights | {"fc.weight": torch.zeros(3, 512)}, path="a.pth", classes=["a"])


@pytest.mark.parametrize("classes", [None, ["a", "b"]])
@pytest.mark.parametrize("classifier", [{}, {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}])
def test_the_weights_of_a_backbone_are_no_teacher_and_the_message_says_how_to_train_one(tmp_path, classifier, classes):
    path = tmp_path / "imagenet.pth"
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)} | classifier, path)
    with pytest.raises(ModelError, match=f"{re.escape(str(path))}: .*; train a teacher .* teacher-train --init FILE"):
        load_model(path, classes=classes)


def test_a_foreign_file_without_class_names_is_refused(tmp_path):
    torch.save({"backbone.x.weight": torch.zeros(1), "fc.weight": torch.zeros(3, 1)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"a\.pth: names no classes; --classes FILE"):
        load_model(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("case", "model", "frames"),
    [("tsn_val", "tsn_r50_3seg", ["--num-segments", "3"]), ("slowonly_val", "slowonly_r50_4x16", ["--num-clips", "1"])],
)
def test_scores_of_a_video_file_equal_those_of_the_released_implementation(reference, tmp_path, case, model, frames):
    """Decoding, frames, resizing, cropping, normalising, weights and softmax, through ``omni eval``."""
    torch.save({"meta": {}, "state_dict": reference.weights(model)}, tmp_path / "a.pth")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    (tmp_path / "val.jsonl").write_text(json.dumps({"path": str(REFERENCE / "clip.mp4"), "label": 0}) + "\n")
    result = CliRunner().invoke(app, [
        "eval", str(tmp_path / "val.jsonl"), "--checkpoint", str(tmp_path / "a.pth"), *frames,
        "--classes", str(tmp_path / "classes.txt"), "--short-side", "256", "--crop-size", "224",
        "--precision", "float32", "--batch-size", "1", "--shards", str(tmp_path / "s"),
    ])  # fmt: skip
    assert result.exit_code == 0, result.stderr
    with h5py.File(tmp_path / "s" / "00000.h5") as shard:
        got = shard["scores"][0]
    wanted = np.load(REFERENCE / "e2e.npz")[f"{case}.PyAV.prob"]
    assert np.abs(got - wanted).max() < 1e-6
    top5 = json.loads((REFERENCE / "e2e.json").read_text())[f"{case}.PyAV"]["top5"]
    assert [label for label, _ in json.loads(result.stdout.splitlines()[0])["top_scores"]] == top5
