"""The ``omni`` command: a list of subcommands, and what an error becomes: one line on stderr and an exit code."""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from omnicli import __version__
from omnicli.commands import eval as eval_command
from omnicli.commands import features, index, report, teacher_train
from omnicli.commands import filter as filter_command
from omnicli.errors import Interrupted, OmniError

EXIT_BUG = 70
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_CTRL_C = 128 + signal.SIGINT
EXIT_PIPE_CLOSED = 128 + signal.SIGPIPE

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
            _forget_stdout()
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
    ("teacher-train", teacher_train.command, STAGES),
    ("filter", filter_command.command, STAGES),
    ("eval", eval_command.command, STAGES),
    ("index", index.command, SUPPORT),
    ("features", features.command, SUPPORT),
    ("report", report.command, SUPPORT),
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
    app(prog_name="omni")


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


def _say(ctx: Any, text: str) -> None:
    name = ctx.invoked_subcommand or "omni"
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


def _forget_stdout() -> None:
    """Python flushes stdout once more at exit and would complain that nobody listens."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
