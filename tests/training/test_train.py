"""One training of teachers and students; ``tests/stages`` runs whole ones."""

from dataclasses import replace

import pytest
from torch import nn
from toy_training import make_run

from omnicli.models.checkpoint import load_any
from omnicli.models.factory import model_spec
from omnicli.training.train import measure_epoch


class Measured:
    """A validator of given results."""

    def __init__(self, *accuracies):
        self.accuracies = iter(accuracies)

    def metrics(self, *, multi_label):
        return {"mean_ap" if multi_label else "top1_acc": next(self.accuracies)}


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_best_epoch_is_saved_the_earlier_of_equal_ones(tmp_path, multi_label):
    run = make_run(nn.Linear(1, 2), tmp_path / "a.pth")
    spec = replace(model_spec("tsn-resnet10t", classes=["a", "b"]), multi_label=multi_label)
    validator = Measured(0.5, 0.75, 0.75, 0.25)
    for epoch in range(4):
        run.progress.epoch = epoch
        measure_epoch(run, validator=validator, spec=spec)
    metrics = load_any(tmp_path / "a.best.pth").meta["metrics"]
    assert metrics == {"epoch": 1, "val_mean_ap" if multi_label else "val_top1_acc": 0.75}
