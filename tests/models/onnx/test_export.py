"""Exported programs score as their models do, for every family and any number of inputs."""

import json

import pytest
import torch
from made_onnx import onnx
from small_models import FAMILIES, small_model

from omnicli.errors import ModelError
from omnicli.models.architectures import new_model
from omnicli.models.factory import model_spec
from omnicli.models.flow_spec import flow_spec
from omnicli.models.onnx.export import program_of, shape_of
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.onnx.opening import model_of
from omnicli.models.onnx.program import read_program

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_program_has_the_logits_of_its_model(family, tmp_path, monkeypatch):
    network, spec = small_model(family, tmp_path, monkeypatch)
    data = program_of(network, spec, stamp="{}", path="m.onnx")
    program = OnnxModel(read_program("m.onnx", data), is_2d=network.is_2d)
    program.start(CPU)
    assert program.is_framewise == network.is_framewise
    frames = 1 if network.is_framewise else shape_of(network, spec)[1]
    for count in (1, 3):
        clips = torch.randn(count, 3, frames, spec.crop_size, spec.crop_size)
        wanted = network(clips)
        assert wanted.std() > 1e-4
        assert (program(clips) - wanted).abs().max() < 1e-4 * max(1.0, float(wanted.abs().max()))


@torch.no_grad()
def test_a_program_of_stacked_flow_takes_x_and_y_of_each_pair(tmp_path):
    spec = flow_spec(model_spec("tsn-resnet10t", classes=["a", "b"], crop_size=32), 5)
    network = new_model(spec.name, 2, flow_pairs=5).eval()
    data = program_of(network, spec, stamp="{}", path="m.onnx")
    assert str(read_program("m.onnx", data).images) == "images (?, 10, 32, 32)"
    program = model_of(read_program("m.onnx", data), spec)
    program.start(CPU)
    clips = torch.randn(2, 3, 3 * 5, 32, 32)  # 3 snippets
    assert (program(clips) - network(clips)).abs().max() < 1e-4


def test_equal_models_give_equal_bytes(tmp_path, monkeypatch):
    network, spec = small_model("tsn", tmp_path, monkeypatch)
    first, second = (program_of(network, spec, stamp="{}", path="m.onnx") for _ in range(2))
    assert first == second
    layout = network.memory_format
    assert layout == torch.channels_last  # as before


def test_other_tools_find_names_opset_and_metadata(tmp_path, monkeypatch):
    network, spec = small_model("slowonly", tmp_path, monkeypatch)
    data = program_of(network, spec, stamp=json.dumps({"a": 1}), path="m.onnx")
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model)
    read = read_program("m.onnx", data)
    assert str(read.images) == f"clips (?, 3, {spec.num_frames}, {spec.crop_size}, {spec.crop_size})"
    assert (str(read.logits), read.opset) == (f"logits (?, {len(spec.classes)})", 17)
    assert read.metadata == {"omni": '{"a": 1}'}


def test_a_program_that_scores_otherwise_is_not_written(tmp_path, monkeypatch):
    network, spec = small_model("tsn", tmp_path, monkeypatch)
    monkeypatch.setattr(OnnxModel, "forward", lambda self, clips: torch.eye(len(spec.classes))[:1] * 9)
    with pytest.raises(ModelError, match=r"m\.onnx: the ONNX program of tsn-resnet10t scores unlike the model, by 0\."):
        program_of(network, spec, stamp="{}", path="m.onnx")


def test_what_the_exporter_refuses_is_a_line(tmp_path, monkeypatch):
    network, spec = small_model("tsn", tmp_path, monkeypatch)
    split = torch.tensor_split

    def fail(*args, **kwargs):
        raise RuntimeError("no symbolic\nmore")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ModelError, match=r"^m\.onnx: tsn-resnet10t has no ONNX program \(no symbolic\)$"):
        program_of(network, spec, stamp="{}", path="m.onnx")
    assert torch.tensor_split is split
