"""``omni eval --fuse``: stored scores judged as a model's are."""

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.stages.eval.fusion import CLASS_NAMES
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def streams(teacher, world, tmp_path_factory):
    """Scores of one model seen through two kinds of views: its RGB and its flow, so to say."""
    folder = tmp_path_factory.mktemp("streams")
    for name, options in (("rgb", []), ("flow", ["--crop-size", "48", "--num-segments", "1"])):
        result = omni(
            "eval", "--checkpoint", teacher, world / "target" / "val", "--precision", "float32", *options,
            "--shards", folder / name, "-o", folder / f"{name}.jsonl",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
    return folder


def test_score_shards_are_read_in_five_lines(streams):
    with h5py.File(streams / "rgb" / "00000.h5") as shard:
        records = [json.loads(line) for line in shard["records"].asstr()]
        classes = json.loads(shard.attrs["class_names"])
        scores = shard["scores"][:]
    assert [classes[label] for label in scores.argmax(axis=1)] == [record["pseudo_class"] for record in records]


def test_fused_scores_are_judged_like_a_models(streams, tmp_path):
    result = omni(
        "eval", "--fuse", streams / "rgb", "--fuse", streams / "flow" / "00000.h5", "--fuse-ratio", "1:1.5",
        "--shards", tmp_path / "fused", "--summary", tmp_path / "s.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    *records, summary = parsed(result.stdout)
    with h5py.File(streams / "rgb" / "00000.h5") as rgb, h5py.File(streams / "flow" / "00000.h5") as flow:
        expected = (rgb["scores"][:] + 1.5 * flow["scores"][:]) / 2.5
    labels = [record["label"] for record in records]
    assert [record["pseudo_label"] for record in records] == expected.argmax(axis=1).tolist()
    assert summary["top1_acc"] == pytest.approx(np.mean(expected.argmax(axis=1) == labels))
    assert summary["num_videos"] == len(records) == 12
    assert "12 in = 12 used + 0 unreadable" in result.stderr and "top-1 " in result.stderr
    with h5py.File(tmp_path / "fused" / "00000.h5") as shard:
        np.testing.assert_allclose(shard["scores"][:], expected, atol=1e-6)
        assert json.loads(shard.attrs["class_names"]) == sorted({record["class_name"] for record in records})
    written = json.loads((tmp_path / "s.json").read_text())
    assert (written["in"], written["options"]["fuse_ratio"], written["result"]) == (12, [1.0, 1.5], summary)


def test_what_was_fused_can_be_fused_again_and_all_the_weight_on_one_changes_nothing(streams, tmp_path):
    alone = parsed((streams / "rgb.jsonl").read_text())
    one = omni("eval", "--fuse", streams / "rgb", "--fuse", streams / "flow", "--fuse-ratio", "1:0",
               "--shards", tmp_path / "one")  # fmt: skip
    both = omni("eval", "--fuse", tmp_path / "one", "--fuse", streams / "rgb")
    for result in (one, both):
        assert result.exit_code == 0, result.stderr
        made = parsed(result.stdout)
        assert {"view": "3 segments, float32", **made[-1]} == alone[-1]
        for record, before in zip(made[:-1], alone[:-1], strict=True):
            assert {**record, "confidence": 0, "top_scores": 0} == {**before, "confidence": 0, "top_scores": 0}
            assert record["confidence"] == pytest.approx(before["confidence"], abs=2e-6)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fuse", "a"], "give --fuse twice or more"),
        (["--fuse-ratio", "1:1", "--checkpoint", "t.pth"], "--fuse-ratio and --fuse-by need --fuse"),
        ([], "give --checkpoint FILE, or scores to --fuse"),
        (["--fuse", "a", "--fuse", "b", "--checkpoint", "t.pth"], "--checkpoint cannot act"),
        (["--fuse", "a", "--fuse", "b", "val.jsonl"], "INPUT cannot act"),
        (["--fuse", "a", "--fuse", "b", "--crops", "ten", "--batch-size", "8"], "--crops and --batch-size cannot act"),
        (["--fuse", "a", "--fuse", "b", "--max-bad", "3"], "--max-bad cannot act"),
        (["--fuse", "a", "--fuse", "b", "--fuse-ratio", "1"], "1 weights for 2 times --fuse"),
        (["--fuse", "a", "--fuse", "b", "--fuse-ratio", "1:x"], "expected numbers of 0 or more"),
        (["--fuse", "a", "--fuse", "b", "--fuse-ratio", "0:0"], "and not only 0"),
        (["--fuse", "a", "--fuse", "b", "--fuse-ratio", "1:nan"], "expected numbers of 0 or more"),
        (["--fuse", "a", "--fuse", "b/00000.h5", "--shards", "b"], "holds the scores to be fused"),
    ],
)
def test_options_that_contradict_each_other_are_2(options, says):
    result = omni("eval", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_settings_of_the_environment_do_not_contradict(streams, monkeypatch):
    monkeypatch.setenv("OMNI_DEVICE", "cpu")
    assert omni("eval", "--fuse", streams / "rgb", "--fuse", streams / "flow").exit_code == 0


@pytest.mark.parametrize("num_common", [0, 1])
def test_records_that_one_lacks_are_left_out_and_named_and_65_if_it_lacks_all(streams, tmp_path, num_common):
    with h5py.File(streams / "rgb" / "00000.h5") as shard:
        names = json.loads(shard.attrs["class_names"])
        common = [json.loads(line) for line in shard["records"][:num_common]]
    writer = ShardWriter(tmp_path / "x", stage="eval", kind="scores", provenance={CLASS_NAMES: names})
    for fields in ({"id": "other.mp4", "label": 0}, *common):
        record = Record(fields)
        record.arrays = {"scores": np.full(4, 0.25)}
        writer.add(record)
    writer.close()
    result = omni("eval", "--fuse", streams / "rgb", "--fuse", tmp_path / "x")
    if num_common:
        assert result.exit_code == 0, result.stderr
        assert "12 in = 1 used + 11 rejected + 0 unreadable" in result.stderr
        assert f"{tmp_path / 'x'}: no scores for 11 of 13 records, such as " in result.stderr
        assert f"{streams / 'rgb'}: no scores for 1 of 13 records, such as 'other.mp4'; only" in result.stderr
        return
    assert (result.exit_code, result.stdout) == (65, "")
    assert f"{tmp_path / 'x'}: no scores for id" in result.stderr and "and all others of" in result.stderr
    assert omni("eval", "--fuse", streams / "rgb", "--fuse", tmp_path / "no").exit_code == 65


def test_a_dry_run_names_what_would_be_fused(streams):
    result = omni("eval", "--fuse", streams / "rgb", "--fuse", streams / "flow", "-n")
    shown = json.loads(result.stdout)
    assert shown["fuse_ratio"] == [1.0, 1.0]
    assert len(shown["fused"]) == 2 and "checkpoint" not in shown
