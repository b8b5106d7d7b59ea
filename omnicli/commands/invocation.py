"""Command lines as data: which one runs now, and what a command would run, without running it."""

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, cast

import typer
from typer.core import TyperCommand

from omnicli.commands.help import OmniCommand, help_text
from omnicli.errors import OmniError, UsageError

if TYPE_CHECKING:
    from omnicli.commands.options.logging import LoggingOptions
    from omnicli.commands.options.streams import StreamOptions
    from omnicli.commands.run.one_output import StageSpec

# Commands that handle each record by itself, so that input files can become jobs
MAP_COMMANDS = ("index", "dedup", "filter", "segment", "inflate", "features", "pack", "flow", "eval")


@dataclass(frozen=True)
class Prepared:
    """What a command hands to the runner: the stage and its options, checked, nothing loaded."""

    spec: "StageSpec"
    streams: "StreamOptions"
    logging: "LoggingOptions"


_PREPARED: ContextVar[list[Prepared] | None] = ContextVar("prepared", default=None)


def command_module(name: str) -> ModuleType:
    """The module of a command by its name on the command line."""
    return import_module(f"omnicli.commands.{name.replace('-', '_')}")


def load_command(name: str) -> TyperCommand:
    """Import a command by its name on the command line, with all its options."""
    module = command_module(name)
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    alone.command(name, cls=OmniCommand, help=help_text(module.__doc__ or ""))(module.command)
    return cast(TyperCommand, typer.main.get_command(alone))


def prepare(argv: Sequence[str]) -> Prepared:
    """Parse and check a command line, and return what it would run.

    Args:
        argv: the words after ``omni``, such as ``["filter", "--teacher", "tsn.pth", "web/", "-o", "kept/"]``.

    Raises:
        UsageError: the options are wrong, or the command does not run per input file.
        OmniError: a file that the options name cannot be read.
    """
    name, *rest = argv or [""]
    if name not in MAP_COMMANDS:
        raise UsageError(f"{name or 'no command'}: jobs are made of {', '.join(MAP_COMMANDS)}")
    found: list[Prepared] = []
    token = _PREPARED.set(found)
    try:
        load_command(name).main(rest, prog_name=f"omni {name}", standalone_mode=False)
    except OmniError:
        raise
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of Typer
            raise UsageError(f"{name}: {error.format_message()}") from None
        raise
    finally:
        _PREPARED.reset(token)
    if not found:
        raise UsageError(f"{name}: these options run nothing (help was asked for)")
    return found[0]


def hand_over(spec: "StageSpec", streams: "StreamOptions", logging: "LoggingOptions") -> bool:
    """Under ``prepare``: give it what the command would run now, and return True. Else False."""
    found = _PREPARED.get()
    if found is not None:
        found.append(Prepared(spec, streams, logging))
    return found is not None


def refuse_to_prepare(what: str) -> None:
    """Raises UsageError under ``prepare``: ``what`` runs at once, and cannot be divided into jobs."""
    if _PREPARED.get() is not None:
        raise UsageError(f"{what} makes one result and cannot be divided into jobs")


@contextlib.contextmanager
def running(argv: Sequence[str]) -> Iterator[None]:
    """During the block, ``current_argv`` returns these words."""
    token = _ARGV.set(tuple(argv))
    try:
        yield
    finally:
        _ARGV.reset(token)


_ARGV: ContextVar[tuple[str, ...]] = ContextVar("argv", default=())


def current_argv() -> tuple[str, ...]:
    """The words after ``omni`` of the command that runs now; empty outside a command."""
    return _ARGV.get()
