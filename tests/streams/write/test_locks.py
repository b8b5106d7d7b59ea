"""One process writes, the next is refused, and a killed one stands in nobody's way."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from omnicli.errors import OmniError
from omnicli.streams.write import locks
from omnicli.streams.write.locks import open_locked


def test_the_second_is_told_what_is_being_written_and_what_holds_it(tmp_path):
    with (
        open_locked(tmp_path / ".x.lock", "px"),
        pytest.raises(
            OmniError, match=r"^px: another process is writing it \(it has locked .*\.x\.lock\); wait for it"
        ),
    ):
        open_locked(tmp_path / ".x.lock", "px")
    open_locked(tmp_path / ".x.lock", "px").close()


def test_what_a_killed_process_held_is_free(tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from omnicli.streams.write.locks import open_locked\n"
        f"held = open_locked(Path({str(tmp_path)!r}) / '.x.lock', 'px')\n"
        "print(flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(OmniError, match="another process"):
            open_locked(tmp_path / ".x.lock", "px")
        os.kill(process.pid, signal.SIGKILL)
    open_locked(tmp_path / ".x.lock", "px").close()


def test_a_file_that_went_away_before_it_was_locked_is_opened_anew(tmp_path, monkeypatch):
    """The holder before removes or renames it and lets go: whoever had it open by then holds nothing."""
    path, lock = tmp_path / ".x.lock", fcntl.flock
    removed = []

    def remove_first(file, how):
        if not removed:
            path.unlink()
            removed.append(path)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with open_locked(path, "px") as file:
        assert os.path.samestat(os.fstat(file.fileno()), path.stat())
        with pytest.raises(OmniError, match="another process"):
            open_locked(path, "px")


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(locks._Said, "locks", True)
    open_locked(tmp_path / ".x.lock", "px").close()


def test_a_file_system_without_locks_is_said_once(tmp_path, monkeypatch):
    def refuse(file, mode):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr(locks._Said, "locks", False)
    with pytest.warns(UserWarning, match="the file system has no locks .No locks available.; outputs are claimed"):
        locks.open_locked(tmp_path / "a", "a").close()
    locks.open_locked(tmp_path / "b", "b").close()
