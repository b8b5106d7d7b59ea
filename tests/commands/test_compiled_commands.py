"""Commands with ``--compile`` and PyTorch's own compiler: as with ``off``, but for rounding of scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.inference import compiled
from omnicli.streams.shards.reader import ShardReader

pytestmark = [pytest.mark.slow, pytest.mark.skipif(compiled.find_compiler() is None, reason="no C++ compiler")]
SWITCH = 5  # of --compile auto in these tests


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.CACHE_VARIABLE, str(tmp_path_factory.mktemp("compiled")))
        yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def web(world, tmp_path_factory):
    """Images of the crawl."""
    folder = tmp_path_factory.mktemp("web") / "web"
    folder.mkdir()
    for number, path in enumerate(sorted((world / "web" / "image").rglob("*.jpg"))[::4][:14]):
        shutil.copy(path, folder / f"{number:02d}.jpg")
    return folder


def omni(*arguments):
    """The lines of a command, which succeeds and says nothing about the compiler."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    assert "not compiled" not in result.stderr
    return result.stdout.splitlines()


def by_id(lines):
    return {record["id"]: record for record in map(json.loads, lines)}


@pytest.fixture
def counted(monkeypatch):
    """Clips that programs scored."""
    counts = []
    original = compiled.compile_function

    def compile_function(function, clips):
        program = original(function, clips)

        def run(batch):
            counts.append(len(batch))
            return program(batch)

        return run

    monkeypatch.setattr(compiled, "compile_function", compile_function)
    return counts


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_filter_keeps_the_same_records(teacher, web, precision, counted):
    options = ("filter", "--teacher", teacher, "--threshold", "0.3", "--batch-size", 4, "--precision")
    exact = by_id(omni(*options, "float32", "--compile", "off", web))
    found = by_id(omni(*options, precision, "--compile", "on", web))
    assert sum(counted) > 0
    assert 0 < len(found) < 14
    assert {name: record["pseudo_label"] for name, record in found.items()} == {
        name: record["pseudo_label"] for name, record in exact.items()
    }
    error = {"float32": 1e-4, "bfloat16": 0.05}[precision]
    assert all(abs(found[name]["confidence"] - exact[name]["confidence"]) <= error for name in exact)


def test_auto_scores_with_the_model_until_its_switch(teacher, web, counted, monkeypatch):
    monkeypatch.setitem(compiled.FIRST_RECORDS, "2D", SWITCH)
    monkeypatch.setitem(compiled.GAINS, "cpu", {"tsn-resnet": 1})
    options = ("filter", "--teacher", teacher, "--score-only", "--batch-size", 4, "--precision", "bfloat16", web)
    off = omni(*options, "--compile", "off")
    assert not counted
    auto = omni(*options)
    assert sum(counted) >= len(off) - SWITCH
    assert list(by_id(auto)) == list(by_id(off))
    differs = [one != other for one, other in zip(auto, off, strict=True)]
    positions = [int(Path(json.loads(line)["path"]).stem) for line in off]
    assert not any(differs[index] for index, position in enumerate(positions) if position < SWITCH)
    assert any(differs)
    assert omni(*options) == auto


def test_features_are_those_of_the_model_but_for_rounding(teacher, web, tmp_path, counted):
    arrays = []
    for mode in ("off", "on"):
        shards = tmp_path / mode
        lines = omni(
            "features", "--checkpoint", teacher, "--precision", "float32", "--compile", mode, "--batch-size", 4,
            "--shards", shards, web,
        )  # fmt: skip
        with ShardReader(next(shards.glob("*.h5"))) as shard:
            arrays.append(np.stack([shard.features(json.loads(line)["row"])[0] for line in lines]))
    assert sum(counted) > 0
    np.testing.assert_allclose(arrays[1], arrays[0], rtol=0.01, atol=0.01 * np.abs(arrays[0]).max())


def test_dedup_rejects_the_same_records(teacher, web, world, tmp_path, counted):
    target = tmp_path / "target"
    target.mkdir()
    for path in sorted(web.iterdir())[:3]:
        shutil.copy(path, target)
    options = ("dedup", "--checkpoint", teacher, "--target", target, "--batch-size", 4, "--precision", "bfloat16", web)
    off, on = (omni(*options, "--compile", mode) for mode in ("off", "on"))
    assert sum(counted) > 0
    assert list(by_id(on)) == list(by_id(off))
    assert len(on) < 14


def test_eval_scores_as_the_model_does(teacher, world, counted):
    options = ("eval", "--checkpoint", teacher, "--precision", "float32", "--batch-size", 4, world / "target" / "val")
    off, on = (list(map(json.loads, omni(*options, "--compile", mode))) for mode in ("off", "on"))
    assert sum(counted) > 0
    assert [line.get("id") for line in on] == [line.get("id") for line in off]
    assert on[-1]["top1_acc"] == off[-1]["top1_acc"]
    scores = [[line["confidence"] for line in lines[:-1]] for lines in (on, off)]
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)
