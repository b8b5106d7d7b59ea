"""A model as an ONNX program for other tools, and as a teacher without its library.

TSN and image towers become programs of single images (N, C, H, W), whose logits are averaged over the snippets of a
video, or of stacked flow (N, 2 * P, H, W), x and y of P pairs in turn; all others take clips (N, C, T, H, W) of their
own length. The input is normalised by the mean and std of the description, which travels in the file. Any number of
images or clips goes through at once; sizes are those of training.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from omnicli.errors import ModelError
from omnicli.extras import need
from omnicli.models.factory import ModelSpec
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.onnx.program import MAX_BYTES, read_program
from omnicli.models.recogniser import Recogniser

OPSET = 17  # the first with layer norms
TOLERANCE = 1e-4  # of scores


class _Exported(nn.Module):
    """The network with the input of the program."""

    def __init__(self, network: Recogniser) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(as_clips(images, self.network.flow_pairs))  # type: ignore[no-any-return]


def as_clips(batch: Tensor, flow_pairs: int) -> Tensor:
    """Clips (N, C, T, H, W) of images (N, C, H, W), of stacked flow (N, 2 * P, H, W), or of clips."""
    if batch.ndim == 5:
        return batch
    return batch.view(-1, flow_pairs, 2, *batch.shape[2:]).transpose(1, 2) if flow_pairs else batch.unsqueeze(2)


def program_of(network: Recogniser, spec: ModelSpec, *, stamp: str, path: str | Path) -> bytes:
    """The bytes of the program. Its scores are compared with those of the network, to 1e-4.

    Args:
        network: in ``eval`` mode, on the CPU, in float32.
        spec: its description.
        stamp: description to store (``checkpoint.make_stamp``).
        path: of the file to be, for messages.

    Raises:
        UsageError: the extra is not installed.
        ModelError: the model is too large for one file, or has no such program.
    """
    need("onnx", str(path))
    import onnx  # noqa: PLC0415 (an extra)

    model, buffer = _Exported(network).eval(), io.BytesIO()
    shape = shape_of(network, spec)
    batches = [torch.rand(count, *shape, generator=torch.Generator().manual_seed(count)) for count in (2, 1)]
    name = "images" if network.is_framewise else "clips"
    with _exporting(network), torch.no_grad():
        try:
            torch.onnx.export(
                model, (batches[0],), cast(Any, buffer), dynamo=False, opset_version=OPSET, input_names=[name],
                output_names=["logits"], dynamic_axes={name: {0: "batch"}, "logits": {0: "batch"}},
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: {spec.name} has no ONNX program ({str(error).splitlines()[0][:200]})") from None
        wanted = model(batches[1])
    if buffer.tell() > MAX_BYTES:
        raise ModelError(f"{path}: {spec.name} is larger than 2 GiB, the most that an ONNX file can hold")
    made = onnx.load_model_from_string(buffer.getvalue())
    made.producer_name, made.producer_version = "omni", ""  # not the version of a library: equal models, equal bytes
    made.metadata_props.add(key="omni", value=stamp)
    data: bytes = made.SerializeToString()
    _check_scores(data, batches[1], wanted, spec, path=path, is_2d=network.is_2d)
    return data


def shape_of(network: Recogniser, spec: ModelSpec) -> tuple[int, ...]:
    """One input of the program: (C, H, W), or (C, T, H, W)."""
    sides = (spec.crop_size, spec.crop_size)
    if network.is_framewise:
        return (2 * spec.flow_pairs or 3, *sides)
    return (3, spec.num_segments if network.is_2d else spec.num_frames, *sides)


def _check_scores(
    data: bytes, batch: Tensor, logits: Tensor, spec: ModelSpec, *, path: str | Path, is_2d: bool
) -> None:
    """Raise ModelError if the program scores a batch unlike its model."""
    program = OnnxModel(read_program(path, data), is_2d=is_2d, flow_pairs=spec.flow_pairs)
    program.start(torch.device("cpu"))
    clips = as_clips(batch, spec.flow_pairs)
    score = torch.sigmoid if spec.multi_label else nn.Softmax(dim=-1)
    difference = (score(program(clips)) - score(logits)).abs().max().item()
    if not difference <= TOLERANCE:
        raise ModelError(f"{path}: the ONNX program of {spec.name} scores unlike the model, by {difference:.2g}")


@contextmanager
def _exporting(network: Recogniser) -> Iterator[None]:
    """Inside, nothing is warned of, attention is made of standard operators, and MViT's class token needs no loop."""
    layout, split, is_fast = network.memory_format, torch.tensor_split, torch.backends.mha.get_fastpath_enabled()
    network.memory_format = torch.contiguous_format  # of which the exporter knows
    torch.tensor_split = _split  # type: ignore[assignment]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        network.memory_format, torch.tensor_split = layout, split
        torch.backends.mha.set_fastpath_enabled(is_fast)


def _split(tensor: Tensor, indices: tuple[int], dim: int = 0) -> tuple[Tensor, Tensor]:
    """``torch.tensor_split`` at one index."""
    [index] = indices
    return tensor.narrow(dim, 0, index), tensor.narrow(dim, index, tensor.shape[dim] - index)
