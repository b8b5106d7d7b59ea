"""The ``omni`` command: a list of subcommands, and the exit code and message of every error."""

import contextlib
import json
import os
import re
import signal
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from omnicli import __version__, memory_limit, process
from omnicli.commands.invocation import load_command, running
from omnicli.errors import Interrupted, OmniError, OutputError, is_no_room, is_out_of_memory

# OpenMP reads this when torch loads it: idle threads sleep instead of spinning, so that decoders and other jobs get the
# cores. The forward pass ran 2 to 4 times faster while other processes were running.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

EXIT_INTERNAL = 70
EXIT_TERMINATED = 128 + signal.SIGTERM
EXIT_CTRL_C = 128 + signal.SIGINT
EXIT_PIPE_CLOSED = 128 + signal.SIGPIPE
# Name of a command: the first paragraph of the docstring of omnicli/commands/NAME.py
STAGES = {
    "teacher-train": "Train a teacher on labelled clips.",
    "dedup": "Reject web images and videos that copy a target record, so that no validation data is trained on.",
    "filter": "Keep the web images and videos that a teacher is confident about, and label them.",
    "segment": "Find where long web videos show their class: frames for 2D teachers, clips for 3D teachers.",
    "balance": "Weight web records by class, so that training draws small classes more often and large ones less.",
    "inflate": "Turn web images into clips as a moving camera would see them; other media pass unchanged.",
    "train": "Train a student jointly on the target and all auxiliary sources (OmniSource Sec. 3.6).",
    "eval": "Test a model on labelled records: accuracy, mAP, confused classes, and changes against another model.",
}
SUPPORT = {
    "queries": "Turn class names into search queries or hashtags.",
    "zero-shot": "Turn class names into a teacher, without labelled clips.",
    "index": "Turn folders, lists and tars of media into records.",
    "features": "Write backbone features of media to HDF5 shards, for de-duplication and classifier-only training.",
    "pack": "Write resized frames of media to HDF5 shards, which training reads many times faster than videos.",
    "flow": "Write the optical flow of videos to HDF5 shards, for the second stream of two-stream models.",
    "report": "Make one self-contained HTML page of kept and rejected records, metrics or camera motion.",
    "convert": "Convert a checkpoint to another format: omni, mmaction2, mmaction (before it), safetensors or ONNX.",
}
COMMANDS = STAGES | SUPPORT
EPILOG = """The usual order: index, teacher-train, dedup, filter (for long videos: segment), train, eval, report.

omni COMMAND -h lists the most used options, omni COMMAND --help or omni help COMMAND all of them.

[bold]Exit codes[/bold]

  0   success
  1   any other error; the message says what to do
  2   wrong usage
  3   nothing readable, or more bad records than --max-bad; output complete
 65   invalid input
 66   invalid checkpoint
 70   internal error (a log file is printed)
 73   an output cannot be written
 75   interrupted: run the same command again to continue (143 without -o)
130   Ctrl-C
141   the reader closed the pipe

[bold]Environment[/bold]

OMNI_DEVICE, OMNI_PRECISION, OMNI_WORKERS, OMNI_BATCH_SIZE, OMNI_SEED, OMNI_DEBUG=1 (tracebacks); NO_COLOR
"""


