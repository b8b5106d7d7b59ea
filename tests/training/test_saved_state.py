"""Where an unfinished training keeps its files, and what it refuses to go on with."""

from pathlib import Path

import pytest

from omnicli.errors import UsageError
from omnicli.training.distributed import World
from omnicli.training.saved_state import (
    STATE_FORMAT,
    STATE_VERSION,
    best_path,
    check_state,
    forget_state,
    is_seen,
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


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "other"}, "not a training state"),
        ({"version": STATE_VERSION + 1}, "another version of omni"),
        ({"options": {"omni": "0", "lr": 0.1}}, "another version of omni"),
        ({"options": {"omni": "1", "lr": 0.2}}, "lr = 0.2, now 0.1"),
    ],
)
def test_another_state_is_refused_by_what_differs(changed, message):
    options = {"omni": "1", "lr": 0.1}
    state = {"format": STATE_FORMAT, "version": STATE_VERSION, "options": options}
    check_state(state, options, Path("x"))
    with pytest.raises(UsageError, match=message):
        check_state({**state, **changed}, options, Path("x"))
