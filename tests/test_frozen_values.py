"""What a rename must never change: random draws, and every file that version 0.1.0 left behind.

The folder ``frozen`` holds files that 0.1.0 wrote: a run of ``filter`` stopped halfway, the marker of a finished one, a
shard, a checkpoint and the state of an unfinished training. They have to be read, and gone on from, for ever.
"""

import ast
import gzip
import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.data.dataloader import epoch_order
from omnicli.models.checkpoint import load_any, read_torch_file
from omnicli.models.factory import model_spec
from omnicli.rng import keyed_rng, keyed_seed
from omnicli.stages.balance.selection import selection_hash
from omnicli.streams.shards.reader import open_shard
from omnicli.training.optim import ParameterGroup, Schedule, make_sgd
from omnicli.training.trainer import Progress, SourceMetrics, TrainingRun, UnopenedMedia, left_out_before

FROZEN = Path(__file__).parent / "frozen"
PACKAGE = Path(__file__).resolve().parents[1] / "omnicli"
SALTS = {
    "balance", "dedup", "draw {}", "filter", "inflate", "inflate-fit", "mixup {}", "order", "queries", "report", "step",
    "subset", "step {}", "teacher-train", "train", "{} clip", "{} query",
}  # fmt: skip
SHARD_ATTRIBUTES = {"backbone", "format", "kind", "omni_version", "seed", "stage", "version"}
STATE_KEYS = {
    "averages", "bad", "best", "format", "history", "left_out", "model", "optimizer", "options", "progress", "version",
}  # fmt: skip


def texts_in(node: ast.AST) -> set[str]:
    """String constants and templates below a node; what a template inserts becomes ``{}``."""
    if isinstance(node, ast.JoinedStr):
        return {"".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)}
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    return set().union(*map(texts_in, ast.iter_child_nodes(node)))


