"""Checkpoints in files, in folders and on the hub."""

from pathlib import Path

import huggingface_hub
import pytest

from omnicli.errors import ModelError, UsageError
from omnicli.models.model_files import digest_of_model, is_model_folder, local_path, weight_files


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
