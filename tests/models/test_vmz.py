"""Files of VMZ and of its PyTorch port, built from the names and shapes of their published model code."""

import io
import pickle
import struct
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.video import resnet as torchvision_video
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import ModelError
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import load_any, load_weights
from omnicli.models.factory import create_model
from omnicli.models.loading import load_model
from omnicli.models.vmz import from_vmz, is_vmz
from omnicli.models.weight_names import recognise_layout, to_omni

NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def port(depth=34, num_classes=5):
    """The network of ig65m-pytorch (``r2plus1d_34``): torchvision's, with three middles and Caffe2's epsilon."""
    model = torchvision_video.VideoResNet(
        block=torchvision_video.BasicBlock, conv_makers=[torchvision_video.Conv2Plus1D] * 4,
        layers=list(COUNTS[depth]), stem=torchvision_video.R2Plus1dStem, num_classes=num_classes,
    )  # fmt: skip
    for layer, channels, middle in ((model.layer2, 128, 288), (model.layer3, 256, 576), (model.layer4, 512, 1152)):
        layer[0].conv2[0] = torchvision_video.Conv2Plus1D(channels, channels, middle)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eps = 1e-3
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.001, 0.01)  # small: a wrong epsilon changes the output
            nn.init.uniform_(module.weight, 0.01, 0.05)
    return model.eval()


def blobs_of(model):
    """The blobs that VMZ has for the port's weights (``ig65m/cli/convert.py`` read backwards)."""
    blobs = {}

    def norm(name, module):
        blobs.update({f"{name}_{end}": getattr(module, attribute) for end, attribute in NORM.items()})

    blobs["conv1_middle_w"], blobs["conv1_w"] = model.stem[0].weight, model.stem[3].weight
    norm("conv1_middle_spatbn_relu", model.stem[1])
    norm("conv1_spatbn_relu", model.stem[4])
    for i, block in enumerate([*model.layer1, *model.layer2, *model.layer3, *model.layer4]):
        for j, part in ((1, block.conv1), (2, block.conv2)):
            blobs[f"comp_{i}_conv_{j}_middle_w"], blobs[f"comp_{i}_conv_{j}_w"] = part[0][0].weight, part[0][3].weight
            norm(f"comp_{i}_spatbn_{j}_middle", part[0][1])
            norm(f"comp_{i}_spatbn_{j}", part[1])
        if block.downsample is not None:
            blobs[f"shortcut_projection_{i}_w"] = block.downsample[0].weight
            norm(f"shortcut_projection_{i}_spatbn", block.downsample[1])
    name = f"last_out_L{model.fc.out_features}"
    blobs[f"{name}_w"], blobs[f"{name}_b"] = model.fc.weight, model.fc.bias
    return {name: tensor.detach().numpy() for name, tensor in blobs.items()}


def save_as_python_2(pickler, text):
    raw = text.encode("latin1") if isinstance(text, str) else text
    pickler.write(b"T" + struct.pack("<i", len(raw)) + raw)
    pickler.memoize(text)


def save_function(pickler, made):
    module = "numpy.core.multiarray" if made.__name__ == "_reconstruct" else made.__module__
    pickler.write(f"c{module}\n{made.__name__}\n".encode())


class Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2 does, in which VMZ was written: both as ``str`` of any bytes."""

    dispatch: ClassVar[dict[Any, Any]] = {
        **pickle._Pickler.dispatch, str: save_as_python_2, bytes: save_as_python_2, type(port): save_function,
        type(pickle.dumps): save_function, type: save_function,
    }  # fmt: skip


def pickled(content):
    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue()


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return port()


@pytest.fixture(scope="module")
def files(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ig65m")
    torch.save(theirs.state_dict(), folder / "port.pth")
    (folder / "vmz.pkl").write_bytes(pickled({"blobs": blobs_of(theirs)}))
    return folder


@torch.no_grad()
@pytest.mark.parametrize(("file", "layout"), [("port.pth", "torchvision-video"), ("vmz.pkl", "vmz")])
def test_both_files_are_r2plus1d_34_and_compute_what_the_port_does(theirs, files, file, layout):
    teacher = load_model(files / file, classes=["a", "b", "c", "d", "e"])
    assert recognise_layout(load_weights(files / file)) == layout
    spec = teacher.spec
    assert (spec.name, spec.short_side, spec.crop_size, spec.num_frames) == ("r2plus1d-r34", 128, 112, 32)
    assert spec.mean == pytest.approx((110.2008, 100.63983, 95.99475))
    clips = torch.randn(1, 3, 8, 48, 48)
    wanted = theirs(clips)
    assert wanted.std() > 1e-3
    torch.testing.assert_close(teacher.network(clips), wanted, atol=1e-4 * float(wanted.abs().max()), rtol=1e-4)


def test_both_files_are_initial_weights(theirs, files):
    for file in ("port.pth", "vmz.pkl"):
        model = create_model("r2plus1d-r34", num_classes=2, init=str(files / file))
        assert torch.equal(model.backbone.layer4[0].conv2.conv_s.weight, theirs.layer4[0].conv2[0][0].weight)


@torch.no_grad()
def test_both_files_are_converted_to_omnis_format_and_not_to_mmaction2s(theirs, files, tmp_path):
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    options = ["--classes", str(tmp_path / "classes.txt")]
    for file in ("port.pth", "vmz.pkl"):
        done = CliRunner().invoke(app, ["convert", str(files / file), str(tmp_path / "ours.pth"), *options])
        assert done.exit_code == 0, done.stderr
        ours = load_any(tmp_path / "ours.pth")
        assert ours.meta["model"]["name"] == "r2plus1d-r34"
        assert torch.equal(ours.state_dict["backbone.bn1.running_var"], theirs.stem[4].running_var)
    done = CliRunner().invoke(app, ["convert", str(files / file), str(tmp_path / "x"), "--to", "mmaction2", *options])
    assert done.exit_code == 2 and "nothing there computes what r2plus1d-r34 does" in done.stderr


def names_of_builder(model, depth):  # noqa: C901 (as the published one)
    """Blobs and shapes as ``create_r3d`` and ``VideoModelBuilder`` of VMZ make them, with 5 classes."""
    shapes = {}

    def conv(name, shape, norm, channels):
        shapes[f"{name}_w"] = shape
        shapes.update({f"{norm}_{end}": (channels,) for end in NORM})

    def middle(inputs, outputs):
        return int(27 * inputs * outputs / (9 * inputs + 3 * outputs))

    def three(prefix, number, inputs, outputs):
        """A 3x3x3 convolution of the block type, and the number of the next."""
        name, norm = f"{prefix}_conv_{number}", f"{prefix}_spatbn_{number}"
        if model == "r2plus1d":
            between = middle(inputs, outputs)
            conv(f"{name}_middle", (between, inputs, 1, 3, 3), f"{norm}_middle", between)
            conv(name, (outputs, between, 3, 1, 1), norm, outputs)
        elif model == "ir-csn":  # add_channelwise_conv counts once more
            number += 1
            conv(f"{prefix}_conv_{number}", (outputs, 1, 3, 3, 3), f"{prefix}_spatbn_{number}", outputs)
        else:
            conv(f"{name}_middle", (outputs, inputs, 1, 1, 1), f"{norm}_middle", outputs)
            conv(name, (outputs, 1, 3, 3, 3), norm, outputs)
        return number + 1

    if model == "r2plus1d":
        conv("conv1_middle", (45, 3, 1, 7, 7), "conv1_middle_spatbn_relu", 45)
        conv("conv1", (64, 45, 3, 1, 1), "conv1_spatbn_relu", 64)
    else:
        conv("conv1", (64, 3, 3, 7, 7), "conv1_spatbn_relu", 64)
    channels, i = 64, 0
    for layer, count in enumerate(COUNTS[depth]):
        base = 64 * 2**layer
        out = base if depth <= 34 else 4 * base
        for block in range(count):
            prefix = f"comp_{i}"
            if depth <= 34:
                number = three(prefix, 1, channels, out)
                three(prefix, number, out, out)
            else:
                conv(f"{prefix}_conv_1", (base, channels, 1, 1, 1), f"{prefix}_spatbn_1", base)
                number = three(prefix, 2, base, base)
                conv(f"{prefix}_conv_{number}", (out, base, 1, 1, 1), f"{prefix}_spatbn_{number}", out)
            if out != channels or (layer > 0 and block == 0):
                name = f"shortcut_projection_{i}"
                conv(name, (out, channels, 1, 1, 1), f"{name}_spatbn", out)
            channels, i = out, i + 1
    return shapes | {"last_out_L5_w": (5, channels), "last_out_L5_b": (5,)}


@pytest.mark.parametrize(
    ("model", "depth", "name"),
    [
        *(("r2plus1d", depth, f"r2plus1d-r{depth}") for depth in (18, 34, 101, 152)),
        *(("ir-csn", 50, "ircsn-r50"), ("ir-csn", 152, "ircsn-r152"), ("ip-csn", 152, "ipcsn-r152")),
    ],
)
def test_every_blob_of_the_published_builder_has_its_layer_here(model, depth, name):
    blobs = {key: torch.empty(shape, device="meta") for key, shape in names_of_builder(model, depth).items()}
    with torch.device("meta"):
        wanted = new_model(name, 5).state_dict()
    wanted = {key: tuple(tensor.shape) for key, tensor in wanted.items() if not key.endswith("num_batches_tracked")}
    found = to_omni({**blobs, "conv1_w_momentum": torch.empty(0)})
    assert is_vmz(blobs)
    assert {key: tuple(tensor.shape) for key, tensor in found.items()} == wanted


def test_the_middles_of_the_port_are_those_of_the_publication():
    state = to_omni(port().state_dict())
    middles = [
        state[f"backbone.layer{layer}.{block}.conv{number}.conv_s.weight"].shape[0]
        for layer in range(1, 5) for block, number in ((0, 1), (0, 2), (1, 1))
    ]  # fmt: skip
    assert middles == [144, 144, 144, 230, 288, 288, 460, 576, 576, 921, 1152, 1152]
    assert state["backbone.conv1.conv_s.weight"].shape[0] == 45


@pytest.mark.parametrize("content", [{"blobs": {"a": 1}}, {"conv1_w": np.zeros(2)}, [1, 2], "text"])
def test_other_pickles_are_refused(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(ModelError, match=r"a\.pkl: not a checkpoint \(a pickle that torch\.save did not write\)"):
        load_any(tmp_path / "a.pkl")


def test_a_pickle_with_code_is_refused(tmp_path):
    class Code:
        def __reduce__(self):
            return (print, ("run",))

    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": Code(), "comp_0_conv_1_w": 1}}, 2))
    with pytest.raises(ModelError):
        load_any(tmp_path / "a.pkl")


def test_blobs_of_no_known_depth_keep_their_names_apart():
    blobs = {"conv1_w": torch.zeros(1), "comp_0_conv_1_w": torch.zeros(1), "comp_9_spatbn_1_s": torch.zeros(1)}
    assert "comp_9_spatbn_1_s" in from_vmz(blobs)
