"""Device, precision, number of threads and memory of a run."""

from pathlib import Path

import torch

from omnicli.cpus import available_cores
from omnicli.errors import UsageError
from omnicli.inference.allocator import keep_freed_memory

CPU_INFO = Path("/proc/cpuinfo")
NATIVE_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` (CUDA if available, else CPU), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: any other name, or a CUDA device that the machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, colon, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (colon and not (kind == "cuda" and index.isdecimal())):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda or cuda:N")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            raise UsageError(f"--device {name}: this machine has {count} usable CUDA devices; use --device cpu")
    return torch.device(name)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The dtype of the forward pass: ``float32``, ``bfloat16``, or ``auto``: bfloat16 if native, else float32.

    Emulated bfloat16 is slower than float32. CPUs with avx512_bf16 or AMX and GPUs of compute capability 8.0 or higher
    have native bfloat16. ``float32`` on a GPU switches TF32 off in convolutions of the whole process: cuDNN would round
    their factors to 10 bits, and scores could differ from a CPU's by more than 1e-4.

    Raises:
        UsageError: any other name.
    """
    if name in PRECISIONS:
        if name == "float32" and device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False
        return PRECISIONS[name]
    if name != "auto":
        raise UsageError(f"--precision {name}: expected auto, float32 or bfloat16")
    return torch.bfloat16 if _has_native_bf16(device) else torch.float32


def prepare_cpu(num_threads: int | None = None) -> None:
    """Set torch's threads (default: the cores available to this process), and keep the memory of networks mapped."""
    torch.set_num_threads(num_threads or available_cores())
    keep_freed_memory()


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and not NATIVE_BF16_FLAGS.isdisjoint(_cpu_flags())


def _cpu_flags() -> set[str]:
    """CPU features of the first core; empty if the system does not list them."""
    try:
        for line in CPU_INFO.read_text().splitlines():
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()
