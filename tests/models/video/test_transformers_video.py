"""Video classifiers of transformers compute what its own classes do, learn, and pass through every stage."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from clip_training import SHORT, check_learns_and_resumes, crawl_to_student, omni, two_clips_per_class
from tiny_transformers import OPTIONS, save_folder
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import load_any
from omnicli.models.loading import load_model
from omnicli.models.video.registry import published_test
from omnicli.models.video.transformers_video import TRANSFORMERS_VIDEO, build, checked_options, configured

FOUR = ["archery", "żeglarstwo", "rock climbing", "x"]


@pytest.fixture(params=OPTIONS)
def family(request):
    return request.param


def clips():
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_folder_has_the_logits_of_transformers_and_its_input_and_classes(family, tmp_path):
    model = save_folder(tmp_path / "model", family, FOUR)
    loaded = load_model(tmp_path / "model")
    expected = model(clips().transpose(1, 2)).logits
    assert (loaded.network(clips()) - expected).abs().max() < 1e-5
    assert expected.std() > 0.01
    spec = loaded.spec
    assert (loaded.classes, spec.name, spec.licence) == (tuple(FOUR), f"transformers-{family}", "apache-2.0")
    assert (spec.num_frames, spec.crop_size, spec.short_side) == (4, 32, 36)
    assert spec.mean == pytest.approx((102, 127.5, 153))
    assert spec.std == pytest.approx((51, 63.75, 76.5))


def test_training_lowers_the_loss_and_resumes_exactly(family, world, tmp_path):
    save_folder(tmp_path / "model", family, FOUR[:2])
    recipe = replace(
        SHORT, model=f"transformers-{family}", init=str(tmp_path / "model"), lr=0.01, reference_batch_size=0
    )
    check_learns_and_resumes(two_clips_per_class(world), tmp_path, recipe)
    meta = load_any(tmp_path / "a.pth").meta["model"]
    assert meta["licence"] == "apache-2.0"
    assert meta["mean"] == pytest.approx([102, 127.5, 153])
    assert load_model(tmp_path / "a.pth").network(clips()).shape == (2, 4)


@pytest.mark.slow
def test_from_a_crawl_to_a_student(family, world, tmp_path):
    classes = (world / "classes.txt").read_text().splitlines()
    save_folder(tmp_path / "model", family, classes)
    summary = crawl_to_student(world, tmp_path, (), init=tmp_path / "model")
    assert 0 <= summary["top1_acc"] <= 1


def test_weights_of_a_pre_training_start_a_model_but_are_no_teacher(tmp_path, world):
    model = save_folder(tmp_path / "model", "vjepa2", FOUR)
    model.vjepa2.save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="no classifier of 4 classes"):
        load_model(tmp_path / "model", classes=FOUR)
    recipe = replace(
        SHORT, model="transformers-vjepa2", init=str(tmp_path / "model"), lr=0.01, reference_batch_size=0,
        freeze="encoder",
    )  # fmt: skip
    check_learns_and_resumes(two_clips_per_class(world), tmp_path, recipe, epochs=4)
    trained = load_model(tmp_path / "a.pth").network.backbone.model
    assert (trained.vjepa2.encoder.layer[0].mlp.fc1.weight == model.vjepa2.encoder.layer[0].mlp.fc1.weight).all()


def test_options_are_numbers_of_the_family_alone(tmp_path):
    for name in ("qkv_bias", "qv_bias"):  # in older and newer versions
        options = checked_options("videomae", {**OPTIONS["videomae"], name: False, "auto_map": "x"}, path="c.json")
        assert options.get("qv_bias", options.get("qkv_bias")) is False
    assert checked_options("vivit", {**OPTIONS["vivit"], "qkv_bias": False}, path="c.json")["qkv_bias"] is False
    assert not {"auto_map", "id2label", "model_type"} & set(options)
    assert configured("videomae", options).crop_size == 32
    with pytest.raises(ModelError, match=r"c\.json: no transformers-videomae can be built"):
        checked_options("videomae", {**OPTIONS["videomae"], "num_attention_heads": 0}, path="c.json")


def test_without_the_extra_the_command_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'omnicli\[transformers\]'"):
        build("videomae", {})


def test_views_are_those_of_the_published_configurations():
    """By hand, from the files that the module names: frames, interval, clips, crops, short side and crop size."""
    published = {
        "videomae": (16, 4, 5, "three", 224, 224), "timesformer": (8, 32, 1, "three", 224, 224),
        "vivit": (32, 2, 4, "three", 256, 224), "vjepa2": (16, 4, 2, "three", 256, 256),
    }  # fmt: skip
    for family, (*frames, num_clips, crops, short_side, crop_size) in published.items():
        config = TRANSFORMERS_VIDEO[f"transformers-{family}"]
        assert [config.num_frames, config.frame_interval, config.crop_size] == [*frames, crop_size], family
        views = published_test(f"transformers-{family}", short_side=config.short_side, crop_size=config.crop_size)
        assert (views["num_clips"], views["crops"]) == (num_clips, crops), family
        assert views.get("short_side", config.short_side) == short_side, family


def test_v_jepa_2_of_more_frames_takes_every_second_one():
    for frames, interval in ((16, 4), (32, 2), (64, 2)):
        options = {**OPTIONS["vjepa2"], "frames_per_clip": frames}
        assert configured("vjepa2", options).frame_interval == interval


def test_features_of_a_folder_are_scored_as_its_clips_and_dedup_refuses_clips(family, world, tmp_path):
    classes = (world / "classes.txt").read_text().splitlines()
    save_folder(tmp_path / "model", family, classes)
    videos = sorted((world / "web" / "video").rglob("*.mp4"))[:2]
    alike = ("--num-clips", 2, "--precision", "float32")
    omni("features", "--checkpoint", tmp_path / "model", *alike, "--shards", tmp_path / "f", *videos,
         "-o", tmp_path / "f.jsonl")  # fmt: skip
    filter_ = ("filter", "--teacher", tmp_path / "model", "--score-only", "--precision", "float32")
    stored = [json.loads(line) for line in omni(*filter_, tmp_path / "f.jsonl").splitlines()]
    direct = [json.loads(line) for line in omni(*filter_, "--num-clips", 2, *videos).splitlines()]
    assert stored and len(stored) == len(direct)
    for row, clip in zip(stored, direct, strict=True):
        assert dict(row["top_scores"]) == pytest.approx(dict(clip["top_scores"]), abs=5e-3)  # stored as float16
    words = ["dedup", "--checkpoint", tmp_path / "model", "--target", videos[0], videos[1]]
    refused = CliRunner().invoke(app, [str(word) for word in words])
    assert refused.exit_code == 2 and "takes clips; dedup needs a model of single frames" in refused.stderr