class OmniGroup(TyperGroup):
    """Turns the exception of a subcommand into one line on stderr and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """``omni help COMMAND`` is ``omni COMMAND --help``."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Typer's page, whose table of options shows no type for those that take no value."""
        for option in self.get_params(ctx):
            option.metavar = ""
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the subcommand: only the one that was asked for, so that ``omni --help`` starts fast."""
        name, command, rest = super().resolve_command(ctx, args)
        ctx.with_resource(running(args))
        return name, command and load_command(command.name or ""), rest

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            process.discard(sys.stdout)
            raise typer.Exit(EXIT_PIPE_CLOSED) from None
        except KeyboardInterrupt:
            raise _exit(ctx, EXIT_CTRL_C, "stopped") from None
        except OmniError as error:
            process.print_traceback_if_debugging()
            is_lost = isinstance(error, Interrupted) and not error.resumable
            raise _exit(ctx, EXIT_TERMINATED if is_lost else error.exit_code, str(error)) from None
        except Exception as error:
            if is_out_of_memory(error):
                process.print_traceback_if_debugging()
                raise _exit(ctx, 1, "out of memory; try a smaller --batch-size or fewer --workers") from None
            if isinstance(error, OSError) and (problem := process.flush(sys.stdout)):
                raise _exit(ctx, OutputError.exit_code, f"stdout: cannot write: {problem.strerror}") from None
            if isinstance(error, OSError) and is_no_room(error):
                name = error.filename or "stdout"
                raise _exit(ctx, OutputError.exit_code, f"{name}: cannot write: {error.strerror}") from None
            if type(error).__module__.partition(".")[0] in ("typer", "click"):
                raise  # Typer's own: usage errors and exits
            process.print_traceback_if_debugging()
            process.crash_log.add(error, str(ctx.invoked_subcommand))
            what = f"{type(error).__name__}: {error}"
            where = process.crash_log.path or "no file, for TMPDIR cannot be written: set OMNI_DEBUG=1"
            raise _exit(ctx, EXIT_INTERNAL, f"internal error: {what}; the traceback is in {where}") from None


def _exit(ctx: Any, code: int, text: str) -> typer.Exit:
    """Print one line and make the exception that ends the command with this code."""
    name = f"omni {ctx.invoked_subcommand}" if ctx.invoked_subcommand else "omni"
    process.print_error(f"{name}: {text}")
    return typer.Exit(code)


EXTRA_REQUIREMENT = re.compile(r"""([\w.-]+).*;.*extra == ['"]([\w-]+)['"]""")  # of a package's metadata


app = typer.Typer(
    cls=OmniGroup,
    help="Webly-supervised video recognition (OmniSource) in composable stages: JSON lines in, JSON lines out.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for _name, _purpose in COMMANDS.items():
    _panel = "Stages" if _name in STAGES else "Support"
    app.command(_name, rich_help_panel=_panel, help=_purpose)(lambda: None)  # OmniGroup loads the command itself


@app.callback(invoke_without_command=True)
def options(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("-V", "--version", help="Print the version and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --version: print all versions as JSON.")] = False,
) -> None:
    """Options of ``omni`` itself."""
    if as_json and not version:
        raise typer.BadParameter("--json needs --version")
    if version:
        typer.echo(json.dumps(_versions()) if as_json else f"omni {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
        raise typer.Exit(2)


def main() -> None:
    """Entry point of the console script."""
    process.restart_in_utf8()
    process.reopen_closed_streams()
    memory_limit.try_libraries_first()
    warnings.showwarning = process.show_warning
    code: Any = 0
    asks_help = {"-h", "--help", "help"} & set(sys.argv)
    stdout = process.duplicate_stdout() if asks_help else None
    problem: OSError | None = None
    try:
        app(prog_name="omni")
    except SystemExit as end:
        code = end.code
        if code == 1 and process.has_no_reader(stdout):
            code = EXIT_PIPE_CLOSED  # Typer's exit code for help that has no reader
    except OSError as error:  # help is printed before there is a command
        problem = error
        process.discard(sys.stdout)
    problem = problem or process.flush(sys.stdout)
    if isinstance(problem, BrokenPipeError):
        code = code or EXIT_PIPE_CLOSED
    elif problem and not code:
        process.print_error(f"omni: stdout: cannot write: {problem.strerror}")
        code = OutputError.exit_code
    process.flush(sys.stderr)
    process.exit_process(code)


def _versions() -> dict[str, Any]:
    """Versions of omni, Python and the packages that it needs; those of each extra under ``extras``."""
    from importlib import metadata  # noqa: PLC0415 (only --version --json needs it)

    packages = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "av", "h5py", "msgspec", "typer")

    def version_of(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "not installed"

    extras: dict[str, dict[str, str]] = {}
    with contextlib.suppress(metadata.PackageNotFoundError):  # a checkout on PYTHONPATH
        for line in metadata.requires("omnicli") or []:
            if (found := EXTRA_REQUIREMENT.match(line)) and found[2] != "dev":
                extras.setdefault(found[2], {})[found[1]] = version_of(found[1])
    own = {"omni": __version__, "python": sys.version.split()[0]}
    return {**own, **{package: version_of(package) for package in packages}, "extras": extras}
