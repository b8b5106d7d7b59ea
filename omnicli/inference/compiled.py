"""Compiled inference: a network as one program of PyTorch's compiler, for batches of one shape.

A program computes what the network computes, but rounds at other places: in bfloat16 its logits differ from those of
the network by about as much as both differ from float32. Which records it computes must therefore not depend on how
fast anything is. It computes all of them, from the first batch on.

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
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from omnicli.errors import ModelError, UsageError
from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.recogniser import ClipFunction

CPU_COMPILERS = ("g++", "c++", "clang++")
TOLERANCE = {torch.bfloat16: 0.05, torch.float32: 1e-3}  # of the largest output; a wrong program is off by its size
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # of PyTorch


def with_compiler(model: LoadedModel) -> LoadedModel:
    """The model, whose functions are compiled where it is applied. Raises UsageError: a program of another runtime."""
    if isinstance(model.network, OnnxModel):
        raise UsageError(f"--compile on: {model.name} is an ONNX program, which its own runtime compiles; remove it")
    return replace(model, compiler=Compiler(model.name))


class Compiler:
    """Makes compiled functions of one model, each once per process.

    Args:
        name: of the model, for the warning.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: dict[ClipFunction, CompiledFunction] = {}

    def __call__(self, function: ClipFunction) -> ClipFunction:
        """The function as a program, which its first call compiles; the same one for the same function."""
        return self._made.setdefault(function, CompiledFunction(function, self._name))


class CompiledFunction:
    """A function as a program for batches of the shape of the first call.

    Smaller batches are filled up with zeros. Batches of another shape take the function itself.

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
        missing = self._shape[0] - len(clips)
        if self._program is None or clips.shape[1:] != self._shape[1:] or missing < 0:
            return self._function(clips)
        if missing:
            clips = functional.pad(clips, (0, 0) * (clips.dim() - 1) + (0, missing))
        return self._program(clips)[: len(clips) - missing]

    def _compile(self, clips: Tensor) -> None:
        try:
            self._program = checked(compile_function(self._function, clips), self._function, clips)
        except Exception as error:  # whatever the compiler raises: it has no error class of its own
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            warnings.warn(f"{self._name}: not compiled, so it runs as without --compile: {why}", stacklevel=2)


def compile_function(function: ClipFunction, clips: Tensor) -> ClipFunction:
    """A program for clips of this shape. Without gradients, the weights become part of it (CPU).

    Raises:
        ModelError: there is no C++ compiler.
        Exception: whatever the compiler raises.
    """
    if clips.device.type == "cpu" and not find_compiler():
        raise ModelError(f"no C++ compiler ({', '.join(CPU_COMPILERS)}) is installed")
    os.environ.setdefault(CACHE_VARIABLE, str(cache_folder()))
    inductor = cast(
        Any, importlib.import_module("torch._inductor.config")
    )  # the compiler, which takes a second to load
    if "TORCH_LOGS" not in os.environ:
        torch._logging.set_logs(all=logging.ERROR)
    program = cast(ClipFunction, torch.compile(function, dynamic=False))
    with warnings.catch_warnings(), inductor.patch(freezing=clips.device.type == "cpu"):
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
