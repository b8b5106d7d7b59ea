"""Short trainings of clip models on the made world, and the whole way from a crawl to a student in one process."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import Interrupted
from omnicli.stages.teacher_train import train_teacher
from omnicli.streams.record import Record
from omnicli.training.context import TrainingContext
from omnicli.training.recipe_fields import TeacherRecipe
from omnicli.training.recipes import TEACHER_RECIPES

SHORT = replace(TEACHER_RECIPES["few-clips-scratch"], epochs=2, batch_size=4, schedule="constant")


def two_clips_per_class(world: Path) -> list[Record]:
    records: list[Record] = []
    for folder in sorted((world / "target" / "train").iterdir()):
        for path in sorted(folder.iterdir())[:2]:
            row = {"id": path.relative_to(world).as_posix(), "path": str(path), "class_name": folder.name}
            records.append(Record(row, origin="t.jsonl", line=len(records) + 1, position=len(records)))
    return records


def train(records: list[Record], out: Path, recipe: TeacherRecipe, stop_after: int | None = None) -> list[float]:
    """Loss of every epoch; with ``stop_after``, what a training that stops after so many questions leaves."""
    asked = iter(range(1, 100_000))
    context = TrainingContext(
        workers=2, allow_overlap=True, should_stop=lambda: stop_after is not None and next(asked) >= stop_after
    )
    lines = train_teacher(records, recipe=recipe, out=out, context=context, on_drop=lambda *drop: None)
    try:
        return [line["train_loss"] for line in lines]
    except Interrupted:
        assert stop_after is not None
        return []


def check_learns_and_resumes(records: list[Record], folder: Path, recipe: TeacherRecipe, epochs: int = 8) -> None:
    """Training lowers the loss, and one that is stopped in between ends in the same bytes."""
    losses = train(records, folder / "a.pth", replace(recipe, epochs=epochs))
    print(losses)
    assert min(losses[-3:]) < losses[0]
    check_resumes(records, folder, recipe)


def check_resumes(records: list[Record], folder: Path, recipe: TeacherRecipe) -> None:
    """A training that is stopped in its second epoch ends in the same bytes as another."""
    train(records, folder / "b.pth", replace(recipe, epochs=2))
    assert train(records, folder / "c.pth", replace(recipe, epochs=2), stop_after=len(records) + 3) == []
    assert not (folder / "c.pth").exists()
    train(records, folder / "c.pth", replace(recipe, epochs=2))
    assert (folder / "c.pth").read_bytes() == (folder / "b.pth").read_bytes()


def omni(*words: object, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
    assert result.exit_code == 0, (words, result.stderr, result.exception)
    return result.stdout


def crawl_to_student(
    world: Path, folder: Path, model: tuple[object, ...], init: Path | None = None,
    learning: tuple[object, ...] = ("--freeze", "nothing"),
) -> dict[str, Any]:  # fmt: skip
    """``teacher-train``, then ``filter | balance | train | eval`` on videos; gives the summary line of eval.

    ``learning`` are options of the student's training, such as its recipe.
    """
    train_set = ("--epochs", 1, "--batch-size", 4, "--lr", 0.001, "--workers", 2, "--precision", "float32")
    classes, target = world / "classes.txt", world / "target" / "train"
    teacher, student = init or folder / "teacher.pth", folder / "student.pth"
    if init is None:
        omni("teacher-train", target, *model, "--init", "scratch", *train_set, "-o", teacher)
    scoring = ("--workers", 2, "--precision", "float32", "--num-clips", 1)
    kept = omni("filter", "--teacher", teacher, "--threshold", 0, *scoring, world / "web" / "video")
    weighted = omni("balance", "-", stdin=kept)
    (folder / "aux.jsonl").write_text(weighted)
    labelled = omni("index", "--labels", "--classes", classes, target)
    (folder / "target.jsonl").write_text(labelled)
    omni(
        "train", "--target", folder / "target.jsonl", "--auxiliary", folder / "aux.jsonl", "--classes", classes,
        "--init", teacher, *learning, *train_set, "-o", student,
    )  # fmt: skip
    tested = omni("eval", "--checkpoint", student, *scoring, world / "target" / "val")
    return json.loads(tested.splitlines()[-1])  # type: ignore[no-any-return]
