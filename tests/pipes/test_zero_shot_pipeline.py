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
