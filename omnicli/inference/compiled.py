"""Compiled inference: a network as one program of PyTorch's compiler, for batches of one shape.

A program computes what the network computes, but rounds at other places: in bfloat16 its logits differ from those of
the network by about as much as both differ from float32. So the position of a record alone decides whether the program
or the network scores it, never how fast anything is: runs that are repeated or resumed write the same bytes.

- ``auto``: the network scores the first records of a stream (``FIRST_RECORDS``), so that short jobs compile nothing,
  and the program all others, if the model is one that gains by it (``GAINS``). One that gains little has more first
  records.
- ``on``: the program scores all records.

Ours: the stream waits for the compiler. Tracing in a second thread is not safe, because PyTorch's tracer replaces
methods of all modules meanwhile, and on a CPU the compiler would take the cores of the network anyway.

The program is checked against the network on the batch that it was compiled for. Where there is no program (no C++
compiler, a network that cannot be compiled, a wrong result), the network itself runs, and a warning says why.
"""

import importlib
import logging
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from omnicli.cpus import available_cores
from omnicli.errors import Interrupted, ModelError, UsageError
from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.recogniser import ClipFunction

Mode = Literal["on", "auto"]

# Ours: of a stream, before the program; a minute or two of forward passes on two cores. Long: videos of minutes.
FIRST_RECORDS = {"2D": 4096, "3D": 256, "long": 64}
# Models that gained in bfloat16 (benchmarks/bench_compile.py), by type of device, and how many times FIRST_RECORDS come
# before their program: one that gains 1.05x to 1.1x wins back the time to compile it in long jobs only. Not on GPUs:
# the passes of 2D models gain there, but decoding takes longer than they do.
GAINS: dict[str, dict[str, int]] = {
    "cpu": {
        "tsn-tf_efficientnet": 1,
        "tsn-efficientnet": 1,
        "tsn-mobilenetv3": 1,
        "tsn-convnext": 1,
        "slowonly-r": 1,
        "tsn-resnet": 4,
        "tsn-vit_": 4,
    }
}
NEVER = ("torchvision-swin3d",)  # the compiler was at work for 3 minutes and more, in its arithmetic of indices
CPU_COMPILERS = ("g++", "c++", "clang++")
TOLERANCE = {torch.bfloat16: 0.05, torch.float32: 1e-3}  # of the largest output; a wrong program is off by its size
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # of PyTorch


def with_compiler(model: LoadedModel, mode: Mode, *, is_long: bool = False) -> LoadedModel:
    """The model, which is compiled where it is applied.

    Args:
        model: at work.
        mode: when it is compiled.
        is_long: its records are long videos.

    Raises:
        UsageError: ``on``, and the model is a program of another runtime, or takes too long to compile; under ``auto``
            it is as it was.
    """
    if isinstance(model.network, OnnxModel):
        if mode == "auto":
            return model
        raise UsageError(f"--compile on: {model.name} is an ONNX program, which its own runtime compiles; remove it")
    if mode == "on" and model.spec.name.startswith(NEVER):
        raise UsageError(f"--compile on: a {model.spec.name} takes too long to compile; remove it")
    first = 0 if mode == "on" else first_records(model, is_long=is_long)
    return model if first is None else replace(model, compiler=Compiler(model.name, first))


def first_records(model: LoadedModel, *, is_long: bool = False) -> int | None:
    """How many records come before the program of a model that gains; None for others, and in float32, kept exact."""
    if model.precision != torch.bfloat16:
        return None
    times = (times for name, times in GAINS.get(model.device.type, {}).items() if model.spec.name.startswith(name))
    kind = "long" if is_long else "2D" if model.network.is_2d else "3D"
    return next((FIRST_RECORDS[kind] * each for each in times), None)


