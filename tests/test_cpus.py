"""Cores are those of the affinity mask and the control group, not of the machine."""

import os

import pytest

from omnicli import cpus as cores


@pytest.fixture
def quota(tmp_path, monkeypatch):
    """Sets the control group's files: ``quota(unified=...)`` or ``quota(us=..., period_us=...)``."""

    def set_quota(unified=None, us=None, period_us=None):
        paths = tmp_path / "cpu.max", tmp_path / "cpu" / "cpu.cfs_quota_us"
        monkeypatch.setattr(cores, "CGROUP_LIMITS", paths)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
        paths[1].parent.mkdir()
        if unified is not None:
            paths[0].write_text(unified)
        if us is not None:
            paths[1].write_text(us)
            paths[1].with_name("cpu.cfs_period_us").write_text(period_us)

    return set_quota


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"unified": "max 100000\n"}, 8),
        ({"unified": "200000 100000\n"}, 2),
        ({"unified": "150000 100000\n"}, 2),  # a core and a half: two threads
        ({"unified": "5000 100000\n"}, 1),
        ({"unified": "9900000 100000\n"}, 8),
        ({"us": "-1\n", "period_us": "100000\n"}, 8),
        ({"us": "300000\n", "period_us": "100000\n"}, 3),
        ({}, 8),
    ],
)
def test_the_smaller_of_affinity_and_quota_counts(quota, files, expected):
    quota(**files)
    assert cores.available_cores() == expected


def test_a_process_may_take_a_share_of_them(quota):
    quota()
    try:
        cores.limit_cores(3)
        assert cores.available_cores() == 3
        cores.limit_cores(64)
        assert cores.available_cores() == 8
    finally:
        cores.limit_cores(None)
    assert cores.available_cores() == 8
