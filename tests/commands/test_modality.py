"""Two streams: a model of flow is trained, tested and fused with one of RGB by single commands."""

import json

import cv2
import pytest
from moving_world import moving_frames
from typer.testing import CliRunner

from omnicli.app import app

TINY = ("--model", "tsn-test_resnet", "--short-side", 40, "--crop-size", 32, "--init", "scratch", "--batch-size", 3)


def omni(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr
    return result


def lines_of(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Videos of two classes that differ by their direction alone: each frame could be of both."""
    root = tmp_path_factory.mktemp("two-stream")
    for name, sign in (("left", -1.0), ("right", 1.0)):
        for number in range(6):
            folder = root / "videos" / name / f"v{number}"
            folder.mkdir(parents=True)
            shift = (sign * (1.5 + number / 4), 0.0)
            for index, frame in enumerate(moving_frames(8, height=40, width=56, shift=shift)):
                cv2.imwrite(str(folder / f"img_{index:05d}.png"), frame)
    omni("index", "--frames", "--labels", root / "videos", "-o", root / "rgb.jsonl")
    omni("flow", "--shards", root / "flow", root / "rgb.jsonl", "-o", root / "flow.jsonl")
    options = (*TINY, "--no-temperature")
    omni("teacher-train", root / "flow.jsonl", "--modality", "flow", "--no-flip", *options, "--lr", 0.05,
         "--epochs", 10, "-o", root / "flow.pth")  # fmt: skip
    omni("teacher-train", root / "rgb.jsonl", *options, "--epochs", 1, "-o", root / "rgb.pth")
    return root


def score(world, name, *options):
    """The metrics of a model on what it was trained on, and its scores in a shard."""
    tested = omni("eval", "--allow-overlap", world / f"{name}.jsonl", "--checkpoint", world / f"{name}.pth", *options)
    return lines_of(tested)[-1]


def test_flow_tells_classes_that_differ_by_direction_and_is_fused_as_published(world, tmp_path):
    views = ("--num-segments", 4, "--crops", "centre")
    assert score(world, "flow", "--modality", "flow", *views, "--shards", tmp_path / "flow")["top1_acc"] >= 0.9
    score(world, "rgb", *views, "--shards", tmp_path / "rgb")
    splits = [tmp_path / f"{split}.jsonl" for split in (1, 2, 3)]  # of the same videos here, three in UCF101
    for split in splits:
        omni("eval", "--fuse", tmp_path / "rgb", "--fuse", tmp_path / "flow", "--fuse-ratio", "1:1.5",
             "--fuse-by", "logits", "-o", split)  # fmt: skip
    mean = omni("eval", *(word for split in splits for word in ("--mean-of", split)))
    fused = json.loads(splits[0].read_text().splitlines()[-1])["top1_acc"]
    assert lines_of(mean)[-1]["top1_acc"] == pytest.approx(fused)
    assert fused >= 0.5


def test_mirrored_crops_of_a_left_right_pair_contradict_the_others(world):
    """Ten crops mirror the half of the views: each half shows the other class, because mirrored flow has x negated."""
    centre, ten = (score(world, "flow", "--num-segments", 4, "--crops", crops) for crops in ("centre", "ten"))
    assert ten["top1_acc"] < centre["top1_acc"]


def test_every_stage_takes_flow(world, tmp_path):
    flow, teacher = world / "flow.jsonl", ("--teacher", world / "flow.pth")
    kept = lines_of(omni("filter", *teacher, "--modality", "flow", "--score-only", flow))
    assert [line["media"] for line in kept] == ["flow"] * 12
    cut = omni("segment", *teacher, "--modality", "flow", "--threshold", 0.01, "--rule", "paper", "--fps", 5, flow)
    assert all(line["positive_sec"] for line in lines_of(cut))
    (tmp_path / "cut.jsonl").write_text(cut.stdout)
    omni("train", "--allow-overlap", "--target", flow, "--auxiliary", tmp_path / "cut.jsonl", "--modality", "flow",
         *TINY, "--epochs", 1, "-o", tmp_path / "student.pth")  # fmt: skip
    rows = omni("features", "--checkpoint", world / "flow.pth", "--modality", "flow", "--shards", tmp_path / "f", flow)
    assert {row["media"] for row in lines_of(rows)} == {"features"}
    again = lines_of(omni("filter", *teacher, "--score-only", tmp_path / "f" / "00000.h5"))
    for line, stored in zip(kept, again, strict=True):
        assert stored["pseudo_label"] == line["pseudo_label"]


def test_a_model_is_shown_what_it_takes(world, tmp_path):
    rgb, flow = (("--teacher", world / f"{name}.pth") for name in ("rgb", "flow"))
    for teacher, shown, why in (
        (flow, world / "videos" / "left" / "v0" / "img_00000.png", "RGB, and the model takes optical flow"),
        (flow, world / "rgb.jsonl", "no optical flow, such as flow_x_00001.jpg"),
        (rgb, world / "flow.jsonl", "optical flow, which takes a model of flow"),
    ):
        omni("filter", *teacher, "--score-only", shown, "--rejects", tmp_path / "r.jsonl", code=3)
        reasons = [json.loads(line)["reason"] for line in (tmp_path / "r.jsonl").read_text().splitlines()]
        assert reasons
        assert all(why in reason for reason in reasons), reasons
    wrong = omni("filter", *rgb, "--modality", "flow", world / "flow.jsonl", code=2)
    assert "rgb.pth was trained on rgb" in wrong.stderr
    wrong = omni("features", "--modality", "flow", "--shards", tmp_path / "f", world / "flow.jsonl", code=2)
    assert "--backbone takes RGB; give --checkpoint FILE" in wrong.stderr
    wrong = omni("filter", *rgb, *flow, "--score-only", world / "flow.jsonl", code=66)
    assert "omni eval --fuse" in wrong.stderr
