"""Published models: found by every name, and nothing in their files runs."""

import json
import pickle
import shutil

import pytest
import torch
from made_clip import CLIP, SIGLIP, SQUASH, TEXT, new_network, published, write_config

from omnicli.errors import ModelError, UsageError
from omnicli.models.clip.published import open_published

open_clip = pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (exec, (f"open({str(self.path)!r}, 'w').close()",))


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """A small model in open_clip's registry."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    (tmp_path / "Tiny-Sigmoid.json").write_text(json.dumps(SIGLIP))
    open_clip.add_model_config(tmp_path / "Tiny-Sigmoid.json")
    return "Tiny-Sigmoid"


def same(network, other):
    left, right = network.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_a_folder_gives_weights_preprocessing_and_licence(tmp_path):
    folder = published(tmp_path / "Tiny-CLIP", "siglip", licence="mit")
    found = open_published(str(folder))
    assert same(found.network, new_network(SIGLIP))
    assert not found.network.training
    assert (found.name, found.licence, found.source) == ("Tiny-CLIP", "mit", str(folder))
    assert {name: found.preprocessing[name] for name in SQUASH} == SQUASH
    assert found.tower == {"embed_dim": 16, "vision_cfg": SIGLIP["vision_cfg"]}
    assert found.tokenize(["archery"]).shape == (1, TEXT["context_length"])


def test_a_file_of_weights_in_such_a_folder_is_its_model(tmp_path):
    folder = published(tmp_path / "Tiny")
    torch.save({"state_dict": {f"module.{k}": v for k, v in new_network(CLIP, seed=1).state_dict().items()}},
               folder / "epoch_2.pt")  # fmt: skip
    assert same(open_published(str(folder / "epoch_2.pt")).network, new_network(CLIP, seed=1))


def test_a_model_of_the_registry_takes_a_file_of_weights(tmp_path, registered):
    torch.save(new_network(SIGLIP, seed=2).state_dict(), tmp_path / "weights.pt")
    found = open_published(f"{registered}:{tmp_path / 'weights.pt'}")
    assert same(found.network, new_network(SIGLIP, seed=2)) and found.name == registered


def test_a_file_of_weights_is_prepared_as_the_published_weights_of_its_model(tmp_path, registered, monkeypatch):
    torch.save(new_network(SIGLIP).state_dict(), tmp_path / "weights.pt")
    theirs = open_clip.get_pretrained_cfg("ViT-B-16-SigLIP2", "webli")
    tags = {"a": dict(theirs), "b": dict(theirs)}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda name: [*tags])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: tags[tag])
    given = f"{registered}:{tmp_path / 'weights.pt'}"
    wanted = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bicubic", "resize_mode": "squash"}
    found = open_published(given).preprocessing
    assert {key: found[key] for key in wanted} == wanted
    tags["c"] = {**theirs, "mean": (0.0, 0.0, 0.0)}
    with pytest.warns(UserWarning, match="published weights of Tiny-Sigmoid differ in preprocessing; taken is mean"):
        found = open_published(given).preprocessing
    assert {key: found[key] for key in wanted} == wanted


def test_a_repository_of_the_hub_is_such_a_folder(tmp_path, monkeypatch):
    folder = published(tmp_path / "Tiny", licence="mit")

    def download(repository, filename="open_clip_model.safetensors", **options):
        assert repository == "someone/Tiny-CLIP"
        return str(folder / filename)

    for place in (open_clip.pretrained, open_clip.factory):
        monkeypatch.setattr(place, "download_pretrained_from_hf", download)
    found = open_published("hf-hub:someone/Tiny-CLIP")
    assert same(found.network, new_network(CLIP))
    assert (found.name, found.licence, found.source) == ("Tiny-CLIP", "mit", "hf-hub:someone/Tiny-CLIP")


def test_a_tag_gives_the_preprocessing_and_activation_of_its_weights(tmp_path, registered, monkeypatch):
    torch.save(new_network(SIGLIP).state_dict(), tmp_path / "weights.pt")
    tag = {"hf_hub": "someone/tiny/", **SQUASH, "quick_gelu": True}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag_: tag)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: str(tmp_path / "weights.pt"))
    found = open_published(f"{registered}:webli")
    assert found.preprocessing["resize_mode"] == "squash" and found.tower["quick_gelu"] is True


def test_the_names_of_the_families_are_known_and_say_how_to_go_on_offline(tmp_path):
    for name in ("ViT-B-16-SigLIP2:webli", "ViT-B-16-SigLIP:webli", "MobileCLIP-S1:datacompdr",
                 "ViT-B-16-quickgelu:dfn2b", "ViT-B-32-quickgelu:openai"):  # fmt: skip
        with pytest.raises(ModelError, match=r"cannot be downloaded .*give a folder with open_clip_config.json"):
            open_published(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-model:webli", "open_clip has no model 'no-such-model'"),
        ("ViT-B-16-SigLIP2:laion", "no such file or tag; open_clip has webli"),
        ("ViT-B-16-SigLIP2", "no such file or tag; open_clip has webli"),
    ],
)
def test_unknown_names_are_usage_errors(name, message):
    with pytest.raises(UsageError, match=message):
        open_published(name)


@pytest.mark.parametrize("protocol", ["zip", "plain"])
def test_weights_that_hold_code_are_refused(tmp_path, protocol):
    folder = published(tmp_path / "Tiny")
    (folder / "open_clip_model.safetensors").unlink()
    mark = tmp_path / "ran"
    if protocol == "zip":
        torch.save({"state_dict": {"logit_scale": Bomb(mark)}}, folder / "pytorch_model.bin")
    else:
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"logit_scale": Bomb(mark)}))
    with pytest.raises(ModelError):
        open_published(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"vision_cfg": {"timm_model_name": "local-dir:/tmp/evil", "image_size": 32}},
        {"text_cfg": {**TEXT, "hf_model_name": "evil/model", "hf_proj_type": "mlp"}},
        {"text_cfg": {**TEXT, "hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}}},
        {"text_cfg": {**TEXT, "hf_tokenizer_name": "x", "tokenizer_kwargs": {"code_revision": "main"}}},
        {"multimodal_cfg": {}},
    ],
)
def test_a_configuration_that_names_programs_is_refused(tmp_path, change):
    folder = published(tmp_path / "Tiny")
    write_config(folder, {**CLIP, **change})
    with pytest.raises(ModelError):
        open_published(str(folder))


def test_a_tokenizer_with_a_program_is_not_run(tmp_path):
    """``auto_map`` names a class in the folder, which transformers runs if it is told to trust it."""
    pytest.importorskip("transformers")
    folder = published(tmp_path / "Tiny")
    write_config(folder, {**CLIP, "text_cfg": {**TEXT, "hf_tokenizer_name": "x"}})
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass Evil: pass\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}))
    with pytest.raises(ModelError, match="its tokenizer cannot be read"):
        open_published(str(folder))
    assert not mark.exists()


def test_incomplete_folders_say_what_is_missing(tmp_path):
    folder = published(tmp_path / "Tiny")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no weights; expected open_clip_model.safetensors"):
        open_published(str(folder))
    shutil.rmtree(folder)
    folder = published(tmp_path / "Tiny")
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(ModelError, match=r"--clip MODEL:open_clip_model.safetensors"):
        open_published(str(folder))
    (folder / "open_clip_config.json").write_text("[]")
    with pytest.raises(ModelError, match="not a configuration of open_clip"):
        open_published(str(folder))


def test_weights_of_another_model_are_refused(tmp_path):
    folder = published(tmp_path / "Tiny")
    write_config(folder, {**CLIP, "embed_dim": 8})
    with pytest.raises(ModelError, match="does not fit the model"):
        open_published(str(folder))
