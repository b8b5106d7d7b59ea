"""timm and torchvision, imported without the compiler of PyTorch.

Both load ``torch._dynamo`` when they are imported, and with it sympy, triton and torch.distributed: half of the
processor time and of the file calls until a model is ready. They want two names of it, which only RoIAlign and one
compiled model (NaFlexViT) call. Ours: while they are imported, these two are functions that load the compiler when they
are called. A version that wants more of the compiler while it is imported gets it, and starts later.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from threading import RLock
from types import ModuleType
from typing import Any, cast

COMPILER, UTILS = "torch._dynamo", "torch._dynamo.utils"
importing = RLock()


def library(name: str) -> Any:
    """The module of timm, torchvision or a library on top of them; takes a second if it is the first."""
    with importing, compiler_later():
        return importlib.import_module(name)


@contextmanager
def compiler_later() -> Iterator[None]:
    """What is imported inside does not load ``torch._dynamo`` for a name that it may never use."""
    compiler = cast(Any, importlib.import_module("torch.compiler"))  # PyTorch itself, not before a model is needed
    if COMPILER in sys.modules:
        yield
        return
    stand_in, disable = _Utils(UTILS), compiler.disable

    def disable_later(function: Callable[..., Any] | None = None, *words: Any, **options: Any) -> Any:
        if function is None:
            return disable(function, *words, **options)
        disabled = cache(lambda: disable(function, *words, **options))
        return wraps(function)(lambda *values, **named: disabled()(*values, **named))

    sys.modules[UTILS], compiler.disable = stand_in, disable_later
    try:
        yield
    finally:
        compiler.disable = disable
        stand_in.leave()


class _Utils(ModuleType):
    """``torch._dynamo.utils`` until somebody asks it for another name than that of RoIAlign."""

    def is_compile_supported(self, device_type: str) -> bool:
        """The answer of the compiler, which is loaded."""
        return bool(self.real().is_compile_supported(device_type))

    def real(self) -> Any:
        """The module itself."""
        self.leave()
        return importlib.import_module(UTILS)

    def leave(self) -> None:
        """Make room for the module itself."""
        if sys.modules.get(UTILS) is self:
            del sys.modules[UTILS]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of every module
            raise AttributeError(name)
        return getattr(self.real(), name)
