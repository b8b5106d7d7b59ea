"""``omni teacher-train`` as users run it: options, metric lines, signals, and a second try."""

import json
import signal
import subprocess
import time

import pytest
import torch
from engine_runs import HeldTraining
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.commands.options.training import Recipe, TrainingOptions
from omnicli.errors import UsageError
from omnicli.models.checkpoint import load_any, save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.training.recipes import TEACHER_RECIPES

TINY = [
    "--model", "tsn-resnet10t", "--init", "scratch", "--short-side", "36", "--crop-size", "32", "--num-segments", "2",
    "--precision", "float32",
]  # fmt: skip


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def without_seconds(lines):
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """A finished training, and what it printed."""
    out = tmp_path_factory.mktemp("trained") / "tsn.pth"
    result = omni("teacher-train", world / "target" / "train", *TINY, "--epochs", 3, "-o", out)
    assert result.exit_code == 0, result.stderr
    return out, result


def test_stdout_is_one_metric_line_an_epoch_and_stderr_the_sums(trained):
    out, result = trained
    lines = parsed(result.stdout)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert "24 in = 24 trained on + 0 unreadable" in result.stderr
    assert load_any(out).meta["model"]["name"] == "tsn-resnet10t"
    assert [path.name for path in out.parent.iterdir()] == ["tsn.pth"]


def test_terminated_in_the_middle_of_an_epoch_it_goes_on_to_the_same_bytes(
    trained, world, tmp_path, tmp_path_factory, shell_environment
):
    out, whole = trained
    command = [
        "omni",
        "teacher-train",
        str(world / "target" / "train"),
        *TINY,
        "--epochs",
        "3",
        "-o",
        str(tmp_path / "a.pth"),
    ]
    environment = {**shell_environment, "OMP_NUM_THREADS": "1"}
    held = HeldTraining(tmp_path_factory.mktemp("held"))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment | held.environment
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    held.let_go()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 75, stderr
    assert "run the same command again" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.pth.state"]
    again = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0] == first.strip()
    assert without_seconds(parsed(again.stdout)) == without_seconds(parsed(whole.stdout))
    assert (tmp_path / "a.pth").read_bytes() == out.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("delay_sec", [0.0, 0.3, 1.1])