class Compiler:
    """Makes compiled functions of one model, each once per process.

    Args:
        name: of the model, for the warning.
        first_position: of the first record that a program scores.
    """

    def __init__(self, name: str, first_position: int) -> None:
        self.first_position = first_position
        self._name = name
        self._made: dict[ClipFunction, CompiledFunction] = {}

    def __call__(self, function: ClipFunction) -> ClipFunction:
        """The function, to be compiled once it is called; the same one for the same function."""
        return self._made.setdefault(function, CompiledFunction(function, self._name))


class CompiledFunction:
    """A function as a program for batches of the shape of the first call.

    Other numbers of clips are cut or filled up with zeros. Clips of another shape take the function itself.

    Args:
        function: of clips; it stays as it is.
        name: of its model, for the warning.
    """

    def __init__(self, function: ClipFunction, name: str) -> None:
        self._function = function
        self._name = name
        self._shape: torch.Size | None = None
        self._program: ClipFunction | None = None

    def __call__(self, clips: Tensor) -> Tensor:
        """Outputs (N, D) of clips (N, C, T, H, W)."""
        if self._shape is None:
            self._shape = clips.shape
            self._compile(clips)
        if self._program is None or clips.shape[1:] != self._shape[1:]:
            return self._function(clips)
        size = self._shape[0]
        missing = -len(clips) % size
        filled = functional.pad(clips, (0, 0) * (clips.dim() - 1) + (0, missing)) if missing else clips
        return torch.cat([self._program(batch) for batch in torch.split(filled, size)])[: len(clips)]

    @torch.no_grad()
    def _compile(self, clips: Tensor) -> None:
        try:
            self._program = checked(compile_function(self._function, clips), self._function, clips)
        except Exception as error:  # whatever the compiler raises: it has no error class of its own
            if stop := find_stop(error):
                raise stop from None
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            warnings.warn(f"{self._name}: not compiled, so it runs as without --compile: {why}", stacklevel=2)


def find_stop(error: BaseException | None) -> Interrupted | None:
    """The stop signal that an error comes from, which the compiler may have caught and raised as its own."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__ or error.__context__
    return error


def compile_function(function: ClipFunction, clips: Tensor) -> ClipFunction:
    """A program for clips of this shape. Without gradients, the weights become part of it (CPU).

    Raises:
        ModelError: there is no C++ compiler.
        Exception: whatever the compiler raises.
    """
    if clips.device.type == "cpu" and not find_compiler():
        raise ModelError(f"no C++ compiler ({', '.join(CPU_COMPILERS)}) is installed")
    os.environ.setdefault(CACHE_VARIABLE, str(cache_folder()))
    inductor = cast(Any, importlib.import_module("torch._inductor.config"))  # takes a second to load
    if "TORCH_LOGS" not in os.environ:
        cast(Any, torch._logging).set_logs(all=logging.ERROR)
    program = cast(ClipFunction, torch.compile(function, dynamic=False))
    settings: dict[str, int] = {"freezing": clips.device.type == "cpu"}
    if "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:
        settings["compile_threads"] = available_cores()  # PyTorch knows no quota of a control group
    with warnings.catch_warnings(), inductor.patch(**settings):
        warnings.simplefilter("ignore")  # PyTorch's, of its own code
        program(clips)
    return program


def checked(program: ClipFunction, function: ClipFunction, clips: Tensor) -> ClipFunction:
    """The program, whose outputs are those of the function but for rounding. Raises ModelError: they are not."""
    expected, found = function(clips).float(), program(clips).float()
    largest = float((found - expected).abs().max())
    if not largest <= TOLERANCE.get(clips.dtype, 1e-3) * float(expected.abs().max()):
        raise ModelError(f"the compiled program is off by {largest:.2g}")
    return program


def find_compiler() -> str | None:
    """The C++ compiler that PyTorch would call; None without one."""
    given = os.environ.get("CXX")
    return next(filter(None, map(shutil.which, (given,) if given else CPU_COMPILERS)), None)


def cache_folder() -> Path:
    """Where compiled code is kept between runs: below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "omnicli" / "compiled"
