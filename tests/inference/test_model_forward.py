"""A forward pass normalises views, and names the passes that its outputs come from."""

from dataclasses import replace

import numpy as np
import torch

from omnicli.data.transforms import normalise
from omnicli.inference import compiled
from omnicli.inference.compiled import with_compiler
from omnicli.inference.model_forward import ModelForward, variants_of
from omnicli.inference.predictor import forward_of
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.tsn import TSN

SPEC = ModelSpec(
    name="small", classes=("a", "b"), mean=(10.0, 20.0, 30.0), std=(2.0, 3.0, 4.0), short_side=4, crop_size=4
)
NETWORK = TSN(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 4), torch.nn.Flatten()), 3, 2).eval()
MODEL = LoadedModel(NETWORK, SPEC, 1.0, "", "small.pth", torch.device("cpu"), torch.float32)
VIEWS = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (5, 1, 4, 4, 3), dtype=np.uint8))


def test_views_are_normalised_as_the_model_takes_them():
    clips = normalise(VIEWS, mean=SPEC.mean, std=SPEC.std, dtype=torch.float32, device=MODEL.device)
    with torch.inference_mode():
        assert torch.equal(ModelForward(NETWORK, MODEL)(VIEWS), NETWORK(clips))


def test_a_pass_that_is_not_compiled_is_its_own_variant():
    forward = forward_of(NETWORK, MODEL)
    assert variants_of(forward) == [forward]
    assert variants_of(torch.relu) == [torch.relu]


def test_the_variants_of_a_compiled_pass_are_the_same_objects_at_every_call(monkeypatch):
    monkeypatch.setattr(compiled, "AFTER_SEC", 0.0)
    monkeypatch.setattr(compiled, "compile_function", lambda function, clips: lambda clips: 1.001 * function(clips))
    monkeypatch.setattr(compiled, "TOLERANCE", {torch.float32: 0.1})
    ready = with_compiler(replace(MODEL), "auto")
    forward = forward_of(ready.network, ready)
    [before] = variants_of(forward)
    with torch.inference_mode():
        forward(VIEWS)
        network, program = variants_of(forward)
        assert [*variants_of(forward)] == [network, program]
        assert network is before
        assert torch.equal(program(VIEWS), 1.001 * network(VIEWS))
