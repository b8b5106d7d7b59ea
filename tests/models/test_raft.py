"""RAFT's flow is that of torchvision's own call."""

import numpy as np
import pytest
import torch
from moving_world import moving_frames
from safetensors.torch import save_file
from torchvision.models.optical_flow import Raft_Small_Weights, raft_small

from omnicli.errors import ModelError
from omnicli.models.raft import RaftFlow, load_raft

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("raft") / "raft.safetensors"
    save_file(raft_small(weights=None).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def network(weights):
    return load_raft("small", weights, CPU)


def torchvisions(network, frames):
    """As its documentation calls it."""
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    one, two = Raft_Small_Weights.DEFAULT.transforms()(images[:-1], images[1:])
    with torch.inference_mode():
        return network(one, two)[-1].permute(0, 2, 3, 1).numpy()


def test_flow_equals_torchvisions_own_call(network):
    frames = moving_frames(4)
    flow = np.stack(list(RaftFlow(network, CPU)(iter(frames))))
    assert flow.shape == (3, 128, 160, 2)
    np.testing.assert_allclose(flow, torchvisions(network, frames), atol=1e-3)


def test_sides_that_the_network_does_not_take_are_padded_by_their_edges(network):
    frames = moving_frames(2, height=100, width=133)
    [flow] = RaftFlow(network, CPU)(iter(frames))
    padded = np.pad(frames, ((0, 0), (0, 28), (0, 3), (0, 0)), mode="edge")
    np.testing.assert_allclose(flow, torchvisions(network, padded)[0, :100, :133], atol=1e-3)


def test_every_pair_has_flow_whatever_is_computed_at_once(network, monkeypatch):
    frames = moving_frames(4, height=128, width=128)
    monkeypatch.setattr("omnicli.models.raft.PAIRS_AT_ONCE", 2)
    flow = np.stack(list(RaftFlow(network, CPU)(iter(frames))))
    np.testing.assert_allclose(flow, torchvisions(network, frames), atol=1e-3)
    assert list(RaftFlow(network, CPU)(iter(frames[:1]))) == []


def test_weights_that_do_not_fit_or_cannot_be_had_are_named(weights):
    with pytest.raises(ModelError, match=r"does not fit RAFT \(large\)"):
        load_raft("large", weights, CPU)
    with pytest.raises(ModelError, match="give them as --weights FILE, or --method dis"):
        load_raft("small", None, CPU)
