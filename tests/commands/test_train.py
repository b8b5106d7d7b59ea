"""``omni train`` as users run it: options, metric lines, signals, several processes."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from engine_runs import HeldTraining
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.checkpoint import load_any

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
def data(world, tmp_path_factory):
    """``--target``, two ``--auxiliary`` (one has an image that is none), labels by query."""
    folder = tmp_path_factory.mktemp("data")
    for name, kind, suffix in (("gg", "image", "*.jpg"), ("ig", "video", "*.mp4")):
        paths = sorted((world / "web" / kind).rglob(suffix))[::3]
        lines = [json.dumps({"path": str(path), "query": path.parent.name}) + "\n" for path in paths]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return [
        "--target", str(world / "target" / "train"), "--auxiliary", str(folder / "gg.jsonl"),
        "--auxiliary", str(folder / "ig.jsonl"), "--auxiliary-label", "query", *TINY,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished training, and what it printed."""
    out = tmp_path_factory.mktemp("trained") / "student.pth"
    result = omni("train", *data, "--epochs", 3, "-o", out, "--summary", out.with_name("s.json"))
    assert result.exit_code == 0, result.stderr
    return out, result


def test_stdout_is_a_line_for_each_epoch_and_source_and_stderr_the_sums(trained):
    out, result = trained
    lines = parsed(result.stdout)
    assert [(line["epoch"], line["source"]) for line in lines] == [
        (epoch, source) for epoch in (1, 2, 3) for source in ("target", "gg", "ig")
    ]
    assert " trained on + " in result.stderr
    assert load_any(out).meta["provenance"]["sources"] == ["gg", "ig"]
    summary = json.loads(out.with_name("s.json").read_text())
    assert summary["result"]["ig"] == lines[-1]
    assert summary["in"] == summary["used"] + summary["rejected"] + summary["unreadable"]


