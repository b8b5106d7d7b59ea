"""``omni convert``: what it writes is taken by the other commands; what it cannot do it says."""

import json

import pytest
import torch
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import load_any, save_checkpoint
from omnicli.models.factory import model_spec


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


def test_out_may_be_a_url(tmp_path):
    spec, network = model_spec("tsn-resnet10t", classes=["a", "b"]), new_model("tsn-resnet10t", 2)
    meta = {"model": spec.to_meta(), "temperature": None, "metrics": {}, "provenance": {}}
    save_checkpoint(tmp_path / "a.pth", meta=meta, state_dict=network.state_dict())
    assert " MB" in done("convert", tmp_path / "a.pth", "memory://converted/a.safetensors").stderr


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


@pytest.fixture(scope="module")
def onnx_teacher(teacher, tmp_path_factory):
    pytest.importorskip("made_onnx")
    path = tmp_path_factory.mktemp("onnx") / "teacher.onnx"
    result = done("convert", teacher, path)
    assert "tsn-resnet10t, 4 classes" in result.stderr and "omni → onnx" in result.stderr
    return path


def scores_of(*arguments):
    lines = [json.loads(line) for line in done(*arguments, "--precision", "float32").stdout.splitlines()]
    return [(line.get("id"), dict(line.get("top_scores", ())), line.get("frame_scores")) for line in lines], lines


def test_an_onnx_teacher_filters_segments_and_is_tested_as_its_checkpoint(onnx_teacher, teacher, world):
    for command in (
        ["filter", "--score-only", world / "web" / "image"],
        ["filter", "--score-only", "--limit", "3", "--batch-size", "5", world / "web" / "video"],
        ["segment", "--threshold", "0", "--limit", "2", world / "web" / "untrimmed"],
    ):
        (ours, _), (theirs, _) = (scores_of(*command, "--teacher", path) for path in (teacher, onnx_teacher))
        assert ours and [name for name, *_ in ours] == [name for name, *_ in theirs]
        for (_, own, along), (_, other, along_other) in zip(ours, theirs, strict=True):
            assert own == pytest.approx(other, abs=1e-4)
            assert along == (None if along is None else pytest.approx(along_other, abs=1e-4))
    (_, ours), (_, theirs) = (
        scores_of("eval", "--checkpoint", path, world / "target" / "val") for path in (teacher, onnx_teacher)
    )
    assert ours[-1]["top1_acc"] == theirs[-1]["top1_acc"]
    assert theirs[-1]["view"] == "3 segments, float32"


def test_an_ensemble_of_a_program_and_a_checkpoint_is_their_mean(onnx_teacher, teacher, world):
    command = ["filter", "--score-only", "--limit", "6", world / "web" / "image"]
    alone, _ = scores_of(*command, "--teacher", teacher)
    both, _ = scores_of(*command, "--teacher", onnx_teacher, "--teacher", teacher)
    assert [name for name, *_ in alone] == [name for name, *_ in both]
    for (_, own, _), (_, mean, _) in zip(alone, both, strict=True):
        assert own == pytest.approx(mean, abs=1e-4)


def test_what_a_program_cannot_do_is_said(onnx_teacher, world, tmp_path):
    clips, images = world / "target" / "train", world / "web" / "image"
    shards = ["--shards", tmp_path / "f"]
    for code, says, *command in (
        (66, "it gives no features and no weights", "features", "--checkpoint", onnx_teacher, *shards, images),
        (66, "it gives no features and no weights", "dedup", "--checkpoint", onnx_teacher, "--target", clips, images),
        (66, "an ONNX program: it scores media", "teacher-train", clips, "--init", onnx_teacher, "--lr", "0.1",
         "-o", tmp_path / "t.pth"),
        (2, "an ONNX program; convert the checkpoint", "convert", onnx_teacher, tmp_path / "t.pth"),
        (2, "remove the options of frames, crops and sizes", "eval", "--checkpoint", onnx_teacher, "--crop-size", "32",
         world / "target" / "val"),
        (2, "--to onnx and the suffix .onnx need each other", "convert", onnx_teacher, tmp_path / "t.pth", "--to",
         "onnx"),
    ):  # fmt: skip
        result = omni(*command)
        assert (result.exit_code, result.stdout) == (code, ""), (command, result.stderr)
        assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_hostile_programs_are_66_and_onnxruntime_never_sees_them(world, tmp_path, monkeypatch):
    made_onnx = pytest.importorskip("made_onnx")
    monkeypatch.setattr(made_onnx.onnxruntime, "InferenceSession", lambda *given, **named: pytest.fail("computed"))
    for extra, weights, says in (
        ([made_onnx.node("Attack", "evil.domain")], [], "operator Attack (evil) of evil.domain"),
        ([], [made_onnx.outside()], "tensor outside is in another file"),
    ):
        hostile = made_onnx.program(extra=extra, initializers=weights)
        model = made_onnx.save(hostile, tmp_path / "m.onnx")
        for command in (("filter", "--teacher"), ("eval", "--checkpoint"), ("segment", "--teacher")):
            result = omni(*command, model, "--classes", world / "classes.txt", world / "web" / "image")
            assert result.exit_code == 66 and says in result.stderr, (command, result.stderr)


def test_a_program_of_another_tool_filters_by_class_names_alone(world, tmp_path):
    made_onnx = pytest.importorskip("made_onnx")
    model = made_onnx.save(made_onnx.program(), tmp_path / "m.onnx")
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    command = ["filter", "--teacher", model, "--score-only", "--limit", "4", world / "web" / "image"]
    assert "names no classes; --classes FILE" in omni(*command).stderr
    with pytest.warns(UserWarning, match="no preprocessing: taken are 32 pixels of a short side of 37, mean 123.675"):
        result = done(*command, "--classes", tmp_path / "classes.txt")
    assert '"pseudo_class":"red"' in result.stdout
