"""A checkpoint in another format: the same weights under the target's names, and all that is known of them beside.

    in    any checkpoint that a teacher may be: ours, mmaction2's, old mmaction's, torchvision's, timm's, safetensors,
          a folder of transformers
    out   ours, mmaction2's, old mmaction's, safetensors with our names, or an ONNX program, which leads no way back

What the target cannot hold travels in our stamp (see ``models.checkpoint``), so that the way back loses nothing:
a checkpoint of ours that went to mmaction2's format and came back has the bytes it had.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from omnicli.errors import UsageError
from omnicli.models.checkpoint import (
    STAMP,
    Checkpoint,
    make_stamp,
    plain_tensors,
    save_checkpoint,
    save_safetensors,
    write_bytes,
    write_torch_file,
)
from omnicli.models.loading import OpenedModel
from omnicli.models.mmaction2 import as_python, is_plain_resnet, mmaction2_model, normalisation_of
from omnicli.models.onnx.export import program_of
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.published_input import KINETICS_MEAN, KINETICS_STD
from omnicli.models.weight_names import Layout, bare_names, from_omni, recognise_layout

Target = Literal["omni", "mmaction2", "mmaction", "safetensors", "onnx"]


def convert(opened: OpenedModel, out: str | Path, to: Target) -> str:
    """Write the model as ``to``, whole or not at all; gives the SHA-256 of the file.

    Raises:
        UsageError: ``to`` has no such architecture.
        ModelError: there is no such ONNX program.
        OutputError: the file cannot be written.
    """
    weights, meta = opened.network.state_dict(), meta_of(opened)
    match to:
        case "omni":
            return save_checkpoint(out, meta=meta, state_dict=weights)
        case "safetensors":
            return save_safetensors(out, meta=meta, state_dict=weights)
        case "onnx":
            return write_bytes(out, program_of(opened.network, opened.spec, stamp=make_stamp(meta), path=out))
        case _:
            theirs = named_for(opened, plain_tensors(weights), to)
            classes = list(opened.spec.classes)
            named = {"dataset_meta": {"classes": classes}} if to == "mmaction2" else {"CLASSES": classes}
            return write_torch_file(out, {"meta": {**named, STAMP: make_stamp(meta)}, "state_dict": theirs})


def named_for(
    opened: OpenedModel, weights: Mapping[str, Tensor], to: Literal["mmaction2", "mmaction"]
) -> dict[str, Tensor]:
    """Our weights under the names of mmaction2 or old mmaction. Raises UsageError."""
    check_has_place(opened, to)
    name = opened.spec.name
    is_3d = not opened.network.is_2d
    # 2D backbones that are not its own ResNets mmaction2 takes from timm or torchvision, names and all
    layout = to if is_3d or is_plain_resnet(name) else "mmaction"
    return from_omni(weights, layout, is_shifted=name.startswith("tsm-"))


def check_has_place(opened: OpenedModel, to: Target) -> None:
    """Raises UsageError for a program, and where ``to`` has no architecture that computes the same."""
    if isinstance(opened.network, OnnxModel):
        raise UsageError(f"{opened.file.path}: an ONNX program; convert the checkpoint that it was exported from")
    if to not in ("mmaction2", "mmaction"):
        return
    config = mmaction2_model(opened.spec, opened.network.fc.in_features)
    # only mmaction2 takes backbones of timm and torchvision
    if config is None or (to == "mmaction" and "." in config["backbone"]["type"]):
        raise UsageError(
            f"--to {to}: nothing there computes what {opened.spec.name} does; --to safetensors keeps it whole"
        )


def meta_of(opened: OpenedModel) -> dict[str, Any]:
    """What a checkpoint of ours says of the model; of another program's, where it came from."""
    if isinstance(opened.file, Checkpoint):
        return opened.file.meta
    origin = {"command": "convert", "layout": layout_of(opened), "sha256": opened.file.sha256}
    return {
        "model": opened.spec.to_meta(),
        "temperature": opened.temperature,
        "metrics": {},
        "provenance": {**origin, "file": Path(opened.file.path).name},
    }


def is_ours(opened: OpenedModel) -> bool:
    """Whether the file is a checkpoint of ours as training writes it."""
    return isinstance(opened.file, Checkpoint) and opened.file.layout == "omni"


def layout_of(opened: OpenedModel) -> Layout | Literal["safetensors", "onnx", "transformers"]:
    """Whose names the file's weights have."""
    if isinstance(opened.file, Checkpoint):
        return opened.file.layout
    if Path(opened.file.path).is_dir():
        return "transformers"
    return recognise_layout(bare_names(opened.file.state_dict))


def describe(opened: OpenedModel, to: Target) -> dict[str, Any]:
    """What the file is and what it becomes, as JSON values."""
    spec = opened.spec
    described: dict[str, Any] = {
        "in": opened.file.path,
        "sha256": opened.file.sha256,
        "from": layout_of(opened),
        "to": to,
        **json.loads(json.dumps(spec.to_meta())),
        "temperature": opened.temperature,
        "num_tensors": len(opened.network.state_dict()),
        "notes": what_stays_behind(opened, to),
    }
    if to == "mmaction2":
        described["mmaction2_model"] = as_python(mmaction2_model(spec, opened.network.fc.in_features))
    return described


def what_stays_behind(opened: OpenedModel, to: Target) -> list[str]:
    """What the target cannot hold, a sentence each; nothing of it is lost on the way back."""
    notes = []
    if not isinstance(opened.file, Checkpoint) and opened.file.ignored:
        notes.append(f"only the weights are taken; left out: {', '.join(opened.file.ignored)}")
    if to == "onnx" and opened.temperature not in (None, 1.0):
        notes.append(f"the program's output are logits: other tools divide them by {opened.temperature:g} before the "
                     "softmax, as omni does")  # fmt: skip
    if to not in ("mmaction2", "mmaction"):
        return notes
    spec, where = opened.spec, "data_preprocessor" if to == "mmaction2" else "img_norm_cfg"
    if opened.temperature not in (None, 1.0):
        notes.append(
            f"{to} has no temperature: its scores will not be divided by {opened.temperature:g}, which makes them "
            f"{'more' if (opened.temperature or 1) > 1 else 'less'} confident; the order of classes is the same"
        )
    if spec.multi_label:
        notes.append(f"{to} has no sigmoid: its scores of the model are logits, of each class on its own")
    if (spec.mean, spec.std) != (KINETICS_MEAN, KINETICS_STD):
        mean, std = normalisation_of(spec)
        notes.append(f"{to} does not read normalisation from a checkpoint: {where} needs mean={mean}, std={std}")
    if (spec.short_side, spec.crop_size) != (256, 224):
        notes.append(
            f"{to} does not read sizes from a checkpoint: its pipeline needs the short side {spec.short_side}, "
            f"crops of {spec.crop_size}"
        )
    return notes
