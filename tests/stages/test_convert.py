"""Checkpoints in other formats and back: the same weights, the same logits, the same bytes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from small_models import FAMILIES, small_model

from omnicli.errors import ModelError, UsageError
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import load_any, load_weights, save_checkpoint
from omnicli.models.factory import create_model, model_spec
from omnicli.models.import_weights import infer_name
from omnicli.models.loading import OpenedModel, load_model, open_model
from omnicli.models.mmaction2 import mmaction2_model
from omnicli.models.resnet3d_configs import RESNET3D_CONFIGS
from omnicli.models.slowfast import SLOWFAST_CONFIGS
from omnicli.models.weight_names import from_omni, is_tsm, to_omni
from omnicli.stages.convert import check_has_place, convert, describe, is_ours, named_for, what_stays_behind

CLASSES = ["archery", "żeglarstwo", "rock climbing"]
THERE_AND_BACK = [
    *((name, "mmaction2") for name in ("tsn-resnet18", "tsm-resnet18", "tsn-resnet10t", "tsn-mobilenetv2_035")),
    *((name, "mmaction") for name in ("tsn-resnet18", "tsm-resnet18")),
    *((name, "safetensors") for name in ("tsn-resnet10t", "tsm-resnet18")),
    ("ircsn-r50", "mmaction2"),
]
ELSEWHERE = [
    *RESNET3D_CONFIGS, *SLOWFAST_CONFIGS, "tsn-resnet50", "tsn-resnet101", "tsm-resnet50", "tsm-resnet101",
    "tsn-resnet10t", "tsn-tf_efficientnet_b0", "tsn-densenet121", "tsn-torchvision.densenet121",
]  # fmt: skip


def save_ours(path, name, *, temperature=1.7, seed=0):
    """A checkpoint as training writes it, of a model with weights in which a swap shows."""
    spec = model_spec(name, classes=CLASSES, dropout=0.3)
    model = create_model(name, num_classes=3, seed=seed, fc_std=1.0)
    with torch.no_grad():
        for module in model.backbone.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.weight.uniform_(0.5, 1.5)
                module.running_mean.normal_(std=0.1)
                module.num_batches_tracked.fill_(7)
    meta = {"model": spec.to_meta(), "temperature": temperature, "metrics": {"top1_acc": 1 / 3}, "provenance": {"n": 1}}
    save_checkpoint(path, meta=meta, state_dict=model.state_dict())
    return path


def clips_for(teacher):
    frames = 3 if teacher.network.is_2d else 8
    return torch.randn(2, 3, frames, 64, 64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits_of(path, **told):
    teacher = load_model(path, **told)
    return teacher.network(clips_for(teacher))


@pytest.mark.parametrize(("name", "to"), THERE_AND_BACK)
def test_a_checkpoint_that_went_out_and_came_back_has_the_bytes_it_had(tmp_path, name, to):
    file = "b.safetensors" if to == "safetensors" else "b.pth"
    ours = save_ours(tmp_path / "a.pth", name)
    convert(open_model(ours), tmp_path / file, to)
    away = open_model(tmp_path / file)
    assert (away.temperature, away.spec) == (1.7, open_model(ours).spec)
    assert torch.equal(logits_of(tmp_path / file), logits_of(ours))
    convert(away, tmp_path / "c.pth", "omni")
    assert (tmp_path / "c.pth").read_bytes() == ours.read_bytes()


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("to", ["mmaction2", "mmaction"])
def test_every_architecture_that_has_a_place_there_comes_back_under_its_names(name, to):
    spec = model_spec(name, classes=CLASSES)
    with torch.device("meta"):
        model = new_model(name, 3)
    opened = OpenedModel(model, spec, None, None)
    weights = model.state_dict()
    config = mmaction2_model(spec, model.fc.in_features)
    if config is None or (to == "mmaction" and "." in config["backbone"]["type"]):
        with pytest.raises(UsageError, match=f"--to {to}: nothing there computes what {name} does"):
            named_for(opened, weights, to)
        return
    theirs = named_for(opened, weights, to)
    shifted = ".conv1.conv.net.weight" if to == "mmaction2" else ".conv1.net.weight"
    assert any(key.endswith(shifted) for key in theirs) == name.startswith("tsm-")
    back = to_omni(theirs)
    assert list(back) == list(weights)
    assert all(back[key] is tensor for key, tensor in weights.items())


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("keys_timm_resnet50", "tsn-resnet50"),
        ("keys_torchvision_resnet50", "tsn-resnet50"),
        ("keys_timm_tf_efficientnet_b4", "tsn-tf_efficientnet_b4"),
        ("keys_timm_swin_base_patch4_window7_224", "tsn-swin_base_patch4_window7_224"),
        ("keys_torchvision_densenet161", "tsn-torchvision.densenet161"),
    ],
)
def test_backbones_of_timm_and_torchvision_keep_their_names_there(released, file, name):
    recorded = json.loads((released / f"{file}.json").read_text())
    wanted = {key: tuple(shape) for key, shape, *_ in recorded}
    with torch.device("meta"):
        model = new_model(name, 400)
    opened = OpenedModel(model, model_spec(name, classes=[str(k) for k in range(400)]), None, None)
    theirs = named_for(opened, model.state_dict(), "mmaction2")
    if name == "tsn-resnet50":  # written as mmaction2's own ResNet, which its configs build
        assert "backbone.conv1.conv.weight" in theirs and len(theirs) == len(wanted)
    else:
        assert {key: tuple(tensor.shape) for key, tensor in theirs.items()} == wanted


@pytest.fixture(scope="session")
def released():
    folder = Path(__file__).resolve().parents[3] / "shared" / "reference"
    if not folder.is_dir():
        pytest.skip("needs ../shared/reference")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def expected_keys(released, model):
    return json.loads((released / f"{model}.keys.json").read_text())["keys"]


@pytest.mark.parametrize(
    "model",
    [
        *("i3d_r50_32x2", "ipcsn_r152_32x2", "ircsn_r152_32x2", "ircsn_r50_32x2", "r2plus1d_r34_32x2"),
        *("r2plus1d_r34_8x8", "slowfast_r50_4x16", "slowfast_r50_8x8", "slowonly_r101_8x8", "slowonly_r50_4x16"),
        *("slowonly_r50_8x8", "tsm_r50_8seg", "tsn_r50_3seg", "tsn_r50_3seg_224"),
    ],
)
def test_the_keys_are_those_of_the_released_models_strictly(released, model):
    wanted = {key: tuple(shape) for key, shape, _ in expected_keys(released, model)}
    theirs = {key: torch.empty(shape, device="meta") for key, shape in wanted.items()}
    name = infer_name(to_omni(theirs), is_shifted=is_tsm(theirs), path="a.pth")
    with torch.device("meta"):
        ours = new_model(name, 400)
    opened = OpenedModel(ours, model_spec(name, classes=[str(k) for k in range(400)]), None, None)
    made = named_for(opened, ours.state_dict(), "mmaction2")
    assert {key: tuple(tensor.shape) for key, tensor in made.items()} == wanted


@pytest.mark.slow
@pytest.mark.parametrize("model", ["i3d_r50_32x2", "ipcsn_r152_32x2", "slowfast_r50_4x16", "tsm_r50_8seg"])
def test_a_released_model_becomes_ours_and_safetensors_and_itself_again(released, tmp_path, model):
    from weights_rule import state_dict

    theirs = {key: torch.from_numpy(array) for key, array in state_dict(released / f"{model}.keys.json").items()}
    torch.save({"meta": {"epoch": 100}, "state_dict": theirs, "optimizer": {}}, tmp_path / "a.pth")
    opened = open_model(tmp_path / "a.pth", classes=[f"class {k}" for k in range(400)])
    assert what_stays_behind(opened, "omni") == ["only the weights are taken; left out: optimizer"]
    convert(opened, tmp_path / "b.safetensors", "safetensors")
    convert(open_model(tmp_path / "b.safetensors"), tmp_path / "c.pth", "omni")
    convert(open_model(tmp_path / "c.pth"), tmp_path / "d.pth", "mmaction2")
    again = torch.load(tmp_path / "d.pth", weights_only=True)
    assert again["meta"]["dataset_meta"]["classes"][399] == "class 399"
    assert again["state_dict"].keys() == theirs.keys()
    assert all(torch.equal(again["state_dict"][key], tensor) for key, tensor in theirs.items())


def test_mmaction2_reads_plain_data_with_the_names_of_the_classes_where_it_looks_for_them(tmp_path):
    ours = save_ours(tmp_path / "a.pth", "tsn-resnet18")
    convert(open_model(ours), tmp_path / "b.pth", "mmaction2")
    content = torch.load(tmp_path / "b.pth", weights_only=True)
    assert content.keys() == {"meta", "state_dict"}
    assert content["meta"]["dataset_meta"] == {"classes": CLASSES}
    convert(open_model(ours), tmp_path / "c.pth", "mmaction")
    assert torch.load(tmp_path / "c.pth", weights_only=True)["meta"]["CLASSES"] == CLASSES


@pytest.mark.parametrize("meta", [{"dataset_meta": {"classes": CLASSES}}, {"CLASSES": tuple(CLASSES)}])
def test_names_of_classes_that_a_file_of_mmaction_has_are_used_and_not_overruled(tmp_path, meta):
    model = create_model("tsn-resnet18", num_classes=3)
    theirs = from_omni(model.state_dict(), "mmaction2")
    torch.save({"meta": meta, "state_dict": theirs}, tmp_path / "a.pth")
    assert open_model(tmp_path / "a.pth").spec.classes == tuple(CLASSES)
    with pytest.raises(ModelError, match=r"a\.pth: has other classes than --classes, or another order"):
        open_model(tmp_path / "a.pth", classes=CLASSES[::-1])
    more = {"dataset_meta": {"classes": [*CLASSES, "of a data set before"]}}
    torch.save({"meta": more, "state_dict": theirs}, tmp_path / "b.pth")
    with pytest.raises(ModelError, match="scores 3 classes, but 4 names were given"):
        open_model(tmp_path / "b.pth")
    assert open_model(tmp_path / "b.pth", classes=CLASSES).spec.classes == tuple(CLASSES)


def test_another_programs_safetensors_become_ours_and_say_where_they_are_from(tmp_path):
    model = create_model("tsn-resnet18", num_classes=3)
    theirs = {key.removeprefix("backbone."): tensor for key, tensor in model.state_dict().items()}
    save_file({key: tensor.contiguous() for key, tensor in theirs.items()}, tmp_path / "timm.safetensors")
    opened = open_model(tmp_path / "timm.safetensors", classes=CLASSES)
    convert(opened, tmp_path / "b.pth", "omni")
    made = load_any(tmp_path / "b.pth")
    assert made.meta["provenance"] == {
        "command": "convert", "layout": "bare", "sha256": opened.file.sha256, "file": "timm.safetensors",
    }  # fmt: skip
    assert torch.equal(logits_of(tmp_path / "b.pth"), logits_of(tmp_path / "timm.safetensors", classes=CLASSES))


def test_a_view_of_a_large_storage_is_written_without_the_rest_of_it(tmp_path):
    model = create_model("tsn-resnet18", num_classes=3)
    pool = torch.zeros(30_000_000)
    pool[5:1541] = model.fc.weight.detach().flatten()
    weights = {**model.state_dict(), "fc.weight": pool[5:1541].view(3, 512)}
    save_checkpoint(tmp_path / "a.pth", meta={}, state_dict=weights)
    save_checkpoint(tmp_path / "b.pth", meta={}, state_dict=model.state_dict())
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_what_the_target_has_no_place_for_is_said(tmp_path):
    opened = open_model(save_ours(tmp_path / "a.pth", "tsn-tf_efficientnet_lite0"))
    temperature, normalisation = what_stays_behind(opened, "mmaction2")
    assert "will not be divided by 1.7, which makes them more confident" in temperature
    assert "data_preprocessor needs mean=[127.5, 127.5, 127.5]" in normalisation
    assert "img_norm_cfg needs" in what_stays_behind(opened, "mmaction")[1]
    assert what_stays_behind(opened, "safetensors") == what_stays_behind(opened, "omni") == []
    plain = open_model(save_ours(tmp_path / "b.pth", "tsn-resnet18", temperature=None))
    assert what_stays_behind(plain, "mmaction2") == []
    several = replace(plain, spec=replace(plain.spec, multi_label=True))
    assert "mmaction2 has no sigmoid" in what_stays_behind(several, "mmaction2")[0]


def test_a_description_is_json_and_holds_the_config_that_fits(tmp_path):
    opened = open_model(save_ours(tmp_path / "a.pth", "tsm-resnet18"))
    facts = json.loads(json.dumps(describe(opened, "mmaction2")))
    assert (facts["name"], facts["from"], facts["to"]) == ("tsm-resnet18", "omni", "mmaction2")
    assert facts["num_tensors"] == len(opened.network.state_dict())
    assert "type='ResNetTSM'" in facts["mmaction2_model"]
    assert "mmaction2_model" not in describe(opened, "omni")
    assert is_ours(opened)
    convert(opened, tmp_path / "b.pth", "mmaction2")
    away = open_model(tmp_path / "b.pth")
    assert (describe(away, "omni")["from"], is_ours(away)) == ("mmaction2", False)
    check_has_place(away, "mmaction2")


@pytest.mark.parametrize("stamp", ["{", "[]", '{"version": 1}', '{"version": 2, "meta": {}}'])
def test_a_stamp_that_is_damaged_is_no_checkpoint(tmp_path, stamp):
    weights = from_omni(create_model("tsn-resnet18", num_classes=3).state_dict(), "mmaction2")
    torch.save({"meta": {"omni": stamp}, "state_dict": weights}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"a\.pth: (damaged checkpoint|checkpoint version 2)"):
        open_model(tmp_path / "a.pth")
    assert load_weights(tmp_path / "a.pth").keys() == weights.keys()  # --init needs none


@pytest.fixture
def family_checkpoint(tmp_path, monkeypatch):
    """Makes a checkpoint of ours of a small model of a family."""

    def make(family):
        network, spec = small_model(family, tmp_path, monkeypatch)
        spec = replace(spec, licence="cc-by-nc-4.0" if family == "tsn" else spec.licence)
        meta = {"model": spec.to_meta(), "temperature": 1.3, "metrics": {}, "provenance": {"n": 1}}
        save_checkpoint(tmp_path / "a.pth", meta=meta, state_dict=network.state_dict())
        return tmp_path / "a.pth"

    return make


@pytest.mark.filterwarnings("ignore:.*not for commercial use")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_comes_back_from_safetensors_with_weights_classes_input_and_licence(family, family_checkpoint):
    ours = family_checkpoint(family)
    away, back = ours.with_name("b.safetensors"), ours.with_name("c.pth")
    convert(open_model(ours), away, "safetensors")
    before, after = load_any(ours), load_any(away)
    assert list(before.state_dict) and set(after.state_dict) == set(before.state_dict)
    assert all(torch.equal(after.state_dict[name], tensor) for name, tensor in before.state_dict.items())
    assert after.meta == before.meta and after.layout == "safetensors"
    opened = open_model(away)
    assert opened.spec == open_model(ours).spec
    assert opened.spec.licence == {"tsn": "cc-by-nc-4.0"}.get(family, before.meta["model"].get("licence", ""))
    convert(opened, back, "omni")
    assert back.read_bytes() == ours.read_bytes()


@pytest.mark.filterwarnings("ignore:.*not for commercial use")
@pytest.mark.parametrize("family", ["tsn", "tsm", "slowonly", "mvit", "videomae", "siglip"])
@torch.no_grad()
def test_a_program_is_loaded_with_classes_input_and_temperature(family, family_checkpoint):
    pytest.importorskip("made_onnx")
    ours = family_checkpoint(family)
    convert(open_model(ours), ours.with_name("b.onnx"), "onnx")
    model, program = load_model(ours), load_model(ours.with_name("b.onnx"))
    assert (program.spec, program.temperature, program.meta) == (model.spec, 1.3, model.meta)
    assert (program.network.is_2d, program.network.is_framewise) == (model.network.is_2d, model.network.is_framewise)
    assert program.network.average_views == model.network.average_views
    spec = model.spec
    frames = 1 if model.network.is_framewise else spec.num_segments if model.network.is_2d else spec.num_frames
    clips = torch.randn(2, 3, frames, spec.crop_size, spec.crop_size)
    assert (program.network(clips) - model.network(clips)).abs().max() < 1e-4 * model.network(clips).abs().max() + 1e-5


def test_a_folder_of_transformers_becomes_a_checkpoint(tmp_path):
    tiny = pytest.importorskip("tiny_transformers")
    tiny.save_folder(tmp_path / "folder", "videomae", CLASSES, licence="cc-by-nc-4.0")
    with pytest.warns(UserWarning, match="licence cc-by-nc"):
        opened = open_model(tmp_path / "folder")
    assert describe(opened, "omni")["from"] == "transformers"
    convert(opened, tmp_path / "a.pth", "omni")
    loaded = load_any(tmp_path / "a.pth")
    assert loaded.meta["model"] == json.loads(json.dumps(opened.spec.to_meta()))
    assert loaded.meta["model"]["licence"] == "cc-by-nc-4.0"
