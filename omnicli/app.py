"""The ``omni`` command: a list of subcommands, and what an error becomes: one line on stderr and an exit code."""

import contextlib
import errno
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from omnicli import __version__
from omnicli.commands import (
    balance,
    convert,
    dedup,
    features,
    index,
    inflate,
    pack,
    queries,
    report,
    segment,
    teacher_train,
    train,
)
from omnicli.commands import eval as eval_command
from omnicli.commands import filter as filter_command
from omnicli.errors import Interrupted, OmniError, OutputError

# Read by OpenMP when torch loads it: its idle threads sleep instead of spinning, so that decoders and other jobs of the
# machine get the cores. A teacher's forward pass ran 2 to 4 times faster so wherever anything else was running.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EXIT_BUG = 70
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_CTRL_C = 128 + signal.SIGINT
EXIT_PIPE_CLOSED = 128 + signal.SIGPIPE
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

EPILOG = """[bold]Exit codes[/bold]

  0   done
  1   an error you can act on
  2   usage
  3   more unreadable media than --max-bad; the output is complete
 65   bad input
 66   bad checkpoint
 70   a bug of ours; a log is named
 73   an output cannot be written
 75   interrupted: run the same command again to go on (143 without -o)
130   Ctrl-C
141   the reader closed the pipe

[bold]Environment[/bold]

OMNI_DEVICE, OMNI_PRECISION, OMNI_WORKERS, OMNI_BATCH_SIZE, OMNI_SEED, OMNI_DEBUG=1 (tracebacks); NO_COLOR
"""


class OmniGroup(TyperGroup):
    """Turns what a command raises into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _forget(sys.stdout)
            raise typer.Exit(EXIT_PIPE_CLOSED) from None
        except KeyboardInterrupt:
            _say(ctx, "stopped")
            raise typer.Exit(EXIT_CTRL_C) from None
        except OmniError as error:
            _maybe_traceback()
            _say(ctx, str(error))
            code = error.exit_code
            if isinstance(error, Interrupted) and not error.resumable:
                code = EXIT_TERMINATED
            raise typer.Exit(code) from None
        except MemoryError:
            _say(ctx, "out of memory; try a smaller --batch-size or fewer --workers")
            raise typer.Exit(1) from None
        except Exception as error:
            if isinstance(error, OSError) and (problem := _flush(sys.stdout)):
                _say(ctx, f"stdout: cannot write: {problem.strerror}")
                raise typer.Exit(OutputError.exit_code) from None
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                _say(ctx, f"{error.filename or 'stdout'}: cannot write: {error.strerror}")
                raise typer.Exit(OutputError.exit_code) from None
            if type(error).__module__.partition(".")[0] in ("typer", "click"):
                raise  # Typer's own: usage errors and exits
            _maybe_traceback()
            _say(ctx, f"a bug in omni: {type(error).__name__}: {error}; the traceback is in {_write_log(ctx)}")
            raise typer.Exit(EXIT_BUG) from None


def _help_text(docstring: str) -> str:
    """A module's docstring as help: prose flows, indented examples keep their lines and gain a prompt."""
    paragraphs = (
        "\n".join(f"$ {line.strip()}" for line in paragraph.splitlines())
        if paragraph.startswith("    ")
        else " ".join(paragraph.split())
        for paragraph in docstring.strip().split("\n\n")
    )
    return "\n\n".join(paragraphs)


