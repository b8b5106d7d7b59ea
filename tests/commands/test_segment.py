"""``omni segment`` with a real teacher on real files."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.media.source import open_media
from omnicli.streams.record import Record


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def videos(world):
    return world / "web" / "untrimmed", world / "web" / "video"


@pytest.fixture(scope="module")
def segmented(teacher, world, tmp_path_factory):
    """Long and short videos, an image, and a broken file, at a threshold that some of them miss."""
    folder = tmp_path_factory.mktemp("segmented")
    (folder / "empty.mp4").write_bytes(b"")
    cv2.imwrite(str(folder / "still.png"), np.zeros((40, 50, 3), np.uint8))
    result = omni(
        "segment", "--teacher", teacher, "--precision", "float32", "--threshold", 0.4, *videos(world),
        folder / "empty.mp4", folder / "still.png", "-o", folder / "kept.jsonl", "--rejects", folder / "rejects.jsonl",
        "--summary", folder / "summary.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder, result.stderr


def test_the_sum_adds_up_and_every_second_is_judged(segmented):
    folder, stderr = segmented
    kept, rejected = (parsed((folder / name).read_text()) for name in ("kept.jsonl", "rejects.jsonl"))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["in"] == summary["kept"] + sum(summary["rejected"].values()) + summary["unreadable"]
    assert summary["unreadable"] >= 1
    assert {"id": str(folder / "still.png"), "path": str(folder / "still.png"), "media": "image"} in kept
    assert "frames or clips; share with a score" in stderr
    judged = [record for record in kept + rejected if "frame_scores" in record]
    assert len(judged) > 3
    for record in judged:
        with open_media(Record(record)) as source:
            seconds = sorted(record["positive_sec"] + record["negative_sec"])
            assert seconds == pytest.approx(range(len(seconds)), abs=0.04)
            assert len(seconds) == -(-source.duration_sec // 1)
        assert bool(record["positive_sec"]) == ("reason" not in record)


def test_another_threshold_needs_no_teacher(segmented, teacher, world):
    folder, _ = segmented
    again = omni("segment", "--threshold", 0.2, folder / "kept.jsonl")
    direct = omni(
        "segment", "--teacher", teacher, "--precision", "float32", "--threshold", 0.2, *videos(world),
        folder / "still.png",
    )  # fmt: skip
    ids = [record["id"] for record in parsed((folder / "kept.jsonl").read_text())]
    assert parsed(again.stdout) == [record for record in parsed(direct.stdout) if record["id"] in ids]
    assert len(ids) > 3


def test_segmented_videos_are_packed_as_the_frames_that_were_judged(segmented, tmp_path):
    folder, _ = segmented
    result = omni("pack", "--short-side", 48, "--shards", tmp_path / "packed", folder / "kept.jsonl")
    assert result.exit_code == 0, result.stderr
    packed = [record for record in parsed(result.stdout) if "frame_scores" in record]
    assert packed
    for record in packed:
        with open_media(Record(record)) as source:
            assert source.times.tolist() == pytest.approx(sorted(record["positive_sec"] + record["negative_sec"]))


@pytest.fixture(scope="module")
def teacher_3d(world, tmp_path_factory):
    """A 3D checkpoint that knows nothing but the names of the classes."""
    from omnicli.models.checkpoint import save_checkpoint
    from omnicli.models.factory import create_model, model_spec

    classes = (world / "classes.txt").read_text().splitlines()
    spec = model_spec("r3d-r18", classes=classes, num_frames=4, frame_interval=4, short_side=32, crop_size=32)
    path = tmp_path_factory.mktemp("teacher") / "r3d.pth"
    model = create_model("r3d-r18", num_classes=len(classes))
    save_checkpoint(path, meta={"model": spec.to_meta()}, state_dict=model.state_dict())
    return path


def test_a_3d_teacher_cuts_videos_into_pieces_that_every_stage_reads(teacher_3d, world, tmp_path):
    arguments = ("--clip-sec", 4, "--num-clips", 2, "--label-by", "teacher", "--precision", "float32")
    result = omni(
        "segment", "--teacher", teacher_3d, "--score-only", *arguments, world / "web" / "untrimmed",
        "-o", tmp_path / "all.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    pieces = parsed((tmp_path / "all.jsonl").read_text())
    assert len(pieces) > 2
    for piece in pieces:
        assert piece["id"] == f"{piece['parent']}#{piece['start_sec'] * 1000:.0f}-{piece['end_sec'] * 1000:.0f}"
        with open_media(Record(piece)) as source:
            assert source.duration_sec == pytest.approx(4.0, abs=2.0)
    threshold = sorted(piece["confidence"] for piece in pieces)[len(pieces) // 2]
    strict = omni("segment", "--teacher", teacher_3d, "--threshold", threshold, *arguments, world / "web" / "untrimmed")
    chosen = omni("filter", "--threshold", threshold, tmp_path / "all.jsonl")
    assert strict.stdout == chosen.stdout
    assert 0 < len(chosen.stdout.splitlines()) < len(pieces)


def test_shards_hold_the_frames_of_the_pieces_that_stay(teacher_3d, world, tmp_path):
    """As segment and pack after each other."""
    arguments = ("--teacher", teacher_3d, "--clip-sec", 4, "--num-clips", 1, "--threshold", 0, "--limit", 2)
    both = omni("segment", *arguments, world / "web" / "untrimmed", "--shards", tmp_path / "both")
    (tmp_path / "pieces.jsonl").write_text(omni("segment", *arguments, world / "web" / "untrimmed").stdout)
    after = omni("pack", "--shards", tmp_path / "after", tmp_path / "pieces.jsonl")
    assert len(parsed(both.stdout)) > 1
    assert both.stdout.replace(str(tmp_path / "both"), "") == after.stdout.replace(str(tmp_path / "after"), "")
    for line in parsed(both.stdout):
        assert line["media"] == "clip"
        with open_media(Record(line)) as source:
            assert source.start_sec == line["start_sec"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--fps", "2"], 2, "--fps needs --teacher"),
        (["--precision", "float32"], 2, "--precision needs --teacher"),
        (["--workers", "2"], 2, "--workers needs --teacher or --shards"),
        (["--model", "tsn-resnet50"], 2, "--model needs --teacher"),
        (["--teacher", "TEACHER", "--clip-sec", "5"], 2, "--clip-sec is for 3D teachers"),
        (["--teacher", "3D", "--frames", "keyframe"], 2, "--frames is for 2D teachers"),
        (["--teacher", "TEACHER", "--teacher", "3D"], 66, "give teachers of one kind"),
        (["--teacher", "gone.pth"], 66, "gone.pth: no such file"),
    ],
)
def test_options_that_cannot_act_are_refused(arguments, code, message, teacher, teacher_3d, world):
    files = {"TEACHER": teacher, "3D": teacher_3d}
    result = omni("segment", *(files.get(argument, argument) for argument in arguments), world / "web" / "untrimmed")
    assert result.exit_code == code
    assert message in result.stderr


def test_another_label_by_needs_no_teacher(tmp_path):
    surfing = {"label": 1, "name": "Surfing", "scores": [0.9, 0.2]}
    record = {"id": "a", "path": "a.mp4", "query": "archery", "pseudo_label": 0, "pseudo_class": "Archery",
              "frame_scores": [0.1, 0.7], "positive_sec": [1.0], "negative_sec": [0.0],
              "other_scores": {"teacher": surfing}}  # fmt: skip
    (tmp_path / "snippets.jsonl").write_text(json.dumps(record) + "\n")
    result = omni("segment", "--label-by", "teacher", tmp_path / "snippets.jsonl")
    assert result.exit_code == 0, result.stderr
    [made] = parsed(result.stdout)
    assert (made["pseudo_class"], made["positive_sec"], made["negative_sec"]) == ("Surfing", [0.0], [1.0])
    assert made["other_scores"]["query"]["name"] == "Archery"


def test_a_stream_in_which_no_query_names_a_class_stops(teacher, world):
    result = omni("segment", "--teacher", teacher, "--label-by", "query", *sorted((world / "web").rglob("long_*.mp4")))
    assert result.exit_code == 65
    assert "no record has a query: omni index" in result.stderr


def test_shards_of_a_stream_make_up_the_whole(teacher, world):
    arguments = ("--teacher", teacher, "--precision", "float32", "--threshold", 0.4, *videos(world))
    parts = [omni("segment", "--part", f"{index}/2", *arguments).stdout.splitlines() for index in range(2)]
    whole = omni("segment", *arguments).stdout.splitlines()
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert min(map(len, parts)) > 0


def test_rows_leave_as_the_videos_they_are_of_and_packed(teacher, world, tmp_path):
    """Divided by their features, written as frames: --as-media before --shards."""
    features = omni(
        "features", "--checkpoint", teacher, "--precision", "float32", "--shards", tmp_path / "features",
        world / "web" / "untrimmed", "-o", tmp_path / "rows.jsonl",
    )  # fmt: skip
    assert features.exit_code == 0, features.stderr
    options = ("segment", "--teacher", teacher, "--precision", "float32", "--threshold", 0.3, "--as-media")
    of_rows = omni(*options, tmp_path / "rows.jsonl")
    assert of_rows.exit_code == 0, of_rows.stderr
    of_media = parsed(omni(*options[:-1], world / "web" / "untrimmed").stdout)
    divided = parsed(of_rows.stdout)
    assert [record["path"] for record in divided] == [record["path"] for record in of_media]
    assert all(record["media"] == "video" and record["positive_sec"] for record in divided) and divided
    packed = omni(*options, tmp_path / "rows.jsonl", "--shards", tmp_path / "packed", "-o", tmp_path / "packed.jsonl")
    assert packed.exit_code == 0, packed.stderr
    assert len(parsed((tmp_path / "packed.jsonl").read_text())) == len(divided)
    refused = omni(*options[:-1], tmp_path / "rows.jsonl", "--shards", tmp_path / "none")
    assert refused.exit_code == 65
    assert "rows.jsonl:1: features, not media" in refused.stderr


def test_options_of_3d_teachers_are_refused_for_2d_ones(teacher, world):
    result = omni("segment", "--teacher", teacher, "--per-video", *videos(world))
    assert (result.exit_code, "--per-video is for 3D teachers" in result.stderr) == (2, True)
    result = omni("segment", "--teacher", teacher, "--per-video", "--score-only", *videos(world))
    assert (result.exit_code, "--per-video writes only positive clips" in result.stderr) == (2, True)
    result = omni("segment", "--teacher", teacher, "--cut-labelled", *videos(world))
    assert (result.exit_code, "no field 'labelled_sec'" in result.stderr) == (65, True)
