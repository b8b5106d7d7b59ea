"""Codecs with one thread and without messages."""

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av
import cv2
import numpy as np


def quiet_codecs() -> None:
    """One thread in each call, since we run many calls at once, and no log lines on stderr."""
    cv2.setNumThreads(1)
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)
    elif hasattr(cv2, "utils"):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    av.logging.set_level(None)  # FFmpeg's messages; errors still arrive as exceptions


@contextmanager
def muted_c() -> Iterator[None]:
    """Silence for libjpeg and libpng, which print to C's ``stderr`` and offer no switch through OpenCV.

    Meanwhile that variable points at nothing. Python's own ``sys.stderr`` writes to the descriptor and is not touched,
    nor is anything written outside the block. Blocks may overlap in several threads; the last one out puts it back.
    """
    with _lock:
        _enter()
    try:
        yield
    finally:
        with _lock:
            _leave()


def imdecode(data: bytes, flags: int) -> np.ndarray | None:
    """An image decoded by OpenCV, in silence; None if it does not decode. The orientation of Exif is not applied."""
    with muted_c():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            return None


class _Streams:
    """C's ``stderr`` variable, what it held, and how many blocks are open."""

    variable: ctypes.c_void_p | None = None
    nothing: int | None = None
    original: int | None = None
    num_open = 0


_lock = threading.Lock()


def _find_stderr() -> None:
    """Only where ``stderr`` is a variable that may be set: glibc and macOS; elsewhere warnings stay visible."""
    name = "__stderrp" if sys.platform == "darwin" else "stderr"
    if sys.platform != "darwin" and platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    libc.fopen.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
    _Streams.nothing = libc.fopen(b"/dev/null", b"we")
    if _Streams.nothing:
        _Streams.variable = ctypes.c_void_p.in_dll(libc, name)


def _enter() -> None:
    _Streams.num_open += 1
    if _Streams.num_open == 1 and _Streams.variable is not None:
        _Streams.original = _Streams.variable.value
        _Streams.variable.value = _Streams.nothing


def _leave() -> None:
    _Streams.num_open -= 1
    if _Streams.num_open == 0 and _Streams.variable is not None:
        _Streams.variable.value = _Streams.original


_find_stderr()
