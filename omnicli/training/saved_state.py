"""Files of an unfinished training beside its output: where they are, and what fits the run that goes on."""

import contextlib
import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from omnicli.data.dataloader import ExampleKey, key_of
from omnicli.errors import UsageError
from omnicli.streams.files.stored import file_exists, remove_file
from omnicli.streams.files.urls import url_of
from omnicli.streams.reading import DIED, KILLS_TO_REJECT, InFlight, suspicions_in
from omnicli.streams.write.atomic import named_errors, remove_leftover
from omnicli.streams.write.staging import local_twin
from omnicli.training.distributed import World
from omnicli.training.transformer_recipe import TransformerRecipe

STATE_FORMAT = "omni-training-state"
STATE_VERSION = 4
UNSAID = {field.name: field.default for field in fields(TransformerRecipe)}  # by states from before these settings


def state_path(out: Path) -> Path:
    """``tsn.pth`` → ``.tsn.pth.state``, a name that folder readers skip."""
    return out.with_name(f".{out.name}.state")


def best_path(out: Path) -> Path:
    """``tsn.pth`` → ``tsn.best.pth``, the best epoch."""
    return out.with_name(f"{out.stem}.best{out.suffix}")


def check_init_stays(init: str, out: Path, *, has_val: bool) -> None:
    """Raises UsageError: the best epoch would replace the initial weights, without which no run goes on."""
    if has_val and os.path.realpath(init) == os.path.realpath(best_path(out)):
        raise UsageError(f"--init {init}: the best epoch on --val is saved there; give another -o, or rename the file")


def forget_state(out: Path) -> None:
    """Delete the state, and what a killed process left of it: training has finished, or starts over."""
    remove_file(state_path(out))
    for path in _local(out).parent.glob(f".{glob.escape(out.name)}.*.reading*"):
        path.unlink(missing_ok=True)
    for path in (state_path(out), best_path(out)):
        remove_leftover(path)


@contextlib.contextmanager
def noting_in_flight(out: Path, world: World, key: str = "") -> Iterator[None]:
    """Note the examples that this process reads during the block, for the run after its death. Raises OutputError.

    They are noted by their numbers, so ``key`` names the list of examples: a run on another list asks for other notes.
    """
    with named_errors(str(out)):
        in_flight = InFlight(_in_flight_path(out, world, key), consumed=0, resume=True)
    try:
        yield
        in_flight.close(finished=True)
    finally:
        in_flight.close()


def deadly_examples(out: Path, world: World, key: str = "") -> dict[ExampleKey, str]:
    """Examples that were being read whenever a process of this training died, and why they are left out."""
    found = suspicions_in(_in_flight_path(out, world, key))
    positions = world.gather_rare([position for position, units in found.items() if units >= KILLS_TO_REJECT])
    return {key_of(position): DIED for position in positions if key_of(position)[0] >= 0}


def _in_flight_path(out: Path, world: World, key: str) -> Path:
    return _local(out).with_name(f".{out.name}.{world.rank}.{f'{key}.' if key else ''}reading")


def _local(out: Path) -> Path:
    """Where files lie that only this machine needs: beside the output, or for a URL on the local disk."""
    return local_twin(out) if url_of(out) else out


def is_seen(path: Path, world: World) -> bool:
    """Whether the state exists. Raises UsageError if only some processes see it."""
    found = world.gather(file_exists(path))
    if any(found) and not all(found):
        raise UsageError(f"{path}: process {found.index(False)} does not see it; -o must be on a shared disk")
    return all(found)


def check_state(content: Any, options: Mapping[str, Any], path: Path, *, labels: str = "") -> None:
    """Raises UsageError: no state of this version, or of another command, options or labels; names a difference.

    Another number of processes goes on if all of them together have the same batch: the steps are the same.
    """
    shown = os.fspath(path)
    if not isinstance(content, dict) or content.get("format") != STATE_FORMAT:
        raise UsageError(f"{shown}: not a training state; start over with --no-resume")
    before = content["options"]
    if content.get("version") != STATE_VERSION:
        raise UsageError(f"{shown}: made by another version of omni; start over with --no-resume")
    now = dict(options)
    if (had := _command(before)) != _command(now):
        raise UsageError(
            f"{shown}: the unfinished training is one of omni {had}, not omni {_command(now)}; use the same, or start "
            "over with --no-resume"
        )
    if before.get("processes", 1) != now.get("processes", 1):
        before, now = _of_all_processes(before), _of_all_processes(now)
    for name in (name for name in now if name != "omni"):
        had = before.get(name, UNSAID.get(name))
        if had != now[name]:
            raise UsageError(
                f"{shown}: the unfinished training had {name} = {had!r}, now {now[name]!r}; "
                "use the same, or start over with --no-resume"
            )
    if content.get("labels", labels) != labels:  # states from before they were stored have none
        raise UsageError(
            f"{shown}: the unfinished training had other classes or labels for these records (--classes, --query-map), "
            "or other ones of them in --target, --val or --auxiliary; use the same, or start over with --no-resume"
        )


def _command(options: Mapping[str, Any]) -> str:
    return "train" if "sources" in options else "teacher-train"


def _of_all_processes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the batch sizes of all processes together, which is what the steps depend on.

    >>> _of_all_processes({"batch_size": 4, "auxiliary_batch_sizes": (8,), "processes": 2})
    {'batch_size of all processes': 8, 'auxiliary_batch_sizes of all processes': [16]}
    """
    size = options.get("processes", 1)
    local = ("processes", "batch_size", "auxiliary_batch_sizes", "num_passes")
    return {name: value for name, value in options.items() if name not in local} | {
        "batch_size of all processes": size * options["batch_size"],
        "auxiliary_batch_sizes of all processes": [size * one for one in options.get("auxiliary_batch_sizes", ())],
    }