def salts_in(tree: ast.Module) -> set[str]:
    """What random numbers are keyed with: constants in calls of keyed_rng and keyed_seed, and constants named STAGE."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("keyed_rng", "keyed_seed"):
            found |= set().union(set(), *map(texts_in, [*node.args, *[word.value for word in node.keywords]]))
        if isinstance(node, ast.keyword) and node.arg == "stage" and isinstance(node.value, ast.Constant):
            found.add(node.value.value)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "STAGE":
            found |= texts_in(node.value)
    return found


def test_the_salts_of_random_numbers_are_those_of_every_earlier_version():
    found = set().union(*(salts_in(ast.parse(path.read_text())) for path in PACKAGE.rglob("*.py")))
    assert found - {"id", "seed", "eval"} == SALTS  # fields of records and recipes; the stage of a shard


def test_the_numbers_drawn_from_a_key_are_those_of_every_earlier_version():
    assert keyed_rng(0, "train", "a.mp4", 3).integers(1 << 30) == 1_026_661_697
    assert keyed_seed(7, "filter", "ü.jpg", 1, 2) == 4_137_561_160_094_020_478
    assert epoch_order(6, seed=0, stage="train", epoch=1).tolist() == [5, 2, 0, 3, 1, 4]
    assert selection_hash("a.jpg", 0) == 183_578_092_769_661_929


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which 0.1.0 was stopped: ``omni filter --threshold 0.3 scored.jsonl -o kept.jsonl``."""
    for name, frozen in {
        "scored.jsonl": "filter.scored", ".kept.jsonl.part": "filter.kept.unfinished",
        ".kept.jsonl.rejects.part": "filter.left.unfinished", ".kept.jsonl.state": "filter.journal",
    }.items():  # fmt: skip
        shutil.copyfile(FROZEN / frozen, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def omni(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_that_an_earlier_version_was_stopped_in_is_gone_on_with(stopped: Path):
    omni("filter", "--threshold", "0.3", "scored.jsonl", "--rejects", "left.jsonl", "-o", "kept.jsonl",
         "--summary", "summary.json")  # fmt: skip
    assert (stopped / "kept.jsonl").read_bytes() == (FROZEN / "filter.kept").read_bytes()
    assert (stopped / "left.jsonl").read_bytes() == (FROZEN / "filter.left").read_bytes()
    assert json.loads((stopped / "summary.json").read_text())["resumed"] == 26


def test_a_file_that_an_earlier_version_finished_is_not_made_again(stopped: Path):
    (stopped / "out").mkdir()
    marker = json.loads((FROZEN / "filter.done").read_text())
    os.utime("scored.jsonl", ns=(marker["mtime_ns"], marker["mtime_ns"]))
    shutil.copyfile(FROZEN / "filter.done", stopped / "out" / "scored.jsonl.done.json")
    (stopped / "out" / "scored.jsonl").write_text("finished\n")
    assert "1 of 1 files were done before" in omni("filter", "--threshold", "0.3", "scored.jsonl", "-o", "out/")
    assert (stopped / "out" / "scored.jsonl").read_text() == "finished\n"


def test_a_shard_of_an_earlier_version_is_read(tmp_path: Path):
    path = tmp_path / "00000.h5"
    path.write_bytes(gzip.decompress((FROZEN / "features.shard.gz").read_bytes()))
    reader = open_shard(str(path))
    records = list(reader.records)
    assert [(record["id"], record["row"], record["media"]) for record in records] == [
        ("0.mp4", 0, "features"), ("1.mp4", 1, "features"),
    ]  # fmt: skip
    features, times = reader.features(1)
    assert np.array_equal(features, np.arange(8, dtype=np.float16).reshape(2, 4) + 1)
    assert times.tolist() == [0.0, 1.0]
    with h5py.File(path, locking=False) as file:  # the reader holds it without locks
        assert set(file) == {"counts", "features", "records", "times"}
        assert set(file.attrs) == SHARD_ATTRIBUTES


def test_the_description_of_a_model_in_a_checkpoint_keeps_its_keys():
    wanted = json.loads((FROZEN / "meta.json").read_text())
    made = {name: model_spec(name, classes=["cat", "dog"]).to_meta() for name in wanted}
    assert json.loads(json.dumps(made, default=list)) == wanted


def test_a_checkpoint_of_an_earlier_version_is_loaded():
    checkpoint = load_any(FROZEN / "checkpoint")
    assert checkpoint.meta["temperature"] == 1.25
    assert checkpoint.meta["metrics"] == {"epoch": 3, "val_top1_acc": 0.5}
    assert checkpoint.meta["provenance"] == {"seed": 0}
    assert checkpoint.state_dict["fc.weight"].tolist() == [[1.0] * 3] * 2


def test_the_state_of_an_unfinished_training_of_an_earlier_version_is_gone_on_with(tmp_path: Path):
    out = tmp_path / "m.pth"
    (tmp_path / ".m.pth.state").write_bytes(gzip.decompress((FROZEN / "training.unfinished.gz").read_bytes()))
    assert set(read_torch_file(tmp_path / ".m.pth.state")[0]) == STATE_KEYS
    model = nn.Linear(3, 2)
    training = TrainingRun(
        out=out, model=model, optimizer=make_sgd([ParameterGroup(list(model.parameters()), 1.0, 1e-4)]),
        schedule=Schedule("step", 4, (2,), 0.0), lr=0.1, steps_per_epoch=5, seed=0, stage="train",
        options={"omni": "0.1.0", "data": "abc"}, should_stop=lambda: False,
        progress=Progress(tallies={"target": SourceMetrics()}),
    )  # fmt: skip
    assert training.resume()
    assert (training.progress.epoch, training.progress.step, training.best) == (1, 2, 0.25)
    assert training.history == [{"epoch": 0, "source": "target", "loss": 0.5}]
    assert training.bad == {(0, 4): "decode error"}
    before = left_out_before(out, training.world, "abc")
    assert before == UnopenedMedia({"target": {3: "truncated"}}, is_known=True)
    assert any(torch.any(state["momentum_buffer"] != 0) for state in training.optimizer.state.values())
