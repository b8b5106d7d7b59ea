"""The process around a command: stop signals, and the crash log."""

import os
import signal

import pytest

from omnicli.errors import Interrupted
from omnicli.process import CrashLog, stopping_stage, stopping_training


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_noted_and_the_handler_of_before_comes_back(number):
    before = signal.getsignal(number)
    with stopping_training() as stop:
        assert not stop.is_requested
        os.kill(os.getpid(), number)
        assert stop.is_requested
        with pytest.raises(Interrupted, match=r"run the same command again"):
            stop.check()
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("resumable", [True, False])
def test_sigterm_ends_a_stage_at_once(resumable):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught, stopping_stage(resumable=resumable):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("not stopped")
    assert caught.value.resumable is resumable
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_crash_log_holds_one_traceback_for_each_line_that_raises(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    log = CrashLog()
    for key, name in (("x", "a.jpg"), ("y", "b.jpg")):
        try:
            raise KeyError(key)
        except KeyError as error:
            log.add(error, name)
    assert log.path is not None and log.path.parent == tmp_path
    text = log.path.read_text()
    assert "KeyError: 'x'" in text and "a.jpg" in text
    assert "KeyError: 'y'" not in text


def test_a_crash_log_that_cannot_be_written_has_no_path(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    log = CrashLog()
    log.add(ValueError("x"), "a.jpg")
    assert log.path is None
