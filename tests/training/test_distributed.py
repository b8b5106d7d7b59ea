"""Several processes take the steps of one: sums, gradients, batch statistics, and agreement on when to stop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from free_port import free_port
from torch import nn

from omnicli.errors import UsageError
from omnicli.training.distributed import World, join_world, local_share

# What each of two processes runs; prints what it found as one JSON object.
SCRIPT = """
import json, pathlib, sys, torch
from toy_training import PointInputs, make_run, step_of
from torch import nn
from omnicli.training.distributed import join_world
from omnicli.training.loop import TrainingDiverged, train_epoch
from omnicli.training.objective import Objective

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
POINTS = torch.randn(4, 10, 3, generator=generator)  # four steps of ten samples
LABELS = (POINTS[..., 0] > 0).long()


class SpoiltInputs(PointInputs):
    def __init__(self, model, spoil):
        super().__init__(model)
        self.spoil, self.passes = spoil, iter(range(1, 100))

    def logits(self, inputs):
        return self.model(inputs) * (float("nan") if self.spoil == next(self.passes) else 1.0)


def train(world, *, norm=None, mine=lambda rows: slice(None), stop_after=None, spoil=None):
    torch.manual_seed(1)
    norm_layer = nn.BatchNorm1d(6)
    model = nn.Sequential(nn.Linear(3, 6), norm_layer, nn.Linear(6, 2))
    if norm == "frozen":
        norm_layer.train = lambda mode=True: norm_layer
        norm_layer.training = False
    asked = iter(range(1, 100))
    rows = [str(row) for row in range(10)]
    batches = [step_of(points[mine(rows)], labels[mine(rows)], rows[mine(rows)])
               for points, labels in zip(POINTS, LABELS)]
    run = make_run(model, weight_decay=1e-4, should_stop=lambda: next(asked) == stop_after, world=world)
    finished = train_epoch(run, batches, SpoiltInputs(model, spoil), Objective(num_classes=2, num_passes=2))
    progress = run.progress
    weights = torch.cat([tensor.flatten().float() for tensor in model.state_dict().values()])
    return {"weights": weights.tolist(), "finished": finished, "step": progress.step,
            "loss": progress.tallies[""].loss_sum, "num_clips": progress.tallies[""].num_clips}


def alone():
    from omnicli.training.distributed import World
    return train(World(), norm="frozen")


if len(sys.argv) > 1:
    found = alone()
else:
    with join_world("cpu") as world:
        rank = world.rank
        uneven = [slice(0, 7), slice(7, 10)][rank]
        found = {
            "sum": world.sum([rank + 1, 0.5]),
            "gather": world.gather({"rank": rank}),
            "nobody": world.gather_rare([]),
            "one": world.gather_rare(["bad"] if rank == 1 else []),
            "frozen": train(world, norm="frozen", mine=lambda rows: uneven),
            "nothing": train(world, norm="frozen", mine=lambda rows: [slice(0, 10), slice(0, 0)][rank]),
            "live": train(world, mine=lambda rows: slice(rank, None, 2)),
            "stopped": train(world, norm="frozen", stop_after=2 if rank == 1 else None),
        }
        try:
            train(world, norm="frozen", spoil=3 if rank == 1 else None)
        except TrainingDiverged as error:
            found["diverged"] = str(error)
    found["threads"] = [task.read_text().strip() for task in pathlib.Path("/proc/self/task").glob("*/comm")]
print(json.dumps(found), flush=True)
"""


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def found(shell_environment):
    """What both ranks found, and what one process computes alone."""
    base = {**shell_environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    joined = {**base, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = [start({**joined, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
    processes.append(start(base, "alone"))
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0, 0]
    return [json.loads(output) for output in outputs]


def test_sums_and_gathered_items_are_everyones(found):
    for rank in found[:2]:
        assert rank["sum"] == [3.0, 1.0]
        assert rank["gather"] == [{"rank": 0}, {"rank": 1}]
        assert (rank["nobody"], rank["one"]) == ([], ["bad"])


@pytest.mark.parametrize("case", ["frozen", "nothing"])
def test_two_processes_take_the_steps_of_one_however_unevenly_they_share(found, case):
    """The last case: a process that has nothing at all joins every step."""
    first, second, alone = found
    assert first[case]["weights"] == second[case]["weights"]
    assert first[case]["weights"] == pytest.approx(alone["weights"], abs=1e-5)
    assert first[case]["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert first[case]["num_clips"] == alone["num_clips"] == 40


def test_with_live_batch_norm_both_stay_one_model_to_the_last_byte(found):
    first, second, _ = found
    assert first["live"]["weights"] == second["live"]["weights"]
    assert first["live"]["num_clips"] == 40


def test_both_stop_after_the_step_in_which_one_was_asked_to(found):
    for rank in found[:2]:
        assert (rank["stopped"]["finished"], rank["stopped"]["step"]) == (False, 2)


def test_a_loss_that_is_not_finite_stops_both_and_the_one_that_had_it_says_where(found):
    first, second, _ = found
    assert "epoch 1, step 2, records 0, 1, 2" in second["diverged"]
    assert "of another process is not finite" in first["diverged"]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux tells the names of threads")
def test_no_thread_outlives_the_group(found):
    """One that does aborts the process now and then, when the interpreter is taken down under it."""
    for rank in found[:2]:
        assert not [name for name in rank["threads"] if "gloo" in name or "tcpstore" in name]


def test_a_process_alone_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_world("cpu") as world:
        assert (world.rank, world.size, world.is_first) == (0, 1, True)
        assert world.sum([2.5]) == [2.5]
        assert world.gather("a") == ["a"]
        assert world.gather_rare(["a"]) == ["a"]
        model = nn.Linear(1, 1)
        model(torch.ones(1, 1)).sum().backward()
        World().sum_gradients(model)
        assert model.weight.grad.item() == 1.0


def test_several_processes_cannot_share_one_named_gpu(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="a GPU each"), join_world("cuda:0"):
        pass


def test_processes_on_one_machine_share_its_cores():
    assert local_share(16, {"LOCAL_WORLD_SIZE": "8"}) == 2
    assert local_share(2, {"LOCAL_WORLD_SIZE": "8"}) == 1
    assert local_share(16, {}) == 16