def test_terminated_in_the_middle_of_an_epoch_it_goes_on_to_the_same_bytes(
    trained, data, tmp_path, tmp_path_factory, shell_environment
):
    held = HeldTraining(tmp_path_factory.mktemp("held"))
    command = ["omni", "train", *data, "--epochs", "3", "-o", str(tmp_path / "a.pth")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=shell_environment | held.environment
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    held.let_go()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 75, stderr
    assert "run the same command again" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.pth.state"]
    again = omni("train", *data, "--epochs", 3, "-o", tmp_path / "a.pth")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.splitlines()[0] == first.strip()
    assert without_seconds(parsed(again.stdout)) == without_seconds(parsed(trained[1].stdout))
    assert (tmp_path / "a.pth").read_bytes() == trained[0].read_bytes()


@pytest.mark.slow
def test_under_torchrun_live_batch_norm_and_several_passes_train_without_a_hang_and_one_process_writes(
    data, tmp_path, torchrun
):
    """Uneven data: 24 clips in batches of 5 for each of two processes, broken images among them."""
    launcher = torchrun(
        "train", *data, "--epochs", 2, "--batch-size", 5, "--ratio", "5:4:1", "--val", data[1], "--allow-overlap", "-o",
        tmp_path / "a.pth", "--rejects", tmp_path / "r.jsonl", "--workers", 1,
    )  # fmt: skip
    stdout, stderr = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, stderr
    lines = parsed(stdout)
    assert [(line["epoch"], line["source"]) for line in lines] == [
        (epoch, source) for epoch in (1, 2) for source in ("target", "gg", "ig")
    ]
    assert lines[0]["num_clips"] == 24
    assert stderr.count(" trained on + ") == 1
    left = [row["path"] for row in parsed((tmp_path / "r.jsonl").read_text())]
    assert len(left) == len(set(left))
    assert load_any(tmp_path / "a.pth").meta["provenance"]["processes"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.best.pth", "a.pth", "r.jsonl"]


@pytest.mark.slow
def test_under_torchrun_frozen_batch_norm_gives_the_weights_of_one_process_on_the_same_global_batch(
    trained, data, tmp_path, torchrun
):
    """From the same weights; 24 clips in global batches of 10, so that the last one is uneven too."""
    options = [
        *data, "--init", str(trained[0]), "--freeze", "batch-norm", "--dropout", "0", "--epochs", "1", "--lr", "0.01",
        "--recipe", "few-clips-scratch", "--ratio", "1:1:1",
    ]  # fmt: skip
    alone = omni("train", *options, "--batch-size", 10, "-o", tmp_path / "one.pth")
    assert alone.exit_code == 0, alone.stderr
    launcher = torchrun("train", *options, "--batch-size", 5, "-o", tmp_path / "two.pth", "--workers", 1)
    stdout, stderr = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, stderr
    one, two = (load_any(tmp_path / name).state_dict for name in ("one.pth", "two.pth"))
    before = load_any(trained[0]).state_dict
    assert max(float((one[name] - before[name]).abs().max()) for name in one) > 1e-3
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-5, rtol=0)
    for line, other in zip(parsed(alone.stdout), parsed(stdout), strict=True):
        assert (line["source"], line["num_clips"]) == (other["source"], other["num_clips"])
        assert line["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)


def workers_of(launcher):
    """Process IDs of the processes of a launcher, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == launcher.pid:
                variables = dict(
                    pair.split("=", 1) for pair in (entry / "environ").read_text().split("\0") if "=" in pair
                )
                found[int(variables["RANK"])] = int(entry.name)
    return [found[rank] for rank in sorted(found)]


@pytest.mark.slow
def test_after_a_killed_rank_the_launcher_restarts_and_each_line_is_printed_once(
    data, tmp_path, tmp_path_factory, shell_environment, torchrun
):
    """The peers of a process that dies name it, and are not a bug of omni."""
    held = HeldTraining(tmp_path_factory.mktemp("held"), num_lines=3)
    launcher = torchrun(
        "train", *data, "--epochs", 4, "--batch-size", 4, "--ratio", "2:1:1", "--workers", 1, "-o", tmp_path / "a.pth",
        options=("--max-restarts", 3), environment=shell_environment | held.environment,
    )  # fmt: skip
    first = [launcher.stdout.readline() for _ in range(3)]
    os.kill(workers_of(launcher)[1], signal.SIGKILL)
    held.let_go()
    rest, stderr = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, stderr
    lines = parsed("".join(first) + rest)
    assert [(line["epoch"], line["source"]) for line in lines] == [
        (epoch, source) for epoch in range(1, 5) for source in ("target", "gg", "ig")
    ]
    assert "process 1 is gone" in stderr
    assert "internal error" not in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pth"]


@pytest.mark.slow
def test_two_processes_begin_and_one_goes_on_with_the_same_batch(
    trained, data, tmp_path, tmp_path_factory, shell_environment, torchrun
):
    """To the weights of one process that was never stopped; frozen batch norm, whose statistics are of a process."""
    held = HeldTraining(tmp_path_factory.mktemp("held"))
    options = [
        *data, "--init", trained[0], "--freeze", "batch-norm", "--dropout", 0, "--epochs", 3, "--lr", 0.01,
        "--recipe", "few-clips-scratch", "--ratio", "1:1:1",
    ]  # fmt: skip
    launcher = torchrun(
        "train", *options, "--batch-size", 5, "--workers", 1, "-o", tmp_path / "a.pth",
        environment=shell_environment | held.environment,
    )  # fmt: skip
    first = launcher.stdout.readline()
    for worker in workers_of(launcher):
        os.kill(worker, signal.SIGTERM)
    held.let_go()
    _, stderr = launcher.communicate(timeout=300)
    assert (tmp_path / ".a.pth.state").exists(), stderr
    again = omni("train", *options, "--batch-size", 10, "-o", tmp_path / "a.pth")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.splitlines()[0] == first.strip()
    whole = omni("train", *options, "--batch-size", 10, "-o", tmp_path / "b.pth")
    assert whole.exit_code == 0
    one, other = (load_any(tmp_path / name).state_dict for name in ("a.pth", "b.pth"))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-o", "a.pth", "--ratio", "2:1"], 2, "expected 3 numbers"),
        (["-o", "a.pth", "--snippets", "2"], 2, "two numbers"),
        (["-o", "a.pth", "--snippets", "x"], 2, "--snippets: expected whole numbers"),
        (["-o", "a.pth", "--batch-size", "5"], 2, "5 x 1/2 is not a whole number"),
        (["-o", "."], 2, "a folder"),
        ([], 2, "give -o FILE"),
        (["-o", "a.pth", "--query-map", "no.tsv"], 65, "no.tsv"),
        (["-o", "a.pth", "--auxiliary-label", "pseudo_label"], 65, "gg.jsonl:1: no field 'pseudo_label'"),
        (["-o", "a.pth", "--tensorboard", "tb"], 2, "pip install 'omnicli[tensorboard]'"),
    ],
)
def test_errors_say_what_to_do_and_leave_nothing(data, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "tensorboard", None)
    result = omni("train", *data, *arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.stderr
    assert says in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_target_clip_among_the_auxiliary_records_stops_the_training(data, world, tmp_path):
    clip = next((world / "target" / "train").rglob("*.mp4"))
    (tmp_path / "web.jsonl").write_text(json.dumps({"id": "web", "path": str(clip), "query": clip.parent.name}) + "\n")
    result = omni("train", *data, "--auxiliary", tmp_path / "web.jsonl", "--ratio", "1:1:1:1", "-o", tmp_path / "a.pth")
    assert (result.exit_code, result.stdout) == (65, "")
    assert f"1 of 24 records of --target are in --auxiliary web, too: {clip} is {clip} at " in result.stderr


def test_classes_without_auxiliary_records_are_named(data, tmp_path):
    """Silent before: a student learns such classes from the target alone."""
    web = parsed(Path(data[3]).read_text())
    few = [record for record in web if record["query"] == web[0]["query"]][:2]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(record) + "\n" for record in few))
    result = omni("train", *data[:2], "--auxiliary", tmp_path / "few.jsonl", "--auxiliary-label", "query", *TINY,
                  "--epochs", 1, "-o", tmp_path / "a.pth")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "train: 4 of 4 classes have fewer than 5 auxiliary records, 3 none: " in result.stderr


def test_a_frozen_backbone_is_not_compiled(tmp_path):
    model = ["--model", "tsn-resnet10t", "--init", "w.pth"]
    result = omni("train", "--target", "t", *model, "--compile", "-o", tmp_path / "a.pth")
    assert result.exit_code == 2
    assert "--compile has no effect on a frozen backbone" in result.stderr


def test_without_a_target_it_is_told_what_to_give():
    result = omni("train", "--auxiliary", "a.jsonl", *TINY, "-o", "a.pth")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "give --target" in result.stderr


def test_a_dry_run_prints_what_is_resolved_and_trains_nothing(tmp_path):
    result = omni(
        "train", "--target", "t.jsonl", "--auxiliary", "gg.jsonl", "--recipe", "slowonly-r50-4x16", "--mixup", "cross",
        "--epochs", 7, "--no-temperature", "-n", "-o", tmp_path / "a.pth",
    )  # fmt: skip
    shown = json.loads(result.stdout)
    assert (shown["model"], shown["epochs"], shown["lr"], shown["num_frames"]) == ("slowonly-r50", 7, 0.1, 4)
    assert (shown["mixup"], shown["mixup_alpha"], shown["auxiliary"]) == ("cross", 0.2, {"gg": "gg.jsonl"})
    assert shown["temperature"] is False
    assert list(tmp_path.iterdir()) == []


def test_help_opens_with_a_line_that_runs():
    assert "omni train --target target/train" in omni("train", "--help").stdout


@pytest.mark.parametrize("option", ["--temperature", "--no-temperature"])
def test_a_temperature_is_of_a_softmax(option):
    joint = ("train", "--target", "t.jsonl", "--model", "tsn-resnet18", "-o", "s.pth", "--multi-label", "--dry-run")
    result = omni(*joint, option)
    assert result.exit_code == 2
    assert "--temperature needs one softmax over classes; remove it or --multi-label" in result.stderr
    assert json.loads(omni(*joint).stdout)["temperature"] is False
    assert json.loads(omni(*joint[:-2], "--dry-run").stdout)["temperature"] is True
