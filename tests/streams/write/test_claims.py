"""Claims: one process at a time may publish an output, without any lock."""

import os
import subprocess
import sys
import time

import msgspec
import pytest

from omnicli.errors import ClaimedError, OmniError
from omnicli.process import started_at
from omnicli.streams.write import claims
from omnicli.streams.write.claims import STALE_SEC, Holder, take_claim


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".out.claim"


def held_elsewhere(path, *, age):
    """A claim of a process on another machine, touched ``age`` seconds ago."""
    path.write_bytes(msgspec.json.encode(Holder("node7", "another boot", 12, "1", "token")))
    touched = time.time() - age
    os.utime(path, (touched, touched))


def test_an_output_is_claimed_once_at_a_time(path):
    first = take_claim(path, "out", waits=True)
    with pytest.raises(ClaimedError, match=rf"^out: another process is writing it \(process {os.getpid()} on "):
        take_claim(path, "out", waits=True)
    assert first.holds()
    first.close()
    take_claim(path, "out", waits=False).close()
    assert list(path.parent.iterdir()) == []


def test_of_many_that_ask_at_once_one_gets_it(path):
    script = (
        "import sys, time; from pathlib import Path; from omnicli.streams.write.claims import *\n"
        "try:\n    claim = take_claim(Path(sys.argv[1]), 'out', waits=False); print('mine', flush=True)\n"
        "except Exception: print('not mine', flush=True)\n"
        "sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(path)]
    asking = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    answers = [process.stdout.readline().strip() for process in asking]
    assert sorted(answers) == ["mine", "not mine", "not mine", "not mine"]
    for process in asking:
        process.communicate()
    take_claim(path, "out", waits=False).close()  # the holder of before is dead


def test_a_silent_holder_on_another_machine_loses_its_claim_after_two_minutes(path):
    held_elsewhere(path, age=STALE_SEC - 20)
    with pytest.raises(ClaimedError, match=r"process 12 on node7, last heartbeat 10[01] s ago"):
        take_claim(path, "out", waits=False)
    held_elsewhere(path, age=STALE_SEC + 20)
    take_claim(path, "out", waits=False).close()


def test_who_waits_finds_out_whether_the_holder_lives(path, monkeypatch):
    monkeypatch.setattr(claims, "POLL_SEC", 0.01)
    monkeypatch.setattr(claims, "STALE_SEC", 1.0)
    held_elsewhere(path, age=0)
    take_claim(path, "out", waits=True).close()
    held_elsewhere(path, age=0)
    beats = iter(range(1, 100))

    def sleep(seconds):
        now = time.time() + next(beats)
        os.utime(path, (now, now))

    monkeypatch.setattr(time, "sleep", sleep)
    with pytest.raises(ClaimedError):
        take_claim(path, "out", waits=True)


def test_who_comes_back_from_the_dead_does_not_publish(path):
    mine = take_claim(path, "out", waits=True)
    held_elsewhere(path, age=0)
    with pytest.raises(OmniError, match=r"out: this process sent no heartbeat .* \(process 12 on node7\) has taken"):
        mine.check("out")
    before = path.stat().st_mtime_ns
    mine.beat()
    mine.close()
    assert path.stat().st_mtime_ns == before


def test_the_claim_is_touched_while_it_is_held(path, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_SEC", 0.02)
    heart = claims._Heart()
    monkeypatch.setattr(claims, "_heart", heart)
    claim = take_claim(path, "out", waits=True)
    os.utime(path, (1, 1))
    deadline = time.monotonic() + 60
    while path.stat().st_mtime == 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.stat().st_mtime > 1
    claim.close()
    assert not path.exists()


def test_claims_work_without_hard_links(path, monkeypatch):
    def no_links(*names):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_links)
    claim = take_claim(path, "out", waits=False)
    with pytest.raises(ClaimedError):
        take_claim(path, "out", waits=False)
    claim.close()


def test_a_new_claim_is_not_mistaken_for_the_stale_one(path):
    held_elsewhere(path, age=1)
    assert not claims._remove_stale(path, Holder("node8", "boot", 1, "1", "another token"))
    assert path.exists()


def test_a_driver_that_gives_work_to_another_process_does_not_wait(path, monkeypatch):
    monkeypatch.setattr(claims._Process, "driver", "mine")
    path.write_bytes(msgspec.json.encode(Holder("node7", "another boot", 12, "1", "token", "mine")))
    claim = take_claim(path, "out", waits=True)
    assert claim.is_from_elsewhere
    claim.close()


def test_an_output_may_have_the_longest_name_that_part_files_allow(tmp_path):
    path = tmp_path / f".{'n' * 240}.claim"
    take_claim(path, "out", waits=False).close()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_process_that_waits_for_its_parent_holds_nothing(path):
    """In a container without an init, the killed member of a pipe stays a zombie."""
    process = subprocess.Popen(["sleep", "100"])
    started = started_at(process.pid)
    path.write_bytes(msgspec.json.encode(Holder("here", claims._space(), process.pid, started, "token")))
    with pytest.raises(ClaimedError):
        take_claim(path, "out", waits=False)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not buried
    take_claim(path, "out", waits=False).close()
    process.wait()
