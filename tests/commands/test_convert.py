"""``omni convert``: what it writes is taken by the other commands; what it cannot do it says."""

import json

import pytest
import torch
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.checkpoint import load_any, save_checkpoint


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def done(*arguments):
    result = omni(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.fixture(scope="module")
def made(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    done("convert", teacher, folder / "b.pth", "--to", "mmaction2")
    done("convert", folder / "b.pth", folder / "c.safetensors")
    return folder


def test_what_comes_back_has_the_bytes_of_what_went(made, teacher, tmp_path):
    result = done("convert", made / "c.safetensors", tmp_path / "d.pth")
    assert (tmp_path / "d.pth").read_bytes() == teacher.read_bytes()
    assert result.stdout == ""
    assert "mmaction2 → omni" in done("convert", made / "b.pth", tmp_path / "e.pth").stderr
    assert "tsn-resnet10t, 4 classes" in result.stderr and "safetensors → omni" in result.stderr


def test_filter_eval_and_training_take_what_convert_writes(made, teacher, world, tmp_path):
    filter_ = ["filter", "--score-only", "--precision", "float32", "--limit", "6", world / "web" / "image"]
    scored = [done(*filter_, "--teacher", path).stdout for path in (teacher, made / "b.pth", made / "c.safetensors")]
    assert scored[0] and scored[0] == scored[1] == scored[2]
    lines = [
        done("eval", "--checkpoint", path, "--limit", "4", "--precision", "float32", world / "target" / "val").stdout
        for path in (teacher, made / "b.pth")
    ]
    assert lines[0] == lines[1]
    done(
        "teacher-train", world / "target" / "train", "--model", "tsn-resnet10t", "--init", made / "b.pth",
        "--epochs", "1", "--short-side", "40", "--crop-size", "32", "-o", tmp_path / "t.pth",
    )  # fmt: skip
    weights = [load_any(path).state_dict["backbone.conv1.0.weight"] for path in (teacher, tmp_path / "t.pth")]
    assert torch.equal(*weights)


def test_the_config_and_what_is_lost_are_said(teacher, tmp_path):
    whole = load_any(teacher)
    save_checkpoint(tmp_path / "a.pth", meta={**whole.meta, "temperature": 0.8}, state_dict=whole.state_dict)
    result = done("convert", tmp_path / "a.pth", tmp_path / "b.pth", "--to", "mmaction2", "-v")
    assert "will not be divided by 0.8, which makes them less confident" in result.stderr
    assert "its pipeline needs the short side 72, crops of 64" in result.stderr
    assert "model = dict(type='Recognizer2D', backbone=dict(type='timm.resnet10t'" in result.stderr
    quiet = done("convert", tmp_path / "a.pth", tmp_path / "c.pth", "--to", "mmaction2", "-q")
    assert quiet.stderr == ""


def test_a_dry_run_says_what_would_be_done_and_does_nothing(teacher, tmp_path):
    shown = json.loads(done("convert", teacher, tmp_path / "b.pth", "--to", "mmaction2", "-n").stdout)
    assert (shown["name"], shown["from"], shown["to"]) == ("tsn-resnet10t", "omni", "mmaction2")
    assert (len(shown["classes"]), shown["num_tensors"]) == (4, len(load_any(teacher).state_dict))
    assert "short side 72" in shown["notes"][0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("out", "options", "says"),
    [
        ("a.pth", ["--to", "mmaction2"], "IN and OUT are the same file"),
        ("link.pth", ["--to", "mmaction2"], "IN and OUT are the same file"),
        ("b.safetensors", ["--to", "mmaction2"], "--to safetensors and the suffix .safetensors need each other"),
        ("b.pth", ["--to", "safetensors"], "--to safetensors and the suffix .safetensors need each other"),
        ("b.pth", [], "already a checkpoint of omni; give --to mmaction2"),
        ("-", ["--to", "mmaction2"], "stdout carries JSON lines only"),
        ("b.safetensors", ["--num-segments", "8"], "--num-segments: "),
        ("b.safetensors", ["--model", "tsn-resnet50"], "stores its architecture"),
    ],
)
def test_usage_errors_are_2_and_nothing_is_written(teacher, tmp_path, monkeypatch, out, options, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(teacher.read_bytes())
    (tmp_path / "link.pth").symlink_to("a.pth")
    result = omni("convert", "a.pth", out, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth", "link.pth"]
    assert (tmp_path / "a.pth").read_bytes() == teacher.read_bytes()


def test_frames_are_for_clips_and_segments_for_images(teacher, tmp_path):
    whole = load_any(teacher)
    torch.save(whole.state_dict, tmp_path / "bare.pth")
    (tmp_path / "classes.txt").write_text("\n".join(whole.meta["model"]["classes"]))
    bare = ["convert", tmp_path / "bare.pth", tmp_path / "b.pth", "--classes", tmp_path / "classes.txt"]
    bare += ["--model", "tsn-resnet10t"]
    result = omni(*bare, "--num-frames", "8", "--frame-interval", "2")
    assert result.exit_code == 2
    assert "--num-frames and --frame-interval: " in result.stderr and "takes single images" in result.stderr
    done(*bare, "--num-segments", "5")
    assert load_any(tmp_path / "b.pth").meta["model"]["num_segments"] == 5


def test_bad_checkpoints_are_66_and_bad_outputs_73(teacher, tmp_path):
    (tmp_path / "bad.pth").write_bytes(b"PK\x03\x04nothing")
    assert omni("convert", tmp_path / "bad.pth", tmp_path / "b.pth").exit_code == 66
    assert omni("convert", tmp_path / "no.pth", tmp_path / "b.pth").exit_code == 66
    assert omni("convert", teacher, tmp_path / "no" / "b.pth", "--to", "mmaction2").exit_code == 73
    assert omni("convert", teacher, tmp_path, "--to", "mmaction2").exit_code == 73
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]
