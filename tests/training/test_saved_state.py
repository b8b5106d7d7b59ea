"""Where an unfinished training keeps its files, and what it refuses to go on with."""

import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from omnicli.data.dataloader import position_of
from omnicli.errors import OutputError, UsageError
from omnicli.streams.reading import DEATHS_TO_REJECT, DIED, KILLS_TO_REJECT, NUM_SLOTS
from omnicli.training.distributed import World
from omnicli.training.saved_state import (
    STATE_FORMAT,
    STATE_VERSION,
    best_path,
    check_init_stays,
    check_state,
    deadly_examples,
    forget_state,
    is_seen,
    noting_in_flight,
    state_path,
)


def test_the_end_of_a_training_removes_its_state_and_what_a_killed_process_left(tmp_path):
    """The next run with the same outputs sweeps what a dead process left."""
    out = tmp_path / "tsn.pth"
    assert (state_path(out).name, best_path(out).name) == (".tsn.pth.state", "tsn.best.pth")
    for name in (".tsn.pth.state", "..tsn.pth.state.tmp", ".tsn.best.pth.tmp", "tsn.best.pth"):
        (tmp_path / name).write_bytes(b"x")
    forget_state(out)
    assert [path.name for path in tmp_path.iterdir()] == ["tsn.best.pth"]


def test_a_state_is_seen_by_all_processes_or_refused(tmp_path, monkeypatch):
    path = tmp_path / "state"
    assert not is_seen(path, World())
    path.touch()
    assert is_seen(path, World())
    monkeypatch.setattr(World, "gather", lambda self, value: [True, False])
    with pytest.raises(UsageError, match="process 1 does not see it"):
        is_seen(path, World())


def test_the_best_epoch_does_not_replace_the_initial_weights(tmp_path):
    """After the first epoch of such a training, neither the weights nor a way to go on would be left."""
    (tmp_path / "link").symlink_to(tmp_path)
    for init in (tmp_path / "tsn.best.pth", tmp_path / "link" / "tsn.best.pth"):
        with pytest.raises(UsageError, match=r"tsn\.best\.pth: the best epoch on --val is saved there"):
            check_init_stays(str(init), tmp_path / "tsn.pth", has_val=True)
        check_init_stays(str(init), tmp_path / "tsn.pth", has_val=False)
    check_init_stays("imagenet", tmp_path / "imagenet.pth", has_val=True)


def test_a_folder_that_cannot_be_written_is_named_by_its_output(tmp_path):
    (tmp_path / ".tsn.pth.0.reading").mkdir()
    with pytest.raises(OutputError, match=r"tsn\.pth: cannot write: "), noting_in_flight(tmp_path / "tsn.pth", World()):
        pass


TRAIN = """
import signal, sys
import omnicli.data.training_clips as training_clips
from omnicli.app import main
opened = training_clips.open_modality
def open_or_die(record, **how):
    if "poison" in record["path"]:
        signal.raise_signal(signal.SIGSEGV)
    return opened(record, **how)
training_clips.open_modality = open_or_die
main()
"""


@pytest.mark.slow
def test_a_clip_that_kills_training_is_left_out_by_a_later_run(world, tmp_path):
    (tmp_path / "clips").mkdir()
    for folder in (world / "target" / "train").iterdir():
        (tmp_path / "clips" / folder.name).mkdir()
        for number, file in enumerate(sorted(folder.glob("*.mp4"))[:2]):
            shutil.copy(file, tmp_path / "clips" / folder.name / f"{number}.mp4")
    shutil.copy(file, tmp_path / "clips" / folder.name / "poison.mp4")
    command = [sys.executable, "-c", TRAIN, "teacher-train", "clips", "--model", "tsn-resnet10t", "--init", "scratch"]
    command += ["--short-side", "40", "--crop-size", "32", "--epochs", "1", "--batch-size", "4", "-o", "t.pth"]
    codes = []
    while not codes or codes[-1] < 0:
        ended = subprocess.run(
            [*command, "--rejects", "bad.jsonl"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        codes.append(ended.returncode)
        assert len(codes) <= DEATHS_TO_REJECT + 1, ended.stderr
    assert codes == [-signal.SIGSEGV] * DEATHS_TO_REJECT + [0], ended.stderr
    (bad,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert "poison.mp4" in bad and f"unreadable: {DIED}" in bad
    assert not list(tmp_path.glob(".*")), "nothing is left of the runs that died"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "other"}, "not a training state"),
        ({"version": STATE_VERSION + 1}, "another version of omni"),
        ({"options": {"omni": "1", "lr": 0.2}}, "lr = 0.2, now 0.1"),
    ],
)
def test_another_state_is_refused_by_what_differs(changed, message):
    options = {"omni": "1", "lr": 0.1}
    state = {"format": STATE_FORMAT, "version": STATE_VERSION, "options": options}
    check_state(state, options, Path("x"))
    with pytest.raises(UsageError, match=message):
        check_state({**state, **changed}, options, Path("x"))


