"""Models of flow are described by their checkpoints, and recognised in those of mmaction2."""

import json

import pytest
import torch

from omnicli.errors import UsageError
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import ModelSpec, create_model, model_spec
from omnicli.models.flow_spec import check_takes_flow, flow_spec, pairs_in
from omnicli.models.loading import load_model
from omnicli.models.weight_names import from_omni

CLASSES = ("left", "right")


@pytest.mark.parametrize("name", ["slowfast-r50", "tsm-resnet18", "clip-ViT-B-32"])
def test_models_of_two_pathways_of_shifts_and_of_texts_take_no_flow(name):
    with pytest.raises(UsageError, match=f"--modality flow: {name} takes RGB"):
        check_takes_flow(name)
    check_takes_flow("slowonly-r50")


@pytest.mark.parametrize(("name", "pairs"), [("tsn-resnet18", 5), ("tsn-resnet18", 3), ("i3d-r50", 1)])
def test_a_flow_checkpoint_of_mmaction2_gives_its_scores(name, pairs, tmp_path):
    model = create_model(name, num_classes=2, flow_pairs=pairs).eval()
    path = tmp_path / "flow.pth"
    torch.save({"meta": {}, "state_dict": from_omni(model.state_dict(), "mmaction2")}, path)
    loaded = load_model(path, classes=CLASSES)
    assert (loaded.spec.name, loaded.spec.modality, loaded.spec.mean, loaded.spec.std) == (
        name, "flow", (128.0,) * 3, (128.0,) * 3,
    )  # fmt: skip
    assert loaded.spec.flow_pairs == pairs
    clips = torch.randn(2, 3, 3 * pairs if name.startswith("tsn") else 8, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.network(clips), model(clips), atol=1e-3, rtol=1e-3)


def test_our_checkpoint_says_that_it_takes_flow_and_one_of_rgb_is_as_it_was(tmp_path):
    spec = flow_spec(model_spec("tsn-resnet10t", classes=CLASSES), 4)
    model = create_model(spec.name, num_classes=2, flow_pairs=spec.flow_pairs)
    save_checkpoint(
        tmp_path / "a.pth", meta={"model": spec.to_meta(), "temperature": None}, state_dict=model.state_dict()
    )
    assert load_model(tmp_path / "a.pth").spec == spec
    rgb = model_spec("tsn-resnet10t", classes=CLASSES)
    assert "modality" not in rgb.to_meta()
    assert ModelSpec.from_meta(json.loads(json.dumps(rgb.to_meta()))) == rgb
    assert rgb.signature in spec.signature != rgb.signature


@pytest.mark.parametrize("shape", [(), (5,), (64, 10)])
def test_a_first_layer_that_is_none_takes_no_flow(shape):
    assert pairs_in({"backbone.conv1.weight": torch.zeros(shape)}) == 0
