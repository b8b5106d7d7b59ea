"""``omni eval --baseline``: two models on the same records, from media and from stored scores."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.commands.options.eval import ViewsOptions
from omnicli.commands.run.eval_output import result_line
from omnicli.models.factory import model_spec
from omnicli.stages.eval.fusion import CLASS_NAMES
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def summary_of(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def rewritten(shard, folder, *, keep=slice(None), turn=0, classes=None):
    """The scores of a shard with rows left out, turned by some classes, or classes renamed."""
    with h5py.File(shard) as file:
        records = [json.loads(line) for line in file["records"].asstr()]
        names, scores = json.loads(file.attrs["class_names"]), file["scores"][:]
    writer = ShardWriter(folder, stage="eval", kind="scores", provenance={CLASS_NAMES: classes or names})
    for record, row in list(zip(records, scores, strict=True))[keep]:
        made = Record(record)
        made.arrays = {"scores": np.roll(row, turn)}
        writer.add(made)
    writer.close()
    return folder


@pytest.fixture(scope="module")
def shards(teacher, world, tmp_path_factory):
    """Scores of the teacher, and of one that takes every class for the next."""
    folder = tmp_path_factory.mktemp("compared")
    result = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", "--shards",
                  folder / "teacher", "-o", folder / "teacher.jsonl")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rewritten(folder / "teacher" / "00000.h5", folder / "turned", turn=1)
    return folder


def test_a_model_is_compared_with_what_another_left(shards, teacher, world, tmp_path):
    result = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", "--baseline",
                  shards / "turned", "--summary", tmp_path / "s.json")  # fmt: skip
    summary = summary_of(result)
    compared = summary["baseline"]
    with h5py.File(shards / "turned" / "00000.h5") as file:
        labels = [json.loads(line)["label"] for line in file["records"].asstr()]
        was_right = file["scores"][:].argmax(axis=1) == labels
    assert compared["top1_acc"] == pytest.approx(np.mean(was_right))
    gained = compared["became_right"] - compared["became_wrong"]
    assert summary["top1_acc"] - compared["top1_acc"] == pytest.approx(gained / 12) != 0
    assert (
        f"against {shards / 'turned'}: top-1 {100 * compared['change']['top1_acc']:+.2f}, top-5 +0.00" in result.stderr
    )
    assert f"{compared['became_right']} became right, {compared['became_wrong']} wrong (p = " in result.stderr
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["result"] == summary and len(written["options"]["baseline"]) == 1
    alone = json.loads((shards / "teacher.jsonl").read_text().splitlines()[-1])
    assert {name: value for name, value in summary.items() if name != "baseline"} == alone


def test_stored_scores_are_compared_as_media_are(shards, teacher, world):
    turned = ["--baseline", shards / "turned"]
    media = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", *turned)
    fused = omni("eval", "--fuse", shards / "teacher", "--fuse", shards / "teacher", *turned)
    alone = omni("eval", "--fuse", shards / "teacher", *turned)
    of_media = summary_of(media)
    assert of_media.pop("view") == "3 segments, float32"  # stored scores do not say it
    assert summary_of(fused) == of_media == summary_of(alone)


def test_ids_and_classes_that_are_not_the_baselines_are_65_and_named(shards, teacher, world, tmp_path):
    shard = shards / "teacher" / "00000.h5"
    part = rewritten(shard, tmp_path / "part", keep=slice(2, None))
    twice = rewritten(shard, tmp_path / "part2", keep=slice(0, 1)).joinpath("00000.h5")
    renamed = rewritten(shard, tmp_path / "renamed", classes=["a", "b", "c", "d"])
    fuse = ["--fuse", shards / "teacher", "--fuse", shards / "turned"]
    media = ["--checkpoint", teacher, world / "target" / "val"]
    doubled = tmp_path / "doubled"
    doubled.mkdir()
    for number in range(2):
        (doubled / f"{number}.h5").symlink_to(twice)
    cases = [
        (fuse, part, f"{part}: no scores for id "),
        (media, part, f"{part}: no scores for id "),
        (media, doubled, " is already at "),
        (fuse, renamed, f"{renamed}: has other classes than {shards / 'teacher'}, or another order: class 0 is "),
        (media, renamed, f"{renamed}: has other classes than {teacher}, or another order: class 0 is "),
        (media, tmp_path / "nowhere", "nowhere"),
    ]
    for options, baseline, says in cases:
        result = omni("eval", *options, "--baseline", baseline)
        assert (result.exit_code, says in result.stderr) == (65, True), (says, result.stderr)
        assert '"top1_acc"' not in result.stdout


def test_fewer_records_than_the_baselines_are_said(shards, teacher, world):
    result = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--limit", "3", "--baseline",
                  shards / "turned" / "00000.h5")  # fmt: skip
    assert summary_of(result)["baseline"]["num_left_out"] == 9
    assert "; 9 of its records were not evaluated here" in result.stderr


def test_a_baseline_is_not_overwritten(tmp_path):
    (tmp_path / "a").mkdir()
    for baseline in (tmp_path / "a", tmp_path / "a" / "00000.h5", tmp_path):
        result = omni("eval", "--checkpoint", "t.pth", "--baseline", baseline, "--shards", tmp_path / "a")
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"--shards {tmp_path / 'a'}: holds the scores of --baseline; give another folder" in result.stderr


def test_several_labels_have_one_number():
    compared = {"mean_ap": 0.25, "change": {"mean_ap": 0.125}, "num_left_out": 0}
    words = result_line({"mean_ap": 0.375, "num_videos": 4, "baseline": compared}, "old/")
    assert words == "mAP 37.50 %; against old/: mAP +12.50"


def test_a_model_of_several_labels_is_trained_tested_and_compared(world, tmp_path):
    from sklearn.metrics import average_precision_score

    clips = sorted((world / "target" / "val").rglob("*.mp4"))
    names = sorted({clip.parent.name for clip in clips})
    rows = [
        {"path": str(clip), "class_name": [clip.parent.name, names[n % 4]][: 1 + n % 2] + [names[3]] * (n == 0)}
        for n, clip in enumerate(clips)
    ]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "classes.txt").write_text("\n".join(names))
    made = omni("train", "--target", tmp_path / "v.jsonl", "--classes", tmp_path / "classes.txt", "--multi-label",
                "--model", "tsn-resnet10t", "--init", "scratch", "--epochs", "1", "--short-side", "40", "--crop-size",
                "32", "--batch-size", "4", "-o", tmp_path / "m.pth")  # fmt: skip
    assert made.exit_code == 0, made.stderr
    tested = omni(
        "eval", "--checkpoint", tmp_path / "m.pth", tmp_path / "v.jsonl", "--shards", tmp_path / "s", "--allow-overlap"
    )
    summary = summary_of(tested)
    with h5py.File(tmp_path / "s" / "00000.h5") as file:
        scores, function = file["scores"][:], file.attrs["score_function"]
        labels = [json.loads(line)["label"] for line in file["records"].asstr()]
    there = np.array([[label in own for label in range(4)] for own in labels], int)
    assert function == "sigmoid" and abs(scores.sum(axis=1) - 1).max() > 0.02
    assert summary.pop("view").startswith("3 segments, ")
    assert summary == {"mean_ap": pytest.approx(average_precision_score(there, scores)), "num_videos": 12}
    again = omni("eval", "--fuse", tmp_path / "s", "--baseline", tmp_path / "s")
    assert summary_of(again)["baseline"]["change"] == {"mean_ap": 0.0}
    assert "mAP +0.00" in again.stderr


def test_views_that_nobody_asked_for_are_those_of_the_published_test():
    """V-JEPA 2 of 64 frames: its processor resizes to 292 pixels, and its test with three crops to theirs."""
    spec = replace(model_spec("transformers-vjepa2", classes=["a"]), num_frames=64, frame_interval=2, short_side=292)
    assert ViewsOptions().deciding(None, spec) == {
        "num_segments": None, "short_side": 256, "crop_size": None, "crops": "three", "generation": "1.x",
        "num_clips": 2, "fully_convolutional": False,
    }  # fmt: skip
    (said,) = ViewsOptions().say_published(spec)
    assert "2 clips x 64 frames, 1 in 2, 3 crops, as in its published test" in said
    given = ViewsOptions(crops="centre", num_clips=4)
    assert given.say_published(spec) == []
    chosen = given.deciding(None, spec)
    assert (chosen["short_side"], chosen["crops"], chosen["num_clips"]) == (None, "centre", 4)
    assert ViewsOptions(short_side=300).deciding(None, spec)["short_side"] == 300
    of_ours = model_spec("slowonly-r50", classes=["a"])
    assert ViewsOptions().say_published(of_ours) == []
    assert ViewsOptions().deciding(None, of_ours) == ViewsOptions().deciding(None)
