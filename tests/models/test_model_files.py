"""Checkpoints in files, in folders and on the hub."""

from pathlib import Path

import huggingface_hub
import pytest
import torch

from omnicli.errors import ModelError, UsageError
from omnicli.models.checkpoint import save_checkpoint, save_safetensors
from omnicli.models.model_files import digest_of_model, is_model_folder, local_path, needed_extra, weight_files


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub whose only model lies in ``tmp_path``."""

    def snapshot_download(repository, *, allow_patterns, local_files_only):
        assert repository == "owner/name"
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return tmp_path


def test_a_name_on_the_hub_is_its_folder_or_its_only_file(hub):
    (hub / "tsn.pth").write_bytes(b"x")
    assert local_path("hf-hub:owner/name") == hub / "tsn.pth"
    assert digest_of_model(Path("hf-hub:owner/name")) == digest_of_model(hub / "tsn.pth")
    (hub / "config.json").write_text("{}")
    assert local_path("hf-hub:owner/name") == hub


def test_a_repository_of_timm_is_its_file_of_weights(hub):
    (hub / "model.safetensors").write_bytes(b"x")
    (hub / "config.json").write_text('{"architecture": "resnet50", "num_classes": 1000, "pretrained_cfg": {}}')
    assert local_path("hf-hub:owner/name") == hub / "model.safetensors"


def test_several_checkpoints_are_not_guessed_among(hub):
    for name in ("a.pth", "b.pth"):
        (hub / name).write_bytes(b"x")
    with pytest.raises(ModelError, match="2 files of weights"):
        local_path("hf-hub:owner/name")


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:name", "hf-hub:a/b/c"])
def test_other_spellings_are_refused(name):
    with pytest.raises(UsageError, match="expected hf-hub:OWNER/NAME"):
        local_path(name)


def test_what_cannot_be_downloaded_is_said():
    with pytest.raises(ModelError, match="hf-hub:owner/none: cannot be downloaded"):
        local_path("hf-hub:owner/none")


def test_the_digest_of_a_folder_is_that_of_configuration_and_weights(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no weights; expected model"):
        weight_files(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"1")
    assert is_model_folder(tmp_path)
    before = digest_of_model(tmp_path)
    (tmp_path / "README.md").write_text("x")
    assert digest_of_model(tmp_path) == before
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert digest_of_model(tmp_path) != before


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"a\.pth: no such file"):
        digest_of_model(tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_the_library_of_a_checkpoint_is_known_from_its_first_bytes(tmp_path, name):
    save = save_safetensors if name.endswith(".safetensors") else save_checkpoint
    for architecture, extra in (("clip-x", "clip"), ("transformers-vivit", "transformers"), ("tsn-resnet18", None)):
        meta = {"model": {"name": architecture, "classes": ["clip-a"]}, "temperature": None}
        save(tmp_path / name, meta=meta, state_dict={"fc.bias": torch.zeros(1)})
        assert needed_extra(tmp_path / name) == extra


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"\xff" * 100, b"\0" * 7])
def test_damaged_files_need_no_library(tmp_path, content):
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        assert needed_extra(tmp_path / name) is None
    assert needed_extra(tmp_path / "gone.pth") is None
