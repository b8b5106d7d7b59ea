"""The process around a command: standard streams, stop signals, crash log, exit."""

import contextlib
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

from omnicli import __version__
from omnicli.errors import Interrupted
from omnicli.printable import printable


class Stop:
    """Whether the process was asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.error: Interrupted | None = None

    @property
    def is_requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.error is not None

    def check(self) -> None:
        """Raises Interrupted: a signal has arrived."""
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def stopping_on(*signals: signal.Signals, remedy: str, resumable: bool, at_once: bool) -> Iterator[Stop]:
    """Turn stop signals into an orderly end, so that files are closed and the state stays valid.

    Args:
        signals: which ones, such as SIGTERM.
        remedy: what the message says after the signal.
        resumable: whether the same command can continue.
        at_once: raise Interrupted wherever the main thread is; else only note the signal in the Stop.

    Imported code may catch the exception: whatever it makes of it, the block ends as the stop that it was.
    """
    stop = Stop()

    def on_signal(number: int, frame: object) -> None:
        stop.error = Interrupted(f"stopped by {signal.Signals(number).name}; {remedy}", resumable=resumable)
        if at_once:
            raise stop.error

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield stop
    except Exception:
        if at_once:
            stop.check()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stopping_stage(*, resumable: bool) -> contextlib.AbstractContextManager[Stop]:
    """SIGTERM ends the block at once."""
    remedy = "run the same command again to continue" if resumable else "without -o there is nothing to continue from"
    return stopping_on(signal.SIGTERM, remedy=remedy, resumable=resumable, at_once=True)


def stopping_training() -> contextlib.AbstractContextManager[Stop]:
    """SIGTERM and SIGUSR1, which Slurm sends before the time limit, are noted; training stops after the step."""
    remedy = "run the same command again to continue"
    return stopping_on(signal.SIGTERM, signal.SIGUSR1, remedy=remedy, resumable=True, at_once=False)


def restart_in_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale is another one: names in records are UTF-8 in any locale."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def reopen_closed_streams() -> None:
    """Reopen closed stdin, stdout and stderr on /dev/null, so that files opened later cannot get descriptors 0-2.

    Python's ``sys.stdin`` and ``sys.stdout`` stay None.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    if sys.stderr is None:
        # print(file=None) would write to stdout
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (open until the process ends)


def duplicate_stdout() -> int | None:
    """A second descriptor of stdout, which still shows a closed pipe after ``rich`` has redirected the first."""
    try:
        return os.dup(1)
    except OSError:
        return None


def has_no_reader(descriptor: int | None) -> bool:
    """Whether the descriptor is a pipe whose reader has closed it."""
    if descriptor is None:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def flush(stream: TextIO) -> OSError | None:
    """Flush a standard stream; on failure return the error and discard what is buffered."""
    try:
        stream.flush()
    except OSError as error:
        discard(stream)
        return error
    except (AttributeError, ValueError):  # closed
        pass
    return None


def discard(stream: TextIO) -> None:
    """Redirect a standard stream to /dev/null: Python flushes it again at exit and would report a broken pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def print_error(text: str) -> None:
    """One line on stderr; a full disk under stderr is ignored, because the exit code still reports it."""
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr)  # noqa: T201


def show_warning(message: object, *where: object, **more: object) -> None:
    """A warning of Python's as one line on stderr, without file and line of a library."""
    print_error(f"omni: warning: {message}")


def print_traceback_if_debugging() -> None:
    """The traceback of the current exception, under ``OMNI_DEBUG=1``."""
    if os.environ.get("OMNI_DEBUG") == "1":
        sys.stderr.write(printable(traceback.format_exc(), keep_lines=True))


def started_at(pid: int) -> str:
    """When a process began, in ticks since the boot; "" if there is none, or it has died and waits for its parent."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


class CrashLog:
    """Tracebacks of internal errors in a file of TMPDIR, one for each line of code that raised.

    Attributes:
        path: of the file; None before the first traceback, or if it cannot be written.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._kinds: set[object] = set()
        self._lock = threading.Lock()

    def add(self, error: BaseException, what: str) -> None:
        """Write the traceback of an error on ``what``, unless one of its kind is there. From any thread."""
        frames = traceback.extract_tb(error.__traceback__)
        kind = (type(error), (frames[-1].filename, frames[-1].lineno) if frames else None)
        with self._lock, contextlib.suppress(OSError):
            if kind in self._kinds:
                return
            self._kinds.add(kind)
            name = f"omni-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
            path = self.path or Path(tempfile.gettempdir()) / name
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                text = f"\n{what}\n{''.join(traceback.format_exception(error))}"
                if self.path is None:
                    text = f"omni {__version__}\n{' '.join(sys.argv)}\n{text}"
                file.write(printable(text, keep_lines=True))
            self.path = path


crash_log = CrashLog()


def exit_process(code: int | str | None) -> NoReturn:
    """End the process with ``code``, also while a thread reads ahead.

    The interpreter's own exit unwinds daemon threads inside PyTorch's C++, which aborts: a stopped job whose state is
    saved would end with 134 instead of 75 and not be requeued. All outputs are closed by now.
    """
    if any(thread.daemon for thread in threading.enumerate()) and not isinstance(code, str):
        os._exit(code or 0)
    sys.exit(code)
