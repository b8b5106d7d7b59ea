"""SlowFast: the frames of each pathway, and the order of fusion."""

import pytest
import torch

from omnicli.models.slowfast import SLOWFAST_CONFIGS, SlowFast, subsample_frames


def test_nearest_neighbour_subsampling_takes_every_tau_th_frame_from_the_first():
    clips = torch.arange(32.0).view(1, 1, 32, 1, 1)
    assert subsample_frames(clips, 8).flatten().tolist() == [0, 8, 16, 24]
    assert subsample_frames(clips, 1) is clips


@pytest.mark.parametrize(("name", "slow", "kernel"), [("slowfast-r50", 4, 5), ("slowfast-r50-8x8", 8, 7)])
def test_each_pathway_gets_its_frames(name, slow, kernel):
    with torch.device("meta"):
        model = SlowFast(SLOWFAST_CONFIGS[name])
        seen = {}
        for path in ("slow_path", "fast_path"):
            model.get_submodule(path).layer4.register_forward_hook(
                lambda module, inputs, output, path=path: seen.update({path: tuple(output.shape[1:3])})
            )
        assert model(torch.empty(1, 3, 32, 64, 64)).shape == (1, 2304)
    assert seen == {"slow_path": (2048, slow), "fast_path": (256, 32)}
    assert model.slow_path.conv1_lateral.weight.shape == (16, 8, kernel, 1, 1)


@torch.no_grad()
def test_features_of_the_fast_pathway_come_first():
    model = SlowFast(SLOWFAST_CONFIGS["slowfast-r50"]).eval()
    clips = torch.randn(1, 3, 32, 32, 32)
    before = model(clips)
    model.slow_path.layer4[2].bn3.bias += 1  # after fusion: only the slow pathway's features may move
    after = model(clips)
    assert torch.equal(before[:, :256], after[:, :256])
    assert (before[:, 256:] != after[:, 256:]).any()


@torch.no_grad()
def test_lateral_channels_come_after_the_slow_ones():
    model = SlowFast(SLOWFAST_CONFIGS["slowfast-r50"]).eval()
    entrances = []
    model.slow_path.layer1.register_forward_pre_hook(lambda module, inputs: entrances.append(inputs[0]))
    clips = torch.randn(1, 3, 32, 32, 32)
    model(clips)
    assert torch.equal(entrances[0][:, :64], model.slow_path.stem(subsample_frames(clips, 8)))
    assert torch.equal(entrances[0][:, 64:], model.slow_path.conv1_lateral(model.fast_path.stem(clips)))
