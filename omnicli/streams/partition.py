"""``--part I/N``: the records that one job of a cluster array processes, chosen by a hash of the ID."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from omnicli.errors import UsageError
from omnicli.streams.record import partition_key

NEXT = "next"  # --part next: whole files, as tasks come for them
# Variables with the index and the number of tasks. Slurm sets SLURM_NTASKS in the batch script, too, which is one task.
AUTO = (
    ("RANK", "WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
    ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES"),
)


@dataclass(frozen=True)
class Part:
    """Part ``index`` (0-based) of ``total`` of the input."""

    index: int
    total: int

    def __str__(self) -> str:
        return f"{self.index}of{self.total}"

    def holds(self, record: Mapping[str, Any]) -> bool:
        """True if this part has the record, by its ``parent`` or else its ``id``: clips of a video stay together."""
        return self.holds_key(partition_key(record))

    def holds_key(self, key: str) -> bool:
        """True if BLAKE2b-64 of the key (UTF-8, big-endian) modulo ``total`` is ``index``.

        >>> [Part(i, 4).holds_key("web/a.jpg") for i in range(4)]
        [False, False, False, True]
        """
        digest = blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.total == self.index


def parse_part(text: str, *, environment: Mapping[str, str] | None = None) -> Part:
    """Parse ``I/N``, or ``auto``: this task of a Slurm array or of srun, rank under torchrun, Pod or SkyPilot node.

    Args:
        text: value of ``--part``.
        environment: environment variables; those of the process by default.

    Raises:
        UsageError: another form, I outside [0, N), or variables that are missing or do not fit.

    >>> parse_part("3/64")
    Part(index=3, total=64)
    """
    if text == "auto":
        return _part_of_environment(os.environ if environment is None else environment)
    match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not match:
        raise UsageError(f"--part: expected I/N (0-based, such as 0/64) auto or next, got {text!r}")
    index, total = int(match[1]), int(match[2])
    if total == 0:
        raise UsageError(f"--part {text}: N must be at least 1")
    if index >= total:
        raise UsageError(f"--part {text}: I must be from 0 to N - 1 = {total - 1}")
    return Part(index, total)


def _part_of_environment(environment: Mapping[str, str]) -> Part:
    if "SLURM_ARRAY_TASK_ID" in environment:
        return _part_of_slurm(environment)
    for index, total in AUTO:
        if index in environment and total in environment:
            return parse_part(f"{_integer(environment, index)}/{_integer(environment, total)}")
    if "SLURM_PROCID" in environment:
        raise UsageError("--part auto: this script is one task; start the command by srun, or use --part I/N")
    if "JOB_COMPLETION_INDEX" in environment:
        raise UsageError(
            "--part auto: Kubernetes does not say how many completions there are: set JOB_COMPLETIONS in the Pod, or "
            "use --part $JOB_COMPLETION_INDEX/N"
        )
    raise UsageError(
        "--part auto: neither SLURM_ARRAY_TASK_ID (sbatch --array=0-63), SLURM_STEP_NUM_TASKS (srun), RANK and "
        "WORLD_SIZE (torchrun), JOB_COMPLETION_INDEX (Kubernetes) nor SKYPILOT_NODE_RANK is set; use --part I/N"
    )


def _part_of_slurm(environment: Mapping[str, str]) -> Part:
    # a partial array (a retry) would silently split the input in another way
    index = _integer(environment, "SLURM_ARRAY_TASK_ID")
    total = _integer(environment, "SLURM_ARRAY_TASK_COUNT")
    first = _integer(environment, "SLURM_ARRAY_TASK_MIN")
    last = _integer(environment, "SLURM_ARRAY_TASK_MAX")
    step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1") or "1")
    if first != 0 or step != 1 or last != total - 1:
        raise UsageError(
            f"--part auto: the array is {first}-{last} with step {step} and {total} tasks, expected "
            f"--array=0-{total - 1}; to repeat some tasks of an earlier array of N, use --part $SLURM_ARRAY_TASK_ID/N"
        )
    return parse_part(f"{index}/{total}")


def _integer(environment: Mapping[str, str], name: str) -> int:
    try:
        return int(environment[name])
    except (KeyError, ValueError):
        shown = repr(environment[name]) if name in environment else "not set"
        raise UsageError(f"--part auto: {name} is {shown}; use --part I/N") from None
