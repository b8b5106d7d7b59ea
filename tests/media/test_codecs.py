import subprocess
import sys

import av
import cv2

from omnicli.media.codecs import muted_c, quiet_codecs


def test_codecs_use_one_thread_and_log_nothing():
    quiet_codecs()
    assert cv2.getNumThreads() == 1
    assert av.logging.get_level() is None


def test_c_is_silent_inside_the_block_and_heard_again_behind_it_and_python_always():
    script = """
import ctypes, sys, threading
from omnicli.media.codecs import muted_c
libc = ctypes.CDLL(None)
say = lambda text: (libc.perror(text), libc.fflush(None))
say(b"before")
with muted_c():
    say(b"inside")
    with muted_c():
        say(b"deeper")
    say(b"still inside")
    sys.stderr.write("python\\n")
    sys.stderr.flush()
try:
    with muted_c():
        raise KeyError
except KeyError:
    pass
say(b"after")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["before", "python", "after"]


def test_overlapping_blocks_of_threads_put_the_stream_back_once():
    from omnicli.media import codecs

    before = codecs._Streams.variable.value if codecs._Streams.variable is not None else None
    outer, inner = muted_c(), muted_c()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    if before is not None:
        assert codecs._Streams.variable.value == codecs._Streams.nothing
    inner.__exit__(None, None, None)
    assert (codecs._Streams.variable.value if before is not None else None) == before
