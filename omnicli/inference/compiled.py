"""Compiled inference: a network as one program of PyTorch's compiler, for batches of one shape.

A program computes what the network computes, but rounds at other places: in bfloat16 its logits differ from those of
the network by about as much as both differ from float32. ``rescoring`` measures the error of both.

- ``on``: all batches run the program, whatever the speed, so that the same input gives the same bytes.
- ``auto``: the network works for ``AFTER_SEC``, so that short jobs compile nothing. Then it is compiled, some batches
  run the program and some the network, and the faster of both does the rest.

Ours: the stream waits for the compiler. Tracing in a second thread is not safe, because PyTorch's tracer replaces
methods of all modules meanwhile, and on a CPU the compiler would take the cores of the network anyway.

The program is checked against the network on the batch that it was compiled for. Where there is no program (no C++
compiler, a network that cannot be compiled, a wrong result), the network itself runs, and a warning says why.
"""

import importlib
import logging
import os
import shutil
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from omnicli.errors import ModelError, UsageError
from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.recogniser import ClipFunction

Mode = Literal["on", "auto"]

AFTER_SEC = 60.0  # Ours: of forward passes, three times what compiling a ResNet-50 takes
TRIALS = 4  # Ours: batches of the program, and as many of the network
LEAST_GAIN = 1.05  # Ours: below, it is noise
CPU_COMPILERS = ("g++", "c++", "clang++")
TOLERANCE = {torch.bfloat16: 0.05, torch.float32: 1e-3}  # of the largest output; a wrong program is off by its size
CACHE_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # of PyTorch


def with_compiler(model: LoadedModel, mode: Mode) -> LoadedModel:
    """The model, whose functions are compiled where it is applied.

    Raises:
        UsageError: ``on``, and the model is a program of another runtime; under ``auto`` it is as it was.
    """
    if not isinstance(model.network, OnnxModel):
        return replace(model, compiler=Compiler(model.name, mode))
    if mode == "on":
        raise UsageError(f"--compile on: {model.name} is an ONNX program, which its own runtime compiles; remove it")
    return model


class Compiler:
    """Makes compiled functions of one model, each once per process.

    Args:
        name: of the model, for the warning.
        mode: when they are compiled.
    """

    def __init__(self, name: str, mode: Mode) -> None:
        self._name = name
        self._mode = mode
        self._made: dict[ClipFunction, CompiledFunction] = {}

    def __call__(self, function: ClipFunction) -> "CompiledFunction":
        """The function, to be compiled once it is called; the same one for the same function."""
        return self._made.setdefault(function, CompiledFunction(function, self._name, self._mode))


class CompiledFunction:
    """A function as a program for batches of the shape that it was compiled for.

    Other numbers of clips are cut or filled up with zeros. Clips of another shape take the function itself.

    Args:
        function: of clips; it stays as it is.
        name: of its model, for the warning.
        mode: when it is compiled.
    """

    def __init__(self, function: ClipFunction, name: str, mode: Mode) -> None:
        self._function = function
        self._name = name
        self._is_auto = mode == "auto"
        self._shape: torch.Size | None = None  # once it was compiled, or could not be
        self._program: ClipFunction | None = None
        self._clock = Clock()
        self._trials: dict[bool, list[float]] = {False: [], True: []}  # seconds of the function, of the program

    def __call__(self, clips: Tensor) -> Tensor:
        """Outputs (N, D) of clips (N, C, T, H, W)."""
        if self._shape is None and (not self._is_auto or self._clock.seconds >= AFTER_SEC):
            self._shape = clips.shape
            self._compile(clips)
        if self._shape is None:
            return self._clock.timed(self._function, clips)
        if self._program is None:
            return self._function(clips)
        if self._is_auto and len(self._trials[True]) < TRIALS and clips.shape == self._shape:
            return self._try(clips)
        return self._run_program(clips)

    def variants(self) -> list[ClipFunction]:
        """All functions that the outputs of now may come from."""
        if self._program is None:
            return [self._function]
        return [self._function, self._run_program] if self._is_auto else [self._run_program]

    def _try(self, clips: Tensor) -> Tensor:
        """Run the program and the function by turns; after the last trial, keep the program only if it is faster."""
        is_program = len(self._trials[False]) > len(self._trials[True])
        before = self._clock.seconds
        outputs = self._clock.timed(self._run_program if is_program else self._function, clips, wait=True)
        self._trials[is_program].append(self._clock.seconds - before)
        if len(self._trials[True]) == TRIALS and min(self._trials[True]) * LEAST_GAIN > min(self._trials[False]):
            self._program = None
        return outputs

    def _run_program(self, clips: Tensor) -> Tensor:
        if self._program is None or self._shape is None or clips.shape[1:] != self._shape[1:]:
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
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            warnings.warn(f"{self._name}: not compiled, so it runs as without --compile: {why}", stacklevel=2)


class Clock:
    """Seconds that functions took.

    Attributes:
        seconds: so far.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: ClipFunction, clips: Tensor, *, wait: bool = False) -> Tensor:
        """The outputs of the function; with ``wait`` a GPU has computed them, without it may still be at work."""
        if wait and clips.is_cuda:
            torch.cuda.synchronize(clips.device)
        start = time.perf_counter()
        outputs = function(clips)
        if wait and outputs.is_cuda:
            torch.cuda.synchronize(outputs.device)
        self.seconds += time.perf_counter() - start
        return outputs


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
        cast(Any, torch._logging).set_logs(all=logging.ERROR)
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
