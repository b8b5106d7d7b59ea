"""Checkpoints loaded for inference."""

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from omnicli.errors import ModelError
from omnicli.models.checkpoint import load_any, plain_tensors, save_checkpoint
from omnicli.models.content import digest_of_backbone
from omnicli.models.factory import create_model
from omnicli.models.loading import load_extractor, load_model


def test_a_loaded_model_has_all_that_scoring_needs(teacher, world):
    loaded = load_model(teacher)
    assert list(loaded.classes) == sorted(loaded.classes)
    assert len(loaded.classes) == 4
    assert loaded.temperature == 1.0  # too few clips to fit one
    assert loaded.sha256 == load_any(teacher).sha256
    assert not loaded.network.training
    assert loaded.spec.crop_size == 64


def test_weights_of_features_may_be_on_the_hub(tmp_path, monkeypatch):
    network = create_model("tsn-resnet10t", num_classes=1)
    save_file(plain_tensors(network.backbone.state_dict()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "resnet10t"}')
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **given: str(tmp_path))
    loaded = load_extractor("resnet10t", "hf-hub:timm/resnet10t.c3_in1k")
    assert loaded.backbone_content == digest_of_backbone(network.backbone, loaded.spec)


def test_precision_is_that_of_the_backbone_only(teacher):
    loaded = load_model(teacher, torch.device("cpu"), torch.bfloat16)
    assert {p.dtype for p in loaded.network.backbone.parameters()} == {torch.bfloat16}
    assert loaded.network.fc.weight.dtype == torch.float32


@pytest.mark.parametrize("temperature", [0, -1.0, "hot"])
def test_an_invalid_temperature_is_damage(teacher, tmp_path, temperature):
    whole = load_any(teacher)
    save_checkpoint(tmp_path / "a.pth", meta={**whole.meta, "temperature": temperature}, state_dict=whole.state_dict)
    with pytest.raises(ModelError, match="temperature"):
        load_model(tmp_path / "a.pth")


def test_the_stored_temperature_is_applied(teacher, tmp_path):
    whole = load_any(teacher)
    save_checkpoint(tmp_path / "a.pth", meta={**whole.meta, "temperature": 2.5}, state_dict=whole.state_dict)
    assert load_model(tmp_path / "a.pth").temperature == 2.5
