"""``omni flow``: shards of flow that every stage opens."""

import json

import cv2
import numpy as np
import pytest
from moving_world import moving_frames
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.media.source import open_media
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import open_shard


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two folders of frames that move, and an image."""
    root = tmp_path_factory.mktemp("videos")
    for name, shift in (("left", (-2.0, 0.0)), ("right", (2.0, 0.0))):
        (root / name).mkdir()
        for index, frame in enumerate(moving_frames(4, height=48, width=64, shift=shift)):
            cv2.imwrite(str(root / name / f"img_{index:05d}.png"), frame)
    cv2.imwrite(str(root / "still.png"), np.zeros((32, 32, 3), np.uint8))
    return root


def test_each_line_opens_as_flow_and_so_does_the_shard(videos, tmp_path):
    omni("index", "--frames", videos, "-o", tmp_path / "videos.jsonl")
    result = omni("flow", "--shards", tmp_path / "f", "--short-side", 32, tmp_path / "videos.jsonl",
                  "-o", tmp_path / "o.jsonl", "--rejects", tmp_path / "r.jsonl")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    lines = parsed(tmp_path / "o.jsonl")
    assert [(line["media"], line["num_frames"], line["height"]) for line in lines] == [("flow", 3, 32)] * 2
    assert [line["reason"] for line in parsed(tmp_path / "r.jsonl")] == ["unreadable: a single frame has no flow"]
    means = []
    for line in lines:
        with open_media(Record(line), flow=True) as source:
            means.append(source.read([0])[0, 4:-4, 4:-4, 0].mean())
    assert means[0] < 125 < 130 < means[1]  # left, then right
    attributes = open_shard(lines[0]["path"]).attributes
    assert (attributes["kind"], attributes["bound"], attributes["method"]) == ("flow", 20.0, "dis")
    probed = omni("index", "--probe", tmp_path / "f" / "00000.h5")
    assert [json.loads(line)["media"] for line in probed.stdout.splitlines()] == ["flow", "flow"]


def test_wrong_use_is_said(videos):
    assert "give --shards DIR" in omni("flow", videos).stderr
    result = omni("flow", "--shards", "f", "--weights", "w.pth", videos)
    assert (result.exit_code, "add --method raft" in result.stderr) == (2, True)


def test_the_bound_is_that_of_the_pixels():
    from omnicli.commands.flow import BOUND
    from omnicli.media import flow_pixels

    assert BOUND == flow_pixels.BOUND
