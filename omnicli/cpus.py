"""The number of CPU cores that this process may use."""

import math
import os
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))


class _Share:
    """The cores that this process takes of those that it may use."""

    limit: int | None = None


def limit_cores(limit: int | None) -> None:
    """Use at most so many cores from now on: several processes share the machine. None: all."""
    _Share.limit = limit


def available_cores() -> int:
    """Cores of the affinity mask, limited by the control group's quota and ``limit_cores``; at least 1.

    ``os.cpu_count`` counts the whole machine: a job with 2 of 64 cores would start 64 threads.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, _cgroup_cores(), _Share.limit or affinity))


def _cgroup_cores() -> int:
    """Cores of the quota, rounded up; a very large number without a quota."""
    unified, quota_us = CGROUP_LIMITS
    try:
        if unified.exists():
            quota, period = unified.read_text().split()
        else:
            quota, period = quota_us.read_text().strip(), quota_us.with_name("cpu.cfs_period_us").read_text().strip()
        return math.ceil(int(quota) / int(period)) if int(quota) > 0 else 1_000_000
    except (OSError, ValueError):  # no control group, or "max": no quota
        return 1_000_000
