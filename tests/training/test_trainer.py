"""A training that is stopped anywhere and goes on: the same weights, the same metric lines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toy_training import PointInputs, make_run, step_of

from omnicli.data.dataloader import DrawnExample, Example, StepBatch, epoch_order
from omnicli.errors import Interrupted, ModelError, UsageError
from omnicli.models.checkpoint import read_torch_file, write_torch_file
from omnicli.streams.record import Record
from omnicli.training.distributed import World
from omnicli.training.loop import TrainingDiverged, _report_bad, train_epochs
from omnicli.training.objective import Objective
from omnicli.training.optim import Schedule
from omnicli.training.saved_state import forget_state, state_path
from omnicli.training.trainer import TrainingRun, UnopenedMedia, digest_of_lines, left_out_before

EXAMPLES = [Example(Record({"id": str(index)}), index % 2) for index in range(10)]
EPOCHS = 3


def steps_of(epoch):
    order = epoch_order(len(EXAMPLES), seed=0, stage="s", epoch=epoch)
    for start in range(0, len(EXAMPLES), 4):
        chosen = [EXAMPLES[index] for index in order[start : start + 4]]
        points = torch.tensor([[int(example.record["id"]), example.label * 2 - 1] for example in chosen]).float()
        bad = ((DrawnExample(EXAMPLES[3], 0, (0, 3)), "empty file"),) if epoch == 1 and start == 4 else ()
        labels = torch.tensor([example.label for example in chosen])
        yield step_of(points, labels, [example.id for example in chosen], bad=bad)


def make_training(out: Path, *, should_stop=lambda: False, options=None) -> TrainingRun:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    return make_run(
        model, out, weight_decay=1e-4, schedule=Schedule("cosine", EPOCHS), lr=0.05, steps_per_epoch=3, stage="s",
        options=options or {"omni": "1", "lr": 0.05}, should_stop=should_stop,
    )  # fmt: skip


def run(training, *, measure=lambda training: {}, reported=None, to_device=None):
    """Metric records without seconds; ``to_device`` replaces that of the inputs."""
    reported = [] if reported is None else reported
    inputs = PointInputs(training.model, steps_of)
    inputs.to_device = to_device or inputs.to_device
    lines = train_epochs(
        training, inputs, Objective(num_classes=2), measure=measure,
        on_bad=lambda example, why: reported.append(example.id),
    )  # fmt: skip
    made = []
    try:
        made.extend({name: value for name, value in line.items() if name != "seconds"} for line in lines)
    except Interrupted:
        made.append("stopped")
    return made


def weights(training):
    return [tensor.clone() for tensor in training.model.state_dict().values()]


@pytest.fixture
def whole(tmp_path):
    training = make_training(tmp_path / "whole.pth")
    return run(training), weights(training)


@pytest.mark.parametrize("stop_after", range(1, 3 * EPOCHS))
def test_stopped_after_any_step_it_goes_on_bit_for_bit(tmp_path, whole, stop_after):
    out = tmp_path / "a.pth"
    steps = iter(range(1, 100))
    reported: list[str] = []
    first = make_training(out, should_stop=lambda: next(steps) == stop_after)
    assert run(first, reported=reported)[-1] == "stopped"
    torch.rand(5)
    again = make_training(out)
    assert again.resume()
    assert run(again, reported=reported) == whole[0]
    assert all(torch.equal(a, b) for a, b in zip(weights(again), whole[1], strict=True))
    assert reported == ["3"]
    assert again.bad == {(0, 3): "empty file"}


def test_stopped_while_measuring_it_measures_again_and_goes_on(tmp_path, whole):
    out = tmp_path / "a.pth"

    def stopped(training):
        if training.progress.epoch == 1:
            raise Interrupted("stopped while reading")
        return {}

    run(make_training(out), measure=stopped)
    again = make_training(out)
    again.resume()
    assert run(again) == whole[0]
    assert all(torch.equal(a, b) for a, b in zip(weights(again), whole[1], strict=True))


def test_lines_of_finished_epochs_come_again(tmp_path):
    out = tmp_path / "a.pth"
    first = run(make_training(out))
    again = make_training(out)
    again.resume()
    assert run(again) == first
    assert [line["epoch"] for line in first] == [0, 1, 2]


def test_without_a_state_nothing_is_resumed_and_it_can_be_forgotten(tmp_path):
    training = make_training(tmp_path / "a.pth")
    assert not training.resume()
    training.save()
    assert state_path(tmp_path / "a.pth").name == ".a.pth.state"
    forget_state(tmp_path / "a.pth")
    assert not training.resume()


def test_what_was_left_out_at_the_beginning_is_known_as_long_as_there_is_a_state(tmp_path):
    out = tmp_path / "a.pth"
    assert left_out_before(out, World(), "d") == UnopenedMedia()
    training = make_training(out, options={"data": "d"})
    training.left_out = UnopenedMedia({"target": {0: "empty file", 7: "no such file"}, "val": {}})
    training.save()
    assert left_out_before(out, World(), "d") == replace(training.left_out, is_known=True)
    assert left_out_before(out, World(), "other data") == UnopenedMedia()
    assert left_out_before(out, World(), "d", "other labels") == UnopenedMedia()
    write_torch_file(state_path(out), {"format": "another"})
    assert left_out_before(out, World(), "d") == UnopenedMedia()


@pytest.mark.parametrize(
    ("options", "says"),
    [({"omni": "1", "lr": 0.1}, "lr = 0.05, now 0.1"), ({"omni": "2", "lr": 0.1}, "lr = 0.05, now 0.1")],
)
def test_a_state_of_other_options_is_refused_by_name(tmp_path, options, says):
    make_training(tmp_path / "a.pth").save()
    with pytest.raises(UsageError, match=says):
        make_training(tmp_path / "a.pth", options=options).resume()


def test_a_damaged_state_is_refused(tmp_path):
    path = state_path(tmp_path / "a.pth")
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match="state"):
        make_training(tmp_path / "a.pth").resume()
    write_torch_file(path, {"format": "something else"})
    with pytest.raises(UsageError, match="--no-resume"):
        make_training(tmp_path / "a.pth").resume()


def test_a_diverged_training_leaves_the_last_state_and_no_checkpoint(tmp_path):
    out = tmp_path / "a.pth"
    training = make_training(out)
    training.save()
    before = state_path(out).read_bytes()

    with pytest.raises(TrainingDiverged, match="epoch 2, step 1"):
        run(training, to_device=lambda batch: batch.clips * (float("nan") if training.progress.epoch == 1 else 1.0))
    assert state_path(out).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [".a.pth.state"]


def test_the_state_holds_nothing_but_data(tmp_path):
    training = make_training(tmp_path / "a.pth")
    run(training)
    content, _ = read_torch_file(state_path(tmp_path / "a.pth"))
    assert [line["epoch"] for line in content["history"]] == [0, 1, 2]


def test_the_learning_rate_follows_the_schedule_inside_an_epoch(tmp_path):
    training = make_training(tmp_path / "a.pth")
    rates = [training.lr_at(epoch, step) for epoch in range(EPOCHS) for step in range(3)]
    assert rates == pytest.approx([0.05 * 0.5 * (1 + np.cos(np.pi * k / 9)) for k in range(9)])


def test_a_data_sets_digest_knows_its_lines_and_their_order():
    a, b = b'{"id":"a"}\n', b'{"id":"b"}\n'
    assert digest_of_lines([a, b]) == digest_of_lines([a, b])
    assert len({digest_of_lines(lines) for lines in ([a], [a, b], [b, a])}) == 3


def test_a_clip_found_bad_twice_is_reported_once(tmp_path):
    reported: list[str] = []
    training = make_training(tmp_path / "a.pth")
    found = ((DrawnExample(EXAMPLES[3], 0, (0, 3)), "empty file"),)
    again = [StepBatch((replace(step.parts[0], bad=found),)) for step in steps_of(0)]
    list(_report_bad(training, again, lambda example, why: reported.append(example.id)))
    assert reported == ["3"]


def test_inside_a_long_epoch_the_state_is_saved_and_a_dead_machine_costs_no_more(tmp_path, whole, monkeypatch):
    monkeypatch.setattr("omnicli.training.trainer.SAVE_INSIDE_SEC", 0.0)
    out = tmp_path / "a.pth"
    steps = iter(range(100))

    def dies(batch):
        if next(steps) == 5:
            raise KeyboardInterrupt
        return batch.clips

    with pytest.raises(KeyboardInterrupt):
        run(make_training(out), to_device=dies)
    again = make_training(out)
    assert again.resume()
    assert (again.progress.epoch, again.progress.step) == (1, 2)
    assert run(again) == whole[0]
    assert all(torch.equal(a, b) for a, b in zip(weights(again), whole[1], strict=True))


def test_a_process_that_dies_inside_a_step_leaves_the_state_before_it(tmp_path, whole, monkeypatch):
    """Half a step is in the metrics and the batch statistics, and would be taken again."""
    out = tmp_path / "a.pth"
    steps = iter(range(100))

    def exchange(self, model):
        if next(steps) == 4:
            raise Interrupted("process 1 is gone")

    with monkeypatch.context() as patched:
        patched.setattr("omnicli.training.trainer.SAVE_SEC", 0.0)
        patched.setattr(World, "sum_gradients", exchange)
        assert run(make_training(out))[-1] == "stopped"
    again = make_training(out)
    assert again.resume()
    assert (again.progress.epoch, again.progress.step) == (1, 0)
    assert run(again) == whole[0]
    assert all(torch.equal(a, b) for a, b in zip(weights(again), whole[1], strict=True))


def test_what_numbers_the_examples_is_in_their_key_and_nothing_else(tmp_path):
    options = {"data": "d", "seed": 0, "calibrate": True, "lr": 0.1}
    training = make_training(tmp_path / "a.pth", options=options)
    key = training.examples_key
    assert replace(training, options={**options, "lr": 0.2}).examples_key == key
    changes: list[dict[str, Any]] = [{"options": {**options, name: "other"}} for name in ("data", "seed", "calibrate")]
    changes += [{"labels": "other"}, {"left_out": UnopenedMedia({"target": {3: "empty file"}})}]
    assert len({key, *(replace(training, **change).examples_key for change in changes)}) == 1 + len(changes)
