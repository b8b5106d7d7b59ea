import json
import subprocess
import sys
from pathlib import Path

import av
import pytest

MAKE_WORLD = Path(__file__).resolve().parents[2] / "examples" / "make_world.py"


def make(root: Path, *options: str) -> Path:
    subprocess.run([sys.executable, str(MAKE_WORLD), str(root), "--scale", "small", *options], check=True, timeout=300)
    return root


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def truth(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "truth.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.slow
def test_the_seed_determines_the_bytes(world, tmp_path):
    first = content(world)
    assert content(make(tmp_path / "again")) == first
    other = content(make(tmp_path / "other", "--seed", "1"))
    assert other.keys() != {} and all(other[name] != first[name] for name in first.keys() & other if "train" in name)


def test_truth_names_every_web_file_once(world):
    listed = [line["path"] for line in truth(world)]
    found = [str(path.relative_to(world)) for path in (world / "web").rglob("*") if path.is_file()]
    assert sorted(listed) == sorted(found)


def test_every_kind_of_web_file_is_there_for_each_query(world):
    classes = (world / "classes.txt").read_text().splitlines()
    for query in classes:
        kinds = {line["kind"] for line in truth(world) if line["query"] == query and "web/image" in line["path"]}
        assert kinds == {"relevant", "other class", "noise", "copy", "broken"}


def test_clips_are_h264_of_about_two_seconds_at_25_fps(world):
    clips = sorted((world / "target").rglob("*.mp4"))
    assert len(clips) == 4 * (6 + 3)
    for clip in clips:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 25)
            assert 1.5 <= stream.frames / 25 <= 2.5


def test_the_long_video_matches_its_truth(world):
    (line,) = [line for line in truth(world) if line["kind"] == "untrimmed"]
    with av.open(str(world / line["path"])) as container:
        assert container.streams.video[0].frames == line["duration_sec"] * 25
    shots = line["shots_sec"]
    assert shots and all(0 <= start < end <= line["duration_sec"] for start, end in shots)
    covered = sum(end - start for start, end in shots)
    assert 0.2 < covered / line["duration_sec"] < 0.8
