"""The memory of a network on a CPU: the C library keeps what one batch frees for the next one.

glibc maps every large block anew, gives it back as soon as it is free, and shrinks its heap. PyTorch frees the output
of each layer after the next one: half of the time of a small network went into page faults.
"""

import contextlib
import ctypes
import os

# Of glibc's mallopt: no block is mapped (M_MMAP_MAX), and the heap never shrinks (M_TRIM_THRESHOLD).
SETTINGS = {"mmap_max": (-4, 0), "trim_threshold": (-1, -1)}


def keep_freed_memory() -> bool:
    """Whether the C library keeps freed memory from now on: it is glibc, and the environment does not say otherwise.

    ``MALLOC_MMAP_MAX_`` and ``MALLOC_TRIM_THRESHOLD_``, or the same names in ``GLIBC_TUNABLES``, win.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):  # other systems and C libraries
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (others may have a mallopt of other numbers)
        chosen = [setting for name, setting in SETTINGS.items() if not _is_set(name)]
        taken = [library.mallopt(*setting) for setting in chosen]  # 1 each
        return bool(sum(taken) == len(SETTINGS))
    return False


def _is_set(name: str) -> bool:
    """Whether the user's environment decides a setting."""
    return f"MALLOC_{name.upper()}_" in os.environ or f"glibc.malloc.{name}" in os.environ.get("GLIBC_TUNABLES", "")
