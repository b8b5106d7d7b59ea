"""An ONNX program as a model: clips to logits by onnxruntime."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from omnicli.errors import ModelError, UsageError, is_out_of_memory
from omnicli.models.flow_stem import stack_pairs
from omnicli.models.onnx.program import Program
from omnicli.models.recogniser import Recogniser

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# orders of the axes that other programs export; the first whose C is 3 is taken
IMAGES, CLIPS = ("NCHW", "NHWC"), ("NCTHW", "NTCHW", "NTHWC")


class NoBackbone(nn.Module):
    """Stands for the backbone of a program, whose layers are not ours to take apart."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def state_dict(self, *given: Any, **named: Any) -> Any:
        """Raises ModelError."""
        raise ModelError(
            f"{self.path}: an ONNX program scores media; it gives no features and no weights: give the checkpoint that "
            "it was exported from"
        )


class OnnxModel(Recogniser):
    """A program that onnxruntime computes, in its own precision.

    Images go through one by one, as in a TSN, whose logits are averaged over the snippets of a video.

    Args:
        program: maps images or clips to logits.
        is_2d: it takes images, or the segments of a video as a TSM does.
        flow_pairs: pairs of optical flow that it takes; 0 if it takes RGB.

    Raises:
        ModelError: no axis of its input has so many channels.
    """

    def __init__(self, program: Program, *, is_2d: bool, flow_pairs: int = 0) -> None:
        nn.Module.__init__(self)
        self.program = program
        self.is_2d = is_2d
        self.is_framewise = len(program.images.shape) == 4
        self.average_views: Literal["logits", "scores"] = "logits" if is_2d else "scores"
        self.backbone = NoBackbone(program.path)
        self.flow_pairs = flow_pairs if self.is_framewise else 0  # clips of flow have a third channel, a constant
        self.axes = axes_of(program, 2 * self.flow_pairs or 3)
        self._session: Any = None

    def start(self, device: torch.device) -> torch.device:
        """Make the program ready; returns the device that it runs on.

        Ours: without an onnxruntime for CUDA it runs on the CPU, which is said.

        Raises:
            ModelError: onnxruntime refuses it.
        """
        import onnxruntime  # noqa: PLC0415 (an extra)

        has_cuda = CUDA in onnxruntime.get_available_providers()
        if device.type == "cuda" and not has_cuda:
            warnings.warn(
                f"{self.program.path}: runs on the CPU, as this onnxruntime has no CUDA: pip install onnxruntime-gpu",
                stacklevel=2,
            )
            device = torch.device("cpu")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 4  # what it has to say, it says in its exceptions, too
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are the decoders', too
        options.add_session_config_entry("session.load_model_format", "ONNX")  # no other reading of the bytes
        providers = [(CUDA, {"device_id": device.index or 0})] if device.type == "cuda" else []
        try:
            self._session = onnxruntime.InferenceSession(self.program.data, options, providers=[*providers, CPU])
        except Exception as error:  # onnxruntime's have no common base
            raise ModelError(f"{self.program.path}: onnxruntime cannot compute it ({_first_line(error)})") from None
        return device

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (N, K) float32 of clips (N, C, T, H, W), on the CPU; of a program for images, their mean over T."""
        if not self.is_framewise:
            return torch.from_numpy(self._run(clips.permute(["NCTHW".index(axis) for axis in self.axes])))
        if self.flow_pairs:
            clips = stack_pairs(clips, self.flow_pairs)
        images = clips.transpose(1, 2).flatten(0, 1).permute(["NCHW".index(axis) for axis in self.axes])
        return torch.from_numpy(self._run(images)).view(len(clips), clips.shape[2], -1).mean(dim=1)

    def features(self, clips: Tensor) -> Tensor:
        """Raises ModelError: a program gives none."""
        return cast(Tensor, self.backbone.state_dict())

    def to_device(self, device: torch.device) -> Self:
        """Itself: ``start`` chooses the device."""
        return self

    def _run(self, batch: Tensor) -> np.ndarray:
        """(N, K) float32 of a batch in the program's order of axes; in parts where it takes only so many at once."""
        program = self.program
        size = program.images.shape[0] or len(batch)
        _check_shape(program, batch.shape)
        inputs = batch.cpu().numpy().astype(program.images.dtype)
        parts = []
        for start in range(0, len(inputs), size):
            part = inputs[start : start + size]
            filled = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), part.dtype)])
            try:
                [logits] = self._session.run([program.logits.name], {program.images.name: filled})
            except Exception as error:  # onnxruntime's have no common base
                if is_out_of_memory(error):
                    raise
                raise ModelError(f"{program.path}: onnxruntime cannot compute it ({_first_line(error)})") from None
            parts.append(logits[: len(part)].astype(np.float32))
        return np.concatenate(parts)


def axes_of(program: Program, num_channels: int = 3) -> str:
    """The order of the axes of a program's input, such as ``NCHW``. Raises ModelError: none has so many channels."""
    images = program.images
    for axes in IMAGES if len(images.shape) == 4 else CLIPS:
        if images.shape[axes.index("C")] == num_channels:
            return axes
    shape = "images (N, C, H, W)" if len(images.shape) == 4 else "clips (N, C, T, H, W)"
    raise ModelError(f"{program.path}: input {images}: expected {shape} with {num_channels} channels")


def sizes_of(program: Program, axes: str) -> dict[str, int | None]:
    """The sizes of a program's input by axis; None where any is taken."""
    return dict(zip(axes, program.images.shape, strict=True))


def _check_shape(program: Program, shape: Sequence[int]) -> None:
    """Raise UsageError for other frames or sizes than the program takes."""
    wanted = program.images.shape[1:]
    if any(size not in (None, own) for size, own in zip(wanted, shape[1:], strict=True)):
        raise UsageError(
            f"{program.path}: its input is {program.images}, and the views are {' x '.join(map(str, shape[1:]))}: "
            "remove the options of frames, crops and sizes"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
