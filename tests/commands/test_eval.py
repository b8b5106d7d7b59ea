"""``omni eval`` with a real model on real files."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.checkpoint import load_any, save_checkpoint
from omnicli.streams.shards.ownership import hold_shards


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def lines(teacher, world):
    result = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32")
    assert result.exit_code == 0, result.stderr
    return parsed(result.stdout), result.stderr


def test_records_come_first_and_the_summary_last(lines, world):
    *records, summary = lines[0]
    assert len(records) == len(list((world / "target" / "val").rglob("*.mp4"))) == summary["num_videos"]
    right = [record["pseudo_class"] == record["class_name"] for record in records]
    assert summary["top1_acc"] == pytest.approx(np.mean(right))
    assert f"top-1 {100 * summary['top1_acc']:.2f} %" in lines[1]
    assert "= 12 used + 0 unreadable" in lines[1]


def test_the_teacher_has_learnt_something(lines):
    assert lines[0][-1]["top1_acc"] >= 0.5  # four classes: chance is 0.25


def test_the_temperature_acts_only_if_asked_for(lines, teacher, world, tmp_path):
    whole = load_any(teacher)
    save_checkpoint(tmp_path / "t.pth", meta={**whole.meta, "temperature": 2.5}, state_dict=whole.state_dict)
    command = ["eval", "--checkpoint", tmp_path / "t.pth", world / "target" / "val", "--precision", "float32"]
    plain, calibrated = (parsed(omni(*command, *more).stdout) for more in ([], ["--calibrated"]))
    assert [line["confidence"] for line in plain[:-1]] == [line["confidence"] for line in lines[0][:-1]]
    pairs = list(zip(plain[:-1], calibrated[:-1], strict=True))
    assert all(one["confidence"] > other["confidence"] for one, other in pairs)
    assert plain[-1]["top1_acc"] == calibrated[-1]["top1_acc"]
    assert "--fuse scores no media; --calibrated" in omni("eval", "--fuse", "a.h5", "--calibrated").stderr


@pytest.mark.parametrize(
    "options",
    [["--crops", "three"], ["--crops", "ten"], ["--crops", "full"], ["--num-segments", "8"], ["--crop-size", "48"]],
)
def test_views_are_options(lines, teacher, world, options):
    result = omni("eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", *options)
    assert result.exit_code == 0, result.stderr
    confidences = [[line.get("confidence") for line in made] for made in (parsed(result.stdout), lines[0])]
    assert confidences[0] != confidences[1]


def test_clips_of_a_2d_model_are_refused(teacher, world):
    result = omni("eval", "--checkpoint", teacher, "--num-clips", 10, world / "target" / "val")
    assert result.exit_code == 2
    assert f"--num-clips is for 3D models, and {teacher} is 2D" in result.stderr


def test_scores_of_all_classes_go_to_shards(lines, teacher, world, tmp_path):
    result = omni(
        "eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", "--shards", tmp_path / "s",
        "-o", tmp_path / "out.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert parsed((tmp_path / "out.jsonl").read_text()) == lines[0]
    [shard] = (tmp_path / "s").glob("*.h5")
    with h5py.File(shard) as file:
        scores = file["scores"][:]
    assert scores.shape == (12, 4)
    assert scores.argmax(axis=1).tolist() == [record["pseudo_label"] for record in lines[0][:-1]]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "no readable record"),
        ('{"path":"a.mp4"}\n', "v.jsonl:1: no field 'class_name' or 'label'"),
        ('{"path":"a.mp4","query":"x"}\n', "query 'x' is not a label; if it is the class, run omni index with"),
        ('{"path":"a.mp4","class_name":"swimming"}\n', "class 'swimming' is not among the 4 classes"),
    ],
)
def test_bad_input_is_65_and_stdout_stays_empty(teacher, tmp_path, lines, says):
    (tmp_path / "v.jsonl").write_text(lines)
    result = omni("eval", "--checkpoint", teacher, tmp_path / "v.jsonl")
    assert (result.exit_code, result.stdout) == (65, "")
    assert says in result.stderr


def test_records_that_the_model_was_trained_on_stop_the_test(teacher, world, tmp_path):
    """Silent before: the accuracy on clips that were learnt by heart, here under other names."""
    clips = sorted((world / "target" / "train").rglob("*.mp4"))[:2]
    rows = [{"id": f"{n}", "path": str(clip), "class_name": clip.parent.name} for n, clip in enumerate(clips)]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["eval", "--checkpoint", teacher, "--precision", "float32"]
    result = omni(*arguments, tmp_path / "v.jsonl", world / "target" / "val")
    assert (result.exit_code, result.stdout) == (65, "")
    assert (
        f"{teacher} was trained on 2 of 14 records: {clips[0]} at {tmp_path}/v.jsonl:1 (same content), "
        in result.stderr
    )
    assert "--allow-overlap" in result.stderr
    (tmp_path / "names").write_text(f"{tmp_path}/v.jsonl\n")
    result = omni(*arguments, "--files-from", tmp_path / "names")  # which may be a pipe
    assert result.exit_code == 65
    assert "(same content), among others; " in result.stderr
    result = omni(*arguments, tmp_path / "v.jsonl", "--allow-overlap")
    assert result.exit_code == 0
    assert "the accuracy on them is not a test (--allow-overlap)" in result.stderr


def test_usage_errors_are_2_and_a_bad_checkpoint_is_66(tmp_path, world):
    assert omni("eval", world / "target").exit_code == 2
    assert omni("eval", "--checkpoint", tmp_path / "no.pth", world / "target").exit_code == 66


def test_a_dry_run_prints_what_would_be_done(teacher, world):
    result = omni("eval", "--checkpoint", teacher, world / "target", "-n", "--crops", "ten")
    assert json.loads(result.stdout)["crops"] == "ten"


def test_unreadable_media_are_rejects_and_can_be_too_many(teacher, world, tmp_path):
    clip = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    rows = [
        {"path": str(clip), "class_name": clip.parent.name},
        {"path": "nowhere.mp4", "class_name": clip.parent.name},
    ]
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = omni(
        "eval", "--checkpoint", teacher, "--rejects", tmp_path / "r.jsonl", "--max-bad", "0", tmp_path / "v.jsonl"
    )
    assert result.exit_code == 3
    assert len(parsed(result.stdout)) == 2
    assert parsed((tmp_path / "r.jsonl").read_text())[0]["reason"] == "unreadable: no such file"


def test_the_help_promises_resuming_for_folders_alone():
    text = " ".join(CliRunner().invoke(app, ["eval", "--help"]).stdout.replace("│", " ").split())
    assert "DIR/, with --shards, writes one file per input file, resumable" in text


def test_result_files_of_mmaction2_are_fused_by_their_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("a.mp4 0\nb.mp4 1\n")
    Path("classes.txt").write_text("x\ny\n")
    Path("rgb.json").write_text("[[0.9, 0.1], [0.6, 0.4]]")
    Path("flow.json").write_text("[[0.8, 0.2], [0.2, 0.8]]")
    both = ("--fuse", "rgb.json", "--fuse", "flow.json")
    result = omni("eval", *both, "--fuse-list", "list.txt", "--classes", "classes.txt")
    assert result.exit_code == 0, result.stderr
    assert parsed(result.stdout)[-1]["top1_acc"] == 1.0
    assert "rgb.json: names no records; give --fuse-list" in omni("eval", *both).stderr
    alone = omni("eval", "--fuse", "s", "--fuse", "t", "--fuse-list", "list.txt")
    assert (alone.exit_code, "--fuse-list is for result files" in alone.stderr) == (2, True)


def test_records_that_a_set_lacks_are_rejects_of_fuse(tmp_path):
    from omnicli.streams.record import Record
    from omnicli.streams.shards.writer import ShardWriter

    for name, count in (("s", 2), ("t", 1)):
        writer = ShardWriter(tmp_path / name, stage="eval", kind="scores", provenance={"class_names": ["x", "y"]})
        for number in range(count):
            record = Record({"id": f"{number}.mp4", "label": 0, "class_name": "x"})
            record.arrays = {"scores": np.array([0.75, 0.25])}
            writer.add(record)
        writer.close()
    rejects = tmp_path / "r.jsonl"
    result = omni("eval", "--fuse", tmp_path / "s", "--fuse", tmp_path / "t", "--rejects", rejects)
    assert result.exit_code == 0, result.stderr
    [left] = parsed(rejects.read_text())
    assert (left["id"], left["reason"]) == ("1.mp4", f"no scores: not in {tmp_path / 't'}")


def test_the_mean_over_splits(tmp_path):
    paths = []
    for number, accuracy in enumerate((0.9, 0.8, 0.7)):
        paths += ["--mean-of", tmp_path / f"{number}.jsonl"]
        paths[-1].write_text(json.dumps({"top1_acc": accuracy, "num_videos": 10}) + "\n")
    result = omni("eval", *paths)
    assert result.exit_code == 0, result.stderr
    assert parsed(result.stdout)[-1]["top1_acc"] == pytest.approx(0.8)
    assert result.stderr == "eval: mean of 3: top-1 80.00 %\n"
    for arguments in (paths[:2], (*paths, "--crops", "ten"), (*paths, "x.jsonl")):
        assert omni("eval", *arguments).exit_code == 2


def test_scores_of_a_longer_run_before_do_not_stay(teacher, world, tmp_path, monkeypatch):
    """--fuse and --baseline read the whole folder: it holds one run's scores, and nobody else's are touched."""
    from omnicli.streams.shards.writer import ShardWriter

    monkeypatch.setitem(ShardWriter.__init__.__kwdefaults__, "rows_per_shard", 5)
    for limit, shards in ((11, 3), (3, 1)):
        result = omni("eval", "--checkpoint", teacher, "--limit", limit, "--shards", tmp_path / "s",
                      world / "target" / "val", "-o", tmp_path / "out.jsonl")  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert len(list((tmp_path / "s").iterdir())) == shards
    fused = omni("eval", "--fuse", tmp_path / "s", "--fuse", tmp_path / "s")
    assert parsed(fused.stdout)[-1]["num_videos"] == 3


def test_scores_go_neither_over_the_rows_of_other_stages_nor_beside_another_run(teacher, world, tmp_path):
    media = sorted((world / "target" / "val").rglob("*.mp4"))[0]
    assert omni("features", "--checkpoint", teacher, "--shards", tmp_path / "f", media).exit_code == 0
    result = omni("eval", "--checkpoint", teacher, "--shards", tmp_path / "f", world / "target" / "val")
    assert (result.exit_code, result.stdout) == (73, "")
    assert "f/00000.h5 already exists" in result.stderr
    with hold_shards(tmp_path / "s", ""):
        result = omni("eval", "--checkpoint", teacher, "--shards", tmp_path / "s", world / "target" / "val")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "s: another process is writing it" in result.stderr
