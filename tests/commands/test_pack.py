"""``omni pack``: shards of frames that every stage reads."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.media.source import open_media
from omnicli.streams.record import Record


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def packed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    result = omni(
        "pack", "--shards", folder / "shards", "--short-side", 72, world / "web", "-o", folder / "packed.jsonl",
        "--rejects", folder / "rejects.jsonl",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder


def parsed(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_readable_file_is_packed_with_its_own_times(packed, world):
    lines = parsed(packed / "packed.jsonl")
    assert {line["media"] for line in lines} == {"image", "clip"}
    files = [path for path in (world / "web").rglob("*") if path.is_file()]
    assert len(lines) + len(parsed(packed / "rejects.jsonl")) == len(files)
    for line in lines[::5]:
        with open_media(Record(line)) as row, open_media(Record({"path": line["id"]})) as whole:
            assert min(row.height, row.width) == min(72, whole.height, whole.width)
            np.testing.assert_array_equal(row.times, whole.times)
            assert row.duration_sec == pytest.approx(whole.duration_sec, abs=1e-6)


def test_a_teacher_gives_packed_media_nearly_the_scores_of_the_files(packed, teacher, world):
    """The command after pack takes its lines, or its shards, without further options."""
    arguments = ("filter", "--teacher", teacher, "--score-only", "--precision", "float32")
    direct, lines, shards = (
        omni(*arguments, *inputs).stdout.splitlines()
        for inputs in ([world / "web"], [packed / "packed.jsonl"], sorted((packed / "shards").glob("*.h5")))
    )
    assert [json.loads(line)["confidence"] for line in lines] == [json.loads(line)["confidence"] for line in shards]
    scores = [{json.loads(line)["id"]: json.loads(line)["confidence"] for line in made} for made in (direct, lines)]
    assert scores[0].keys() == scores[1].keys()
    differences = np.abs([scores[0][name] - scores[1][name] for name in scores[0]])
    assert np.median(differences) < 0.05


def test_frames_need_a_place_to_go(world):
    result = omni("pack", world / "web" / "video")
    assert result.exit_code == 2
    assert "give --shards DIR" in result.stderr


def test_the_same_run_gives_the_same_lines_whatever_the_workers(world, tmp_path):
    texts = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        result = omni(
            "pack", "--workers", workers, "--fps", 2, "--max-frames", 3, "--shards", folder, world / "web" / "video"
        )
        texts.append(result.stdout.replace(str(folder), ""))
    assert texts[0] == texts[1]
    assert all(json.loads(line)["num_frames"] <= 3 for line in texts[0].splitlines())
    assert texts[0]


def test_shards_are_found_with_the_root_of_the_media_and_without(world, tmp_path, monkeypatch):
    """Given --root, lines name shards by absolute paths: relative ones would be looked for below it."""
    monkeypatch.chdir(tmp_path)
    video = sorted((world / "web" / "video").rglob("*.mp4"))[0]
    (tmp_path / "w.jsonl").write_text(json.dumps({"path": str(video.relative_to(world)), "media": "video"}) + "\n")
    (tmp_path / "v.jsonl").write_text(json.dumps({"path": str(video), "media": "video"}) + "\n")
    assert omni("pack", "--root", world, "--shards", "px", "w.jsonl", "-o", "rooted.jsonl").exit_code == 0
    assert omni("pack", "--shards", "py", "v.jsonl", "-o", "plain.jsonl").exit_code == 0
    assert [line["path"] for line in parsed(tmp_path / "plain.jsonl")] == ["py/00000.h5"]
    for arguments in (["--root", world, "rooted.jsonl"], ["rooted.jsonl"], ["plain.jsonl"]):
        probed = omni("index", "--probe", *arguments)
        assert probed.exit_code == 0, probed.stderr
        assert "num_frames" in json.loads(probed.stdout), arguments
    again = omni("pack", "--root", world, "--shards", "px", "w.jsonl", "-o", "rooted.jsonl")  # its own shards
    assert again.exit_code == 0, again.stderr
