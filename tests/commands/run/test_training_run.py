"""Metrics are printed, and written to TensorBoard if it is installed."""

import sys

import pytest

from omnicli.commands.run.training_run import drawing_in, shown_metrics
from omnicli.errors import UsageError


def test_metrics_are_shown_in_percent():
    assert shown_metrics({}) == "no epoch yet"
    shown = shown_metrics({"epoch": 1, "train_top1_acc": 0.5, "val_mean_ap": 0.25})
    assert shown == "epoch 1, train top-1 50.0 %, val mAP 25.0 %"
    shown = shown_metrics({"epoch": 2, "val_top1_acc": 0.25, "val_view": "3 segments, bfloat16"})
    assert shown == "epoch 2, val top-1 25.0 % (3 segments, bfloat16)"


def test_without_a_folder_nothing_is_drawn():
    with drawing_in(None) as draw:
        draw({"epoch": 0})


def test_a_missing_tensorboard_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match=r"pip install 'omnicli\[tensorboard\]'"), drawing_in(tmp_path):
        pass


def test_every_number_of_every_source_is_a_curve(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with drawing_in(tmp_path / "tb") as draw:
        for epoch in range(2):
            draw({"epoch": epoch, "source": "gg", "train_loss": 1.0 - epoch / 2})
            draw({"epoch": epoch, "source": "target", "train_loss": 0.5, "val_top1_acc": 0.25, "val_view": "x"})
    read = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert set(read.Tags()["scalars"]) == {"gg/train_loss", "target/train_loss", "target/val_top1_acc"}
    assert [(event.step, event.value) for event in read.Scalars("gg/train_loss")] == [(0, 1.0), (1, 0.5)]
