"""``omni features``: shards that dedup and fc-only training can read."""

import json
import re

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.data.frame_sampling import clip_indices_test
from omnicli.inference.predictor import forward_of
from omnicli.inference.views import ViewOptions, read_views
from omnicli.media.source import open_media
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import load_model
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import ShardReader


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def made(teacher, world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    result = omni(
        "features", "--checkpoint", teacher, "--shards", folder / "shards", "--precision", "float32", "--fps", 2,
        world / "web" / "video", world / "web" / "image", "-o", folder / "features.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert re.search(rf"features of {re.escape(str(teacher))}, backbone sha256 [0-9a-f]{{12}}", result.stderr)
    return folder


def test_each_line_names_the_row_that_holds_its_features(made):
    lines = [json.loads(line) for line in (made / "features.jsonl").read_text().splitlines()]
    assert lines
    for line in lines:
        assert line["media"] == "features"
        with ShardReader(line["path"]) as shard:
            features, times = shard.features(line["row"])
            assert list(shard.records)[line["row"]]["id"] == line["id"]
        assert features.shape[0] == len(times) >= 1
        assert np.isfinite(features).all()
        if len(times) > 1:  # two frames per second
            np.testing.assert_allclose(np.diff(times), 0.5, atol=0.05)


def test_a_shard_is_an_input(made):
    shards = sorted((made / "shards").glob("*.h5"))
    result = omni("index", *shards)
    ids = [json.loads(line)["id"] for line in result.stdout.splitlines()]
    assert ids == [json.loads(line)["id"] for line in (made / "features.jsonl").read_text().splitlines()]


def test_arrays_need_a_place_to_go(teacher, world):
    result = omni("features", "--checkpoint", teacher, world / "web" / "video")
    assert result.exit_code == 2
    assert "give --shards DIR" in result.stderr


def test_a_checkpoint_brings_its_own_backbone(teacher, tmp_path):
    result = omni("features", "--checkpoint", teacher, "--backbone", "resnet50", "--shards", tmp_path, ".")
    assert result.exit_code == 2
    assert "remove --backbone and --weights" in result.stderr


def test_weights_that_cannot_be_downloaded_say_how_to_give_a_file(tmp_path, world):
    result = omni("features", "--backbone", "resnet10t", "--shards", tmp_path, world / "web" / "video")
    assert result.exit_code == 66
    assert "cannot be downloaded" in result.stderr
    assert "huggingface.co/timm/resnet10t.c3_in1k" in result.stderr
    assert "--weights resnet10t.c3_in1k.safetensors" in result.stderr


@pytest.fixture(scope="module")
def clip_model(tmp_path_factory):
    """A checkpoint of a small 3D model with random weights."""
    path = tmp_path_factory.mktemp("clip-model") / "r3d.pth"
    frames = {"num_frames": 4, "frame_interval": 2}
    spec = model_spec("r3d-r18", classes=["a", "b"], short_side=36, crop_size=32, **frames)
    weights = create_model("r3d-r18", num_classes=2).state_dict()
    save_checkpoint(path, meta={"model": spec.to_meta()}, state_dict=weights)
    return path


def test_a_3d_model_gives_one_feature_a_clip_with_the_clips_mean_time(clip_model, world, tmp_path):
    video = sorted((world / "web" / "video").rglob("*.mp4"))[0]
    result = omni("features", "--checkpoint", clip_model, "--num-clips", 3, "--precision", "float32",
                  "--shards", tmp_path / "f", video)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    line = json.loads(result.stdout)
    with ShardReader(line["path"]) as shard:
        features, times = shard.features(line["row"])
    teacher = load_model(clip_model)
    [views] = read_views(Record({"path": str(video)}), models=[teacher], views=ViewOptions(num_clips=3))
    with torch.inference_mode():
        expected = forward_of(teacher.network.features, teacher)(torch.from_numpy(np.ascontiguousarray(views))).numpy()
    np.testing.assert_allclose(features, expected, atol=2e-3 * np.abs(expected).max())
    with open_media(Record({"path": str(video)})) as source:
        indices = clip_indices_test(source.num_frames, num_clips=3, clip_frames=4, frame_interval=2)
        np.testing.assert_allclose(times, source.times[indices].mean(axis=1))


def test_options_of_the_other_kind_of_model_are_refused(clip_model, teacher, tmp_path, world):
    for model, option in ((clip_model, "--fps"), (teacher, "--num-clips")):
        result = omni("features", "--checkpoint", model, option, 2, "--shards", tmp_path, world / "web" / "video")
        assert result.exit_code == 2
        assert option in result.stderr


@pytest.mark.slow
def test_features_fit_every_checkpoint_on_the_same_frozen_backbone(teacher, world, tmp_path):
    """Rows made with one teacher are scored by another, learnt from under its --init, and searched beside its rows."""
    train, options = world / "target" / "train", ["--model", "tsn-resnet10t", "--init", teacher, "--num-segments", 1]
    options += ["--recipe", "few-clips-scratch", "--epochs", 1, "--device", "cpu"]
    frozen = [*options, "--freeze", "backbone"]
    records = tmp_path / "train.jsonl"
    assert omni("index", "--labels", train, "-o", records).exit_code == 0
    for seed, name in enumerate(("a", "b")):
        assert omni("teacher-train", train, *frozen, "--seed", seed, "-o", tmp_path / f"{name}.pth").exit_code == 0
        made = omni("features", "--checkpoint", tmp_path / f"{name}.pth", "--shards", tmp_path / name, records,
                    "-o", tmp_path / f"{name}.jsonl")  # fmt: skip
        assert made.exit_code == 0, made.stderr
    assert (tmp_path / "a.pth").read_bytes() != (tmp_path / "b.pth").read_bytes()
    scored = omni("filter", "--teacher", tmp_path / "b.pth", "--threshold", 0, tmp_path / "a.jsonl")
    assert scored.exit_code == 0, scored.stderr
    assert scored.stdout.count("\n") == 24
    searched = omni("dedup", "--target", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--threshold", 1)
    assert searched.exit_code == 0, searched.stderr
    student = [*frozen, "--init", tmp_path / "b.pth"]
    learnt = omni("teacher-train", tmp_path / "a.jsonl", *student, "-o", tmp_path / "c.pth")
    assert learnt.exit_code == 0, learnt.stderr
    other = omni("teacher-train", train, *options, "-o", tmp_path / "d.pth")
    assert other.exit_code == 0, other.stderr
    refused = omni("filter", "--teacher", tmp_path / "d.pth", "--threshold", 0, tmp_path / "a.jsonl")
    assert refused.exit_code == 65
    assert "features by tsn-resnet10t" in refused.stderr and "or another of the same backbone" in refused.stderr