app = typer.Typer(
    cls=OmniGroup,
    help="Webly-supervised video recognition (OmniSource), one shell stage at a time: JSON lines in, JSON lines out.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

STAGES, SUPPORT = "Stages", "Support"
COMMANDS: list[tuple[str, Callable[..., None], str]] = [
    ("dedup", dedup.command, STAGES),
    ("teacher-train", teacher_train.command, STAGES),
    ("filter", filter_command.command, STAGES),
    ("segment", segment.command, STAGES),
    ("balance", balance.command, STAGES),
    ("inflate", inflate.command, STAGES),
    ("train", train.command, STAGES),
    ("eval", eval_command.command, STAGES),
    ("queries", queries.command, SUPPORT),
    ("index", index.command, SUPPORT),
    ("features", features.command, SUPPORT),
    ("pack", pack.command, SUPPORT),
    ("report", report.command, SUPPORT),
    ("convert", convert.command, SUPPORT),
]
for _name, _command, _panel in COMMANDS:
    _help = _help_text(sys.modules[_command.__module__].__doc__ or "")
    app.command(_name, rich_help_panel=_panel, help=_help)(_command)


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: versions of everything, as JSON.")] = False,
) -> None:
    """What ``omni`` itself takes."""
    if as_json and not version:
        raise typer.BadParameter("--json goes with --version")
    if version:
        typer.echo(json.dumps(_versions()) if as_json else f"omni {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point of the console script."""
    _spell_names_in_utf8()
    _open_closed_streams()
    code: Any = 0
    listener = _stdout_again() if {"-h", "--help"} & set(sys.argv) else None
    problem: OSError | None = None
    try:
        app(prog_name="omni")
    except SystemExit as end:
        code = end.code
        if code == 1 and _is_deserted(listener):
            code = EXIT_PIPE_CLOSED  # Typer's own end of a help that nobody reads
    except OSError as error:  # help is printed before there is a command
        problem = error
        _forget(sys.stdout)
    problem = problem or _flush(sys.stdout)
    if isinstance(problem, BrokenPipeError):
        code = code or EXIT_PIPE_CLOSED
    elif problem and not code:
        print(f"omni: stdout: cannot write: {problem.strerror}", file=sys.stderr)  # noqa: T201
        code = OutputError.exit_code
    _flush(sys.stderr)
    _leave(code)


def _leave(code: Any) -> NoReturn:
    """End the process with ``code``, also while a thread reads ahead.

    The interpreter's own end would unwind such a thread where it waits for the lock, inside PyTorch's C++, and that
    aborts: a job that was stopped with its state saved would end with 134 and not with 75, and not be requeued. Outputs
    are closed by now.
    """
    if any(thread.daemon for thread in threading.enumerate()):
        os._exit(code or 0)
    sys.exit(code)


def _versions() -> dict[str, str]:
    from importlib import metadata  # noqa: PLC0415 (only --version --json pays for it)

    packages = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "av", "h5py", "msgspec", "typer")
    versions = {"omni": __version__, "python": sys.version.split()[0]}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _stdout_again() -> int | None:
    """Another descriptor of stdout, which keeps it in sight where ``rich`` points the first one at nothing."""
    try:
        return os.dup(1)
    except OSError:
        return None


def _is_deserted(descriptor: int | None) -> bool:
    """True for a pipe whose reader has gone away."""
    if descriptor is None:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _spell_names_in_utf8() -> None:
    """Start over in Python's UTF-8 mode where the locale is another: names in records are UTF-8 in any locale."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _open_closed_streams() -> None:
    """Give the standard streams that our caller closed to nobody, lest a file we open gets their number and our words.

    A closed stdin or stdout stays None for Python: who needs it says so. What would go to a closed stderr is lost.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
    if sys.stderr is None:
        # print(file=None) would write to stdout
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (lives as long as the process)


def _say(ctx: Any, text: str) -> None:
    name = ctx.invoked_subcommand or "omni"
    with contextlib.suppress(OSError):  # a full disk under stderr: the exit code still tells
        print(f"omni {name}: {text}" if name != "omni" else f"omni: {text}", file=sys.stderr)  # noqa: T201


def _maybe_traceback() -> None:
    if os.environ.get("OMNI_DEBUG") == "1":
        traceback.print_exc(file=sys.stderr)


def _write_log(ctx: Any) -> Path:
    """Keep the traceback where the user can find it."""
    name = f"omni-{ctx.invoked_subcommand}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path = Path(tempfile.gettempdir()) / name
    path.write_text(f"omni {__version__}\n{' '.join(sys.argv)}\n{traceback.format_exc()}", encoding="utf-8")
    return path


def _flush(stream: TextIO) -> OSError | None:
    """Hand on what a standard stream still holds; where that fails, the error, and what it holds is forgotten."""
    try:
        stream.flush()
    except OSError as error:
        _forget(stream)
        return error
    except (AttributeError, ValueError):  # closed
        pass
    return None


def _forget(stream: TextIO) -> None:
    """Python flushes stdout and stderr once more at exit and would complain that nobody listens."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
    except (OSError, ValueError):
        pass
