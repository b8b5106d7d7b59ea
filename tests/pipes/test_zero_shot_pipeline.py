"""From class names to a tested student, in one process: zero-shot, filter, balance, train, eval."""

import json

import pytest
from made_clip import published
from typer.testing import CliRunner

from omnicli.app import app

pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")


def omni(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return result


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def zero(world, tmp_path_factory):
    """A zero-shot teacher of the world's classes, with random weights."""
    folder = tmp_path_factory.mktemp("zero")
    omni("zero-shot", world / "classes.txt", "--clip", published(folder / "Tiny", "siglip"), "-o", folder / "zero.pth",
         "--scores", "softmax")  # fmt: skip
    return folder / "zero.pth"


@pytest.mark.slow
def test_class_names_alone_make_a_student(zero, world, tmp_path):
    crawl, kept, left, aux, val = (tmp_path / f"{name}.jsonl" for name in ("crawl", "kept", "left", "aux", "val"))
    omni("index", world / "web" / "image", "-o", crawl)
    filtered = omni("filter", "--teacher", zero, "--rejects", left, crawl, "-o", kept)
    assert "knows the names of the classes, and learnt from no labelled clips" in filtered.stderr
    assert len(lines(crawl)) == len(lines(kept)) + len(lines(left)) and lines(kept)
    assert all(line["pseudo_class"] for line in lines(kept))  # without a labelled clip

    omni("balance", "--power", 0.2, kept, "-o", aux)
    omni("index", "--labels", "--classes", world / "classes.txt", world / "target" / "val", "-o", val)
    trained = omni(
        "train", "--target", world / "target" / "train", "--auxiliary", aux, "--classes", world / "classes.txt",
        "--init", zero, "--epochs", 2, "--batch-size", 4, "--val", val, "-o", tmp_path / "student.pth",
    )  # fmt: skip
    metrics = [json.loads(line) for line in trained.stdout.splitlines()]
    assert {line["source"] for line in metrics} == {"target", "aux"}
    target = [line["train_loss"] for line in metrics if line["source"] == "target"]
    assert target[-1] < target[0]
    tested = omni("eval", "--checkpoint", tmp_path / "student.pth", val)
    *judged, summary = map(json.loads, tested.stdout.splitlines())
    assert len(judged) == summary["num_videos"] == len(lines(val))


def scores(path):
    return {line["id"]: dict(line["top_scores"]) for line in lines(path)}


def test_a_zero_shot_and_a_trained_teacher_score_their_mean(zero, teacher, world, tmp_path):
    for name, given in {"zero": [zero], "trained": [teacher], "both": [zero, teacher]}.items():
        teachers = [word for path in given for word in ("--teacher", path)]
        omni("filter", *teachers, "--score-only", "--limit", 8, "--precision", "float32", world / "web" / "image",
             "-o", tmp_path / name)  # fmt: skip
    zeros, trained, both = (scores(tmp_path / name) for name in ("zero", "trained", "both"))
    assert both and list(both) == list(zeros) == list(trained)
    for name, found in both.items():
        mean = {label: (zeros[name][label] + trained[name][label]) / 2 for label in found}
        assert found == pytest.approx(mean, abs=2e-6)
    kept = omni("filter", "--teacher", zero, "--teacher", teacher, "--threshold", 0, world / "web" / "image")
    assert len(kept.stdout.splitlines()) > 20


def test_its_image_tower_gives_features_and_finds_copies(zero, world, tmp_path):
    images = world / "web" / "image"
    omni("features", "--checkpoint", zero, "--shards", tmp_path / "f", "--limit", 6, images, "-o", tmp_path / "f.jsonl")
    assert {line["media"] for line in lines(tmp_path / "f.jsonl")} == {"features"}
    scored = omni("filter", "--teacher", zero, "--score-only", tmp_path / "f.jsonl").stdout
    direct = omni("filter", "--teacher", zero, "--score-only", "--limit", 6, images).stdout
    for stored, own in zip(map(json.loads, scored.splitlines()), map(json.loads, direct.splitlines()), strict=True):
        assert stored["confidence"] == pytest.approx(own["confidence"], abs=5e-3)  # features are stored as float16
    one = next(line["path"] for line in lines(tmp_path / "f.jsonl") if line["media"] == "features")
    assert one.endswith(".h5")
    target = sorted((images / "falling rain").glob("IMG*.jpg"))[:6]
    unique = omni("dedup", "--checkpoint", zero, "--target", *target[:1], "--rejects", tmp_path / "left", images)
    copies = [line for line in lines(tmp_path / "left") if line.get("match")]
    assert str(target[0]) in {line["id"] for line in copies}
    assert unique.stdout


def test_mixed_weights_by_the_command_lie_between_texts_and_training(zero, world, tmp_path):
    import torch

    from omnicli.models.checkpoint import load_any

    for share in (0, 0.25, 1):
        omni("teacher-train", world / "target" / "train", "--init", zero, "--epochs", 1, "--freeze", "backbone",
             "--wise-ft", share, "-o", tmp_path / f"{share}.pth")  # fmt: skip
    none, some, whole = (load_any(tmp_path / f"{share}.pth").state_dict for share in (0, 0.25, 1))
    first = load_any(zero).state_dict
    assert not none["fc.weight"].any() and whole["fc.weight"].any()  # what is learnt beside the texts
    assert sorted(none["fc.text"].sum(1).tolist()) == pytest.approx(sorted(first["fc.text"].sum(1).tolist()), abs=1e-5)
    assert torch.allclose(some["fc.weight"], 0.25 * whole["fc.weight"], atol=1e-7)


def test_a_training_from_the_texts_goes_on_to_the_same_bytes(zero, world, tmp_path):
    from dataclasses import replace

    from clip_training import SHORT, check_learns_and_resumes, two_clips_per_class

    recipe = replace(
        SHORT, model="clip-Tiny", init=str(zero), lr=0.01, reference_batch_size=0, short_side=36, crop_size=32
    )
    check_learns_and_resumes(two_clips_per_class(world), tmp_path, recipe)
