"""Freed memory that stays mapped: in processes of their own, since the C library's settings last as long as one."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from omnicli.inference import allocator

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
NUM_BLOCKS, BLOCK = 20, 64 << 20
# Allocates, writes and frees one block after another, as layers do; prints whether memory is kept, and the page faults.
CHILD = f"""
import ctypes, resource, sys
from omnicli.inference.allocator import keep_freed_memory
kept = keep_freed_memory() if sys.argv[1] == "kept" else False
library = ctypes.CDLL(None)
library.prctl(41, 1, 0, 0, 0)  # PR_SET_THP_DISABLE: pages of one size
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
library.malloc.argtypes = [ctypes.c_size_t]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({NUM_BLOCKS}):
    block = library.malloc({BLOCK})
    library.memset(block, 1, {BLOCK})
    library.free(block)
print(int(kept), (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize() // {BLOCK})
"""


def child(mode: str, **environment: str) -> tuple[bool, int]:
    """Whether memory is kept, and how often a block was paged in."""
    run = subprocess.run(
        [sys.executable, "-c", CHILD, mode], env=os.environ | environment, capture_output=True, text=True, check=True
    )
    kept, times = run.stdout.split()
    return kept == "1", int(times)


@glibc
def test_a_freed_block_is_not_paged_in_again():
    assert child("as it was") == (False, NUM_BLOCKS)
    kept, times = child("kept")
    assert kept
    assert times <= 2


@glibc
@pytest.mark.parametrize(
    "environment",
    [{"MALLOC_MMAP_MAX_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536:glibc.malloc.tcache_count=7"}],
)
def test_the_settings_of_the_user_win(environment):
    assert child("kept", **environment) == (False, NUM_BLOCKS)


@pytest.mark.parametrize("library", [object(), OSError, TypeError])
def test_other_systems_stay_as_they_are(monkeypatch, library):
    def load(name):
        if isinstance(library, type):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not allocator.keep_freed_memory()
