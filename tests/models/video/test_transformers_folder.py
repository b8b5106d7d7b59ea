"""Folders of transformers are data: those that ask for code are refused, by file and key."""

import json
import os
import pickle
from pathlib import Path

import huggingface_hub
import pytest
import torch
from tiny_transformers import save_folder
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import ModelError
from omnicli.models.loading import load_model
from omnicli.models.video.transformers_folder import read_folder

CLASSES = ["a", "b", "c"]


class Attack:
    def __reduce__(self):
        return os.system, ("echo attacked > attacked",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_folder(tmp_path / "model", "videomae", CLASSES)
    return tmp_path / "model"


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModelForVideoClassification": "modeling.Attack"}),
        ("trust_remote_code", True),
        ("_attn_implementation", "owner/kernel"),
        ("attn_implementation", "owner/kernel"),
        ("kernel_config", {"kernel_mapping": {"MLP": "owner/kernel:MLP"}}),
        ("quantization_config", {"quant_method": "awq"}),
    ],
)
def test_code_is_refused(folder, file, key, value):
    (folder / "modeling.py").write_text("open('attacked', 'w')")
    edit(folder / file, **{key: value})
    with pytest.raises(ModelError, match=f"{file}: {key} asks for other code"):
        load_model(folder)
    assert not Path("attacked").exists()


def test_a_pickle_with_code_is_refused(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"classifier.weight": Attack()}))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin"):
        load_model(folder)
    assert not Path("attacked").exists()


@pytest.mark.parametrize("option", ["--teacher", "--init"])
@pytest.mark.parametrize("kind", ["auto_map", "trust_remote_code", "pickle"])
def test_a_hostile_repository_of_the_hub_is_66_and_runs_nothing(folder, world, monkeypatch, option, kind):
    (folder / "modeling.py").write_text("open('attacked', 'w')")
    if kind == "pickle":
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"classifier.weight": Attack()}))
    else:
        edit(folder / "config.json", **{kind: {"AutoModelForVideoClassification": "modeling.Attack"}})
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *given, **named: str(folder))
    clips = str(world / "target" / "train")
    words = {"--teacher": ["filter", clips], "--init": ["teacher-train", clips, "--lr", "0.1", "-o", "t.pth"]}
    result = CliRunner().invoke(app, [*words[option], option, "hf-hub:owner/name"])
    assert result.exit_code == 66, (result.stderr, result.exception)
    says = {"pickle": "pytorch_model.bin"}.get(kind, f"config.json: {kind} asks for other code")
    assert says in result.stderr and result.stdout == ""
    assert not Path("attacked").exists() and not Path("t.pth").exists()


def test_a_pickle_of_tensors_is_read(folder):
    before = load_model(folder).network
    clips = torch.randn(1, 3, 4, 32, 32)
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with torch.no_grad():
        assert torch.equal(load_model(folder).network(clips), before(clips))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model_type": "bert"}, "model_type 'bert'; expected one of videomae"),
        ({"hidden_size": "x"}, "no transformers-videomae can be built"),
        ({"hidden_act": "os.system"}, "no transformers-videomae can be built"),
        ({"hidden_size": 32}, "does not fit transformers-videomae"),
        ({"id2label": {"0": "a", "2": "b"}}, "id2label does not map 0, 1"),
    ],
)
def test_a_damaged_configuration_is_named(folder, changes, says):
    edit(folder / "config.json", **changes)
    with pytest.raises(ModelError, match=says):
        load_model(folder)


def test_an_adapter_and_a_broken_json_are_named(folder):
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds an adapter"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json: not valid JSON"):
        load_model(folder)


def test_offset_of_vivit_is_part_of_the_mean(folder):
    edit(folder / "preprocessor_config.json", offset=True, rescale_factor=1 / 127.5, image_mean=[0.5] * 3,
         image_std=[0.5] * 3)  # fmt: skip
    config = read_folder(folder).config
    assert config.mean == pytest.approx((191.25,) * 3)  # (x / 127.5 - 1 - 0.5) / 0.5
    assert config.std == pytest.approx((63.75,) * 3)


def test_numbered_classes_are_none_and_the_licence_is_the_cards(folder):
    edit(folder / "config.json", id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    read = read_folder(folder)
    assert (read.classes, read.config.licence, read.num_classes) == (None, "apache-2.0", 3)
    with pytest.raises(ModelError, match="names no classes; --classes FILE"):
        load_model(folder)
    assert load_model(folder, classes=["x", "y", "z"]).classes == ("x", "y", "z")
