"""The process around a command: stop signals, and the crash log."""

import os
import signal
from pathlib import Path

import pytest

from omnicli.errors import Interrupted
from omnicli.process import stopping_stage, stopping_training, write_crash_log


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


def test_a_crash_log_holds_the_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    try:
        raise KeyError("x")
    except KeyError:
        path = write_crash_log("index")
    assert Path(path).parent == tmp_path
    assert "KeyError: 'x'" in path.read_text()
