"""Where a training runs: precision of the forward pass, and defaults."""

import pytest
import torch

from omnicli.cpus import available_cores
from omnicli.training.context import TrainingContext


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_autocast_computes_in_the_precision_and_leaves_float32_alone(precision):
    model = torch.nn.Linear(3, 2)
    with TrainingContext(precision=precision).autocast():
        assert model(torch.ones(1, 3)).dtype is precision
    assert model.weight.dtype is torch.float32


def test_by_default_one_process_trains_on_the_cpu_with_all_cores_and_never_stops():
    context = TrainingContext()
    assert (context.device.type, context.world.size, context.workers) == ("cpu", 1, available_cores())
    assert not context.should_stop()
