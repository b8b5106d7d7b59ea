"""Libraries under ``ulimit -v``: where there is hardly room for them, PyTorch and OpenCV crash while they load.

A process cannot survive that, so under a limit a child process tries first. Without one nothing happens.
"""

import importlib.abc
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from omnicli.errors import OmniError

# The first import of a key tries all of its libraries, with room to spare: a command that loads them needs more.
TRIED = {
    "cv2": ("OpenCV", ("cv2", "av"), 32 << 20),
    "torch": ("PyTorch", ("torch", "torchvision", "timm", "cv2", "av"), 256 << 20),
}
ENOUGH = 32 << 30  # Ours: bytes in which every build of the libraries loads
_FOUND, _OTHER_ERROR = 0, 2  # exit codes of the child; by all others it died of the limit
_CHILD = f"""
import mmap, os, sys
sys.path[:] = sys.argv[2].split(os.pathsep)
from omnicli.errors import is_out_of_memory
try:
    room = mmap.mmap(-1, int(sys.argv[1]))
    for name in sys.argv[3:]:
        __import__(name)
    torch = sys.modules.get("torch")
    if torch:
        torch.ones(1 << 20).sum()  # starts the threads of OpenMP
except ImportError as error:
    os._exit(1 if is_out_of_memory(error) else {_OTHER_ERROR})
os._exit({_FOUND})
"""


def try_libraries_first() -> None:
    """Under a limit, let a child process load a library of ``TRIED`` before this process does."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < ENOUGH:
        sys.meta_path.insert(0, _TryFirst(limit))


class _TryFirst(importlib.abc.MetaPathFinder):
    """Notices the first import of a library, and leaves finding it to the other finders."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._untried = dict(TRIED)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """None.

        Raises:
            OmniError: there is no room for the library.
        """
        found = self._untried.pop(name, None)
        if found is not None:
            product, libraries, spare = found
            for library in libraries:
                self._untried.pop(library, None)
            if not _can_load(libraries, spare):
                raise OmniError(
                    f"out of memory: no room to load {product} under ulimit -v {self._limit >> 10}; raise the limit"
                )
        return None


def _can_load(libraries: Sequence[str], spare: int) -> bool:
    """Whether a process like this one can load them; True too if something else than memory is missing."""
    command = [sys.executable, "-c", _CHILD, str(spare), os.pathsep.join(sys.path), *libraries]
    quiet = subprocess.DEVNULL
    try:
        code = subprocess.run(command, check=False, stdin=quiet, stdout=quiet, stderr=quiet).returncode
    except OSError:
        return False
    return code in (_FOUND, _OTHER_ERROR)