def test_a_state_from_before_a_setting_goes_on_with_its_default():
    state = {"format": STATE_FORMAT, "version": STATE_VERSION, "options": {"omni": "1"}}
    check_state(state, {"omni": "2", "optimizer": "sgd", "randaugment": "none", "cutmix_alpha": 0.0}, Path("x"))
    with pytest.raises(UsageError, match="randaugment = 'none', now 'rand-m7'"):
        check_state(state, {"omni": "1", "randaugment": "rand-m7"}, Path("x"))


def test_a_state_of_the_other_command_or_of_other_labels_is_refused():
    """A student without auxiliary sources has the options of a teacher, and others besides."""
    teacher = {"omni": "1", "lr": 0.1}
    student = {**teacher, "ratio": (1,), "sources": []}
    state = {"format": STATE_FORMAT, "version": STATE_VERSION, "options": student, "labels": "a"}
    check_state(state, student, Path("x"), labels="a")
    with pytest.raises(UsageError, match="is one of omni train, not omni teacher-train"):
        check_state(state, teacher, Path("x"), labels="a")
    with pytest.raises(UsageError, match="is one of omni teacher-train, not omni train"):
        check_state({**state, "options": teacher}, student, Path("x"), labels="a")
    with pytest.raises(UsageError, match="other classes or labels"):
        check_state(state, student, Path("x"), labels="b")
    del state["labels"]
    check_state(state, student, Path("x"), labels="b")  # of an earlier version


def test_examples_that_killed_a_run_are_those_of_its_own_list(tmp_path):
    """A record that is taken out of the list moves those behind it."""
    out = tmp_path / "t.pth"
    found = struct.pack(f"<{NUM_SLOTS + KILLS_TO_REJECT}q", *[0] * NUM_SLOTS, *[position_of((0, 7))] * KILLS_TO_REJECT)
    with noting_in_flight(out, World(), "a1"):
        (path,) = tmp_path.glob("*.reading")
    path.write_bytes(found)
    assert deadly_examples(out, World(), "a1") == {(0, 7): DIED}
    assert deadly_examples(out, World(), "b2") == {}
    forget_state(out)
    assert list(tmp_path.iterdir()) == []


def test_another_number_of_processes_goes_on_if_the_whole_batch_is_the_same():
    """The steps depend on the batch of all processes, not on how it is dealt."""
    two = {"omni": "1", "lr": 0.1, "batch_size": 4, "auxiliary_batch_sizes": (2, 8), "num_passes": 1, "processes": 2}
    state = {"format": STATE_FORMAT, "version": STATE_VERSION, "options": two}
    one = two | {"batch_size": 8, "auxiliary_batch_sizes": (4, 16), "num_passes": 2}
    for processes in ({"processes": 1}, {}):  # a teacher of one process does not name them
        again = {name: value for name, value in one.items() if name != "processes"} | processes
        check_state(state, again, Path("x"))
    with pytest.raises(UsageError, match="batch_size of all processes = 8, now 4"):
        check_state(state, two | {"processes": 1, "auxiliary_batch_sizes": (4, 16)}, Path("x"))
    with pytest.raises(UsageError, match=r"lr = 0\.1, now 0\.2"):
        check_state(state, one | {"processes": 1, "lr": 0.2}, Path("x"))


def test_a_training_on_a_store_goes_on_where_it_was_and_leaves_nothing(world, tmp_path, monkeypatch):
    """Its state lies beside its output; what only this machine needs lies below TMPDIR."""
    from typer.testing import CliRunner

    from omnicli.app import app
    from omnicli.streams.files import remote
    from omnicli.streams.files.stored import read_file
    from omnicli.streams.files.urls import allow_typed

    class KilledError(BaseException):
        pass

    command = [
        "teacher-train", str(world / "target" / "train"), "--model", "tsn-resnet10t", "--init", "scratch",
        "--precision", "float32", "--short-side", "36", "--crop-size", "32", "--num-segments", "1",
        "--epochs", "2", "-o",
    ]  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner = CliRunner()
    assert runner.invoke(app, [*command, str(tmp_path / "a.pth")]).exit_code == 0
    upload = remote.upload

    def dying(path, url):
        upload(path, url)
        if url.endswith(".state"):
            raise KilledError

    monkeypatch.setattr(remote, "upload", dying)
    with pytest.raises(KilledError):
        runner.invoke(app, [*command, "memory://trained/a.pth"], catch_exceptions=False)
    assert remote.list_files("memory://trained") == [".a.pth.state"]
    monkeypatch.setattr(remote, "upload", upload)
    result = runner.invoke(app, [*command, "memory://trained/a.pth"])
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert remote.list_files("memory://trained") == ["a.pth"]
    assert read_file("memory://trained/a.pth") == (tmp_path / "a.pth").read_bytes()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.pth"]
    allow_typed([])
