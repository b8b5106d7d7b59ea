"""timm and torchvision start without the compiler, which stays usable."""

import importlib
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from omnicli.models import libraries
from omnicli.models.libraries import UTILS, _Utils, compiler_later

START = """
import sys, torch
late = {"torch._dynamo", "torch._dynamo.utils", "triton"}
if not torch.__version__.startswith("2.6."):  # which loads sympy for torchvision, without the compiler
    late.add("sympy")
from omnicli.models.libraries import library
library("timm"), library("torchvision.models"), library("torchvision.ops")
print(sorted(late & set(sys.modules)))
"""


@pytest.fixture
def no_compiler(monkeypatch):
    """A process that has not loaded the compiler; a small module is the compiler."""
    real = SimpleNamespace(is_compile_supported=lambda device: device == "cpu", counters={"frames": 1})
    for name in [name for name in sys.modules if name.startswith(libraries.COMPILER)]:
        monkeypatch.delitem(sys.modules, name)
    imported = []

    def import_module(name):
        if name == "torch.compiler":
            return torch.compiler
        imported.append(name)
        return real

    monkeypatch.setattr(importlib, "import_module", import_module)
    return imported


def test_timm_and_torchvision_load_no_compiler():
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[]"


def test_a_name_of_the_compiler_is_loaded_when_it_is_called(no_compiler):
    with compiler_later():
        is_supported = sys.modules[UTILS].is_compile_supported
    assert UTILS not in sys.modules
    assert no_compiler == []
    assert is_supported("cpu") is True
    assert no_compiler == [UTILS]


def test_any_other_name_loads_the_compiler_at_once(no_compiler):
    with compiler_later():
        stand_in = sys.modules[UTILS]
        assert stand_in.counters == {"frames": 1}
        assert UTILS not in sys.modules
        assert not hasattr(stand_in, "__path__")
    assert no_compiler == [UTILS]


def test_what_is_disabled_for_the_compiler_runs_as_before(no_compiler, monkeypatch):
    seen = []
    monkeypatch.setattr(torch.compiler, "disable", lambda function, recursive=True: seen.append(function) or function)
    before = torch.compiler.disable
    with compiler_later():

        @torch.compiler.disable
        def double(value, *, times=2):
            """Times two."""
            return value * times

        assert seen == []
    assert torch.compiler.disable is before
    assert (double(3), double(3, times=3), double.__doc__, len(seen)) == (6, 9, "Times two.", 1)


def test_a_process_that_has_the_compiler_keeps_it(no_compiler, monkeypatch):
    real = ModuleType(libraries.COMPILER)
    monkeypatch.setitem(sys.modules, libraries.COMPILER, real)
    before = torch.compiler.disable
    with compiler_later():
        assert torch.compiler.disable is before
        assert not isinstance(sys.modules.get(UTILS), _Utils)
