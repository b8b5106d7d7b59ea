"""``omni features``: shards that dedup and fc-only training can read."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.streams.shards import ShardReader


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
        if len(times) > 1:  # two frames a second
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
    assert "give it alone" in result.stderr


def test_weights_that_cannot_be_downloaded_say_how_to_give_a_file(tmp_path, world):
    result = omni("features", "--backbone", "resnet10t", "--shards", tmp_path, world / "web" / "video")
    assert result.exit_code == 66
    assert "cannot be downloaded" in result.stderr
    assert "--weights" in result.stderr