def test_killed_at_any_moment_it_ends_in_the_same_bytes(trained, world, tmp_path, shell_environment, delay_sec):
    command = [
        "omni",
        "teacher-train",
        str(world / "target" / "train"),
        *TINY,
        "--epochs",
        "3",
        "-o",
        str(tmp_path / "a.pth"),
    ]
    environment = {**shell_environment, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    process.stdout.readline()
    time.sleep(delay_sec)
    process.kill()
    process.communicate()
    again = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a.pth").read_bytes() == trained[0].read_bytes()


def test_records_on_stdin_are_a_target_like_any_other(trained, world, tmp_path, sh):
    options = " ".join(TINY)
    made = sh(
        f"omni index --labels target/train | omni teacher-train - {options} --epochs 1 -o {tmp_path / 'a.pth'}",
        cwd=world,
    )
    assert parsed(made.stdout)[0]["num_clips"] == 24
    assert load_any(tmp_path / "a.pth").meta["model"]["classes"] == load_any(trained[0]).meta["model"]["classes"]


def test_unreadable_clips_are_rejects_and_can_be_too_many(world, tmp_path):
    rows = [{"path": str(path), "class_name": path.parent.name} for path in sorted((world / "target").rglob("*.mp4"))]
    rows.append({"path": "nowhere.mp4", "class_name": rows[0]["class_name"]})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = omni(
        "teacher-train", tmp_path / "t.jsonl", *TINY, "--epochs", 1, "-o", tmp_path / "a.pth",
        "--rejects", tmp_path / "r.jsonl", "--max-bad", 0,
    )  # fmt: skip
    assert result.exit_code == 3
    assert (tmp_path / "a.pth").exists()
    assert [row["reason"] for row in parsed((tmp_path / "r.jsonl").read_text())] == ["unreadable: no such file"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-o", "a.pth"], 2, "give --model"),
        ([*TINY], 2, "give -o FILE"),
        ([*TINY, "-o", "."], 2, "a folder"),
        ([*TINY, "-o", "a.pth", "--summary", "./a.pth"], 2, "--summary and -o are the same file"),
        ([*TINY, "--freeze", "backbone", "-o", "a.pth"], 2, "random weights"),
        ([*TINY, "--milestones", "1,2", "-o", "a.pth"], 2, "--lr-schedule step"),
        ([*TINY, "--lr-schedule", "step", "--milestones", "x", "-o", "a.pth"], 2, "40,80"),
        ([*TINY, "--max-bad", "x", "-o", "a.pth"], 2, "--max-bad"),
        ([*TINY, "--query-map", "tags.tsv", "-o", "a.pth"], 2, "--query-map needs --target-label query"),
        ([*TINY, "--train-clips", "9 M", "-o", "a.pth"], 2, "a number above 0 such as 20000, 500k or 490M, got '9 M'"),
        ([*TINY, "--epochs", "2", "--train-clips", "5", "-o", "a.pth"], 2, "both give the length"),
        ([*TINY[2:], "--model", "resnet50", "-o", "a.pth"], 2, "tsn-<timm backbone>"),
        (["--model", "tsn-resnet10t", "--init", "no.pth", "-o", "a.pth"], 66, "no.pth"),
        ([*TINY, "--classes", "no.txt", "-o", "a.pth"], 65, "no.txt"),
    ],
)
def test_errors_say_what_to_do_and_leave_nothing(world, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    result = omni("teacher-train", world / "target" / "train", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_validation_file_under_another_name_in_the_target_stops_before_the_first_step(world, tmp_path):
    """Silent before: 100 % validation accuracy on clips that were learnt by heart."""
    source = next((world / "target" / "train").rglob("*.mp4"))
    copy = tmp_path / "val" / source.parent.name / "renamed.mp4"
    copy.parent.mkdir(parents=True)
    copy.symlink_to(source)
    arguments = ["teacher-train", world / "target" / "train", "--val", tmp_path / "val", *TINY, "--epochs", 1,
                 "-o", tmp_path / "a.pth"]  # fmt: skip
    result = omni(*arguments)
    assert (result.exit_code, result.stdout) == (65, "")
    assert f"1 of 1 records of --val are in --target, too: {copy} is {source} (same content); " in result.stderr
    assert not (tmp_path / "a.pth").exists()
    result = omni(*arguments, "--allow-overlap")
    assert result.exit_code == 0
    assert "an accuracy on them is not a test" in result.stderr


def test_equal_views_give_equal_numbers_in_training_and_eval(world, tmp_path):
    """For one checkpoint, 79.2, 75.0 and 77.8 stood in three places; bfloat16 rounded differently in two of them."""
    val, out = world / "target" / "val", tmp_path / "a.pth"
    tiny = [*TINY[:-1], "bfloat16"]
    trained = omni("teacher-train", world / "target" / "train", "--val", val, *tiny, "--epochs", 2, "-o", out)
    tested = omni("eval", "--checkpoint", out, "--precision", "bfloat16", val)
    metrics, summary = parsed(trained.stdout)[-1], parsed(tested.stdout)[-1]
    for name in ("top1_acc", "top5_acc", "mean_class_acc", "view"):
        assert metrics[f"val_{name}"] == summary[name]
    assert summary["view"] == "2 segments, bfloat16"
    assert f"val top-1 {100 * summary['top1_acc']:.1f} % (2 segments, bfloat16)" in trained.stderr
    assert "% (2 segments, bfloat16)" in tested.stderr


@pytest.mark.slow
def test_under_torchrun_it_gives_the_weights_of_one_process_on_the_same_global_batch(
    trained, world, tmp_path, torchrun
):
    """Batch norm is frozen, because each process has its own statistics; --lr is that of the whole step."""
    options = [
        world / "target" / "train", "--init", trained[0], "--recipe", "few-clips-scratch", *TINY[4:], "--freeze",
        "batch-norm", "--dropout", "0", "--lr", "0.01", "--epochs", "1", "--no-temperature",
    ]  # fmt: skip
    alone = omni("teacher-train", *options, "--batch-size", 10, "-o", tmp_path / "one.pth")
    assert alone.exit_code == 0, alone.stderr
    launcher = torchrun("teacher-train", *options, "--batch-size", 5, "--workers", 1, "-o", tmp_path / "two.pth")
    stdout, stderr = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, stderr
    assert len(stdout.splitlines()) == stderr.count(" trained on + ") == 1
    assert parsed(stdout)[0]["num_clips"] == parsed(alone.stdout)[0]["num_clips"]
    one, two = (load_any(tmp_path / name) for name in ("one.pth", "two.pth"))
    assert two.meta["provenance"]["processes"] == 2
    initial = one.meta["provenance"]["initial_weights"]
    assert initial == two.meta["provenance"]["initial_weights"]
    said = f"initial weights {trained[0].name}, backbone sha256 {initial['sha256'][:12]}"
    assert alone.stderr.count(said) == 1
    for name, tensor in one.state_dict.items():
        torch.testing.assert_close(two.state_dict[name], tensor, atol=1e-5, rtol=0)


def test_an_empty_target_is_65(tmp_path):
    (tmp_path / "t.jsonl").touch()
    result = omni("teacher-train", tmp_path / "t.jsonl", *TINY, "-o", tmp_path / "a.pth")
    assert (result.exit_code, result.stdout) == (65, "")
    assert "no target records" in result.stderr


def test_a_dry_run_prints_what_is_resolved_and_trains_nothing(tmp_path):
    result = omni("teacher-train", "x", "--recipe", "tsn-r50-3seg", "--epochs", 7, "-n", "-o", tmp_path / "a.pth")
    shown = json.loads(result.stdout)
    assert (shown["model"], shown["epochs"], shown["lr"], shown["crop"]) == ("tsn-resnet50", 7, 0.01, "multi-scale")
    assert list(tmp_path.iterdir()) == []


def test_what_is_given_wins_over_the_recipe_and_the_rest_is_its():
    name, row = TrainingOptions(recipe=Recipe("tsn-r50-3seg"), dropout=0.1, batch_size=64).resolve()
    expected = TEACHER_RECIPES["tsn-r50-3seg"]
    assert name == "tsn-r50-3seg"
    assert (row.dropout, row.batch_size, row.lr, row.reference_batch_size) == (0.1, 64, expected.lr, 256)
    assert row.epochs == expected.epochs


def test_a_checkpoint_of_ours_brings_its_architecture_its_frames_and_its_sizes(tmp_path):
    def made(name, **options):
        spec = model_spec(name, classes=["a", "b"], **options)
        path = tmp_path / f"{name}.pth"
        save_checkpoint(path, meta={"model": spec.to_meta()}, state_dict=create_model(name, num_classes=2).state_dict())
        return str(path)

    flat = made("tsn-resnet10t", num_segments=5, short_side=40, crop_size=32)
    _, row = TrainingOptions(init=flat, num_segments=2).resolve()
    assert (row.model, row.num_segments, row.short_side, row.crop_size) == ("tsn-resnet10t", 2, 40, 32)
    assert (row.num_frames, row.frame_interval) == (None, None)
    deep = made("r3d-r18", num_frames=6, frame_interval=3, short_side=40, crop_size=32)
    _, row = TrainingOptions(init=deep).resolve()
    assert (row.model, row.num_segments, row.num_frames, row.frame_interval) == ("r3d-r18", None, 6, 3)
    _, row = TrainingOptions(init=flat, model="tsn-resnet18").resolve()
    assert (row.model, row.crop_size) == ("tsn-resnet18", None), "what is said is not completed from elsewhere"


def test_weights_of_another_program_do_not_say_what_they_are(tmp_path):
    torch.save({"fc.weight": torch.ones(2, 2)}, tmp_path / "bare.pth")
    with pytest.raises(UsageError, match="give --model"):
        TrainingOptions(init=str(tmp_path / "bare.pth")).resolve()


def test_a_learning_rate_that_is_given_is_not_scaled():
    _, row = TrainingOptions(recipe=Recipe("tsn-r50-3seg"), lr=0.5, batch_size=4).resolve()
    assert (row.lr, row.reference_batch_size, row.batch_size) == (0.5, 0, 4)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": "tsn-x", "backbone_lr_scale": 0.1}, "frozen"),
        ({"model": "tsn-x", "short_side": 100, "crop_size": 112}, "--crop-size 112"),
        ({"model": "tsn-x", "init": "scratch", "freeze": "batch-norm"}, "random weights"),
    ],
)
def test_options_that_do_nothing_together_are_refused(given, says):
    with pytest.raises(UsageError, match=says):
        TrainingOptions(**given).resolve()


def test_help_opens_with_a_line_that_runs():
    result = omni("teacher-train", "--help")
    assert "omni teacher-train target/train" in result.stdout
