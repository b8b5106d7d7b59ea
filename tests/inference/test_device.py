"""Devices and precisions by name, and the choice of auto."""

import pytest
import torch

from omnicli.errors import UsageError
from omnicli.inference import device as module
from omnicli.inference.device import pick_device, pick_precision, prepare_cpu

CPU = torch.device("cpu")


def test_the_cpu_is_always_available():
    assert pick_device("cpu") == CPU
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "cpu:1", "cuda:", "cuda:-1", "cuda:x", "", "cuda:999"])
def test_unknown_devices_are_usage_errors_with_the_value(name):
    with pytest.raises(UsageError, match="--device"):
        pick_device(name)


def test_known_precisions_are_accepted_and_others_refused():
    assert pick_precision("float32", CPU) == torch.float32
    assert pick_precision("bfloat16", CPU) == torch.bfloat16
    with pytest.raises(UsageError, match="half"):
        pick_precision("half", CPU)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("processor : 0\nflags\t: fpu avx512f avx512_bf16 sse\n", torch.bfloat16),
        ("flags : fpu amx_bf16\n", torch.bfloat16),
        ("flags : fpu avx2 avx512f\n", torch.float32),
        ("Features : fp asimd\n", torch.float32),
        (None, torch.float32),
    ],
)
def test_auto_is_bfloat16_only_on_cpus_with_native_support(tmp_path, monkeypatch, info, expected):
    path = tmp_path / "cpuinfo"
    if info is not None:
        path.write_text(info)
    monkeypatch.setattr(module, "CPU_INFO", path)
    assert pick_precision("auto", CPU) == expected


def test_float32_on_a_gpu_is_not_rounded_to_tf32(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert pick_precision("float32", CPU) == torch.float32
    assert torch.backends.cudnn.allow_tf32
    assert pick_precision("float32", torch.device("cuda")) == torch.float32
    assert not torch.backends.cudnn.allow_tf32


def test_threads_can_be_set():
    before = torch.get_num_threads()
    try:
        prepare_cpu(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
