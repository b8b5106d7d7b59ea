#!/usr/bin/env python3
"""Write one page per command from its ``--help``: ``docs/commands/*.md``.

    python docs/make_pages.py

A page starts with the docstring of the command's module and its examples. It has one table of options per help panel.
Names, values and defaults come from the signature that Typer reads. The output is deterministic;
``tests/docs/test_make_pages.py`` fails if a page is stale.
"""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from omnicli.app import COMMANDS, EPILOG, STAGES, SUPPORT
from omnicli.commands.invocation import command_module, load_command

FOLDER = Path(__file__).parent / "commands"
NOTE = "<!-- Written by docs/make_pages.py from the command's own help: change that, not this. -->"
ARGUMENTS = "Arguments"
PLACEHOLDERS = {int: "N", float: "X", str: "TEXT"}  # for values without a metavar


@dataclass(frozen=True)
class Parameter:
    """An option or an argument of a command, as Typer sees it."""

    name: str
    spellings: list[str]  # -o, --output; for an argument its name
    info: OptionInfo | ArgumentInfo
    type: Any  # of one value
    repeats: bool
    default: Any

    @property
    def is_argument(self) -> bool:
        """True for positional arguments."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def is_required(self) -> bool:
        """True if the command requires it."""
        return self.default is inspect.Parameter.empty

    @property
    def panel(self) -> str:
        """The heading of its table."""
        return str(self.info.rich_help_panel or (ARGUMENTS if self.is_argument else "Options"))

    @property
    def placeholder(self) -> str:
        """The placeholder of its value, such as FILE."""
        return self.info.metavar or PLACEHOLDERS.get(self.type, self.name.upper())


def pages() -> dict[str, str]:
    """The content of each file below ``docs/commands``."""
    return {"README.md": index()} | {f"{name}.md": page(name) for name in COMMANDS}


def index() -> str:
    """The page that lists all commands, the exit codes and the environment variables."""
    lines = [NOTE, "", "# Commands", ""]
    for panel, commands in (("Stages", STAGES), ("Support", SUPPORT)):
        lines += [f"## {panel}", "", "| command | what it does |", "|---|---|"]
        lines += [f"| [`omni {name}`]({name}.md) | {cell(purpose)} |" for name, purpose in commands.items()]
        lines.append("")
    shared = re.sub(r"\[/?bold\]", "", EPILOG).strip()
    return "\n".join([*lines, "## Exit codes and environment variables", "", "```text", shared, "```", ""])


def page(name: str) -> str:
    """The page of one command: description, examples, options."""
    command = command_module(name).command
    parameters = list(parameters_of(name, command))
    lines = [NOTE, "", f"# omni {name}", "", *opening(command, name), "## Usage", ""]
    lines += ["```text", " ".join(["omni", name, "[OPTIONS]", *usage(parameters)]), "```", ""]
    for panel in dict.fromkeys(parameter.panel for parameter in parameters):
        inside = [parameter for parameter in parameters if parameter.panel == panel]
        lines += [f"## {panel}", "", *(arguments(inside) if panel == ARGUMENTS else table(inside)), ""]
    return "\n".join([*lines, "[All commands](README.md)", ""])


def paragraphs(command: Callable[..., None]) -> list[str]:
    """The paragraphs of the docstring of the command's module."""
    return (sys.modules[command.__module__].__doc__ or "").strip().split("\n\n")


def opening(command: Callable[..., None], name: str) -> Iterator[str]:
    """The docstring as Markdown; consecutive examples become one code block."""
    in_code = False
    for paragraph in paragraphs(command):
        is_code = paragraph.startswith("    ")
        if in_code and not is_code:
            yield from ("```", "")
        elif in_code:
            yield ""
        elif is_code:
            yield "```bash"
        if is_code:
            yield from (line.strip() for line in paragraph.splitlines())
        else:
            yield from (wrapped(prose(paragraph, name)), "")
        in_code = is_code
    if in_code:
        yield from ("```", "")


def parameters_of(name: str, command: Callable[..., None]) -> Iterator[Parameter]:
    """The parameters in the order of the signature, without those that Typer passes itself."""
    spellings = {known.name: [*known.opts, *known.secondary_opts] for known in load_command(name).params}
    hints = get_type_hints(command, include_extras=True)
    for variable, parameter in inspect.signature(command).parameters.items():
        annotation, *notes = get_args(hints[variable]) or (hints[variable],)
        for info in notes:
            if isinstance(info, OptionInfo | ArgumentInfo) and not info.hidden:
                kind, repeats = value_type(annotation)
                yield Parameter(variable, spellings[variable], info, kind, repeats, parameter.default)


def value_type(annotation: Any) -> tuple[Any, bool]:
    """The type of one value, and whether the option repeats.

    >>> value_type(list[str] | None)
    (<class 'str'>, True)
    """
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is list:
        return get_args(annotation)[0], True
    return annotation, False


def usage(parameters: list[Parameter]) -> Iterator[str]:
    """The arguments in the notation of a usage line."""
    for parameter in parameters:
        if parameter.is_argument:
            shown = parameter.placeholder if parameter.is_required else f"[{parameter.placeholder}]"
            yield shown + "..." * parameter.repeats


def arguments(inside: list[Parameter]) -> Iterator[str]:
    """The list of positional arguments."""
    for parameter in inside:
        yield f"- `{parameter.placeholder}`: {prose(parameter.info.help or '')}"


def table(inside: list[Parameter]) -> Iterator[str]:
    """The table of the options of a panel."""
    yield from ("| option | value | default | what it does |", "|---|---|---|---|")
    yield from (row(parameter) for parameter in inside)


def row(parameter: Parameter) -> str:
    """The table row of an option."""
    cells = [names(parameter), value(parameter), default(parameter), meaning(parameter)]
    return " ".join(["|", *(f"{text} |" if text else "|" for text in cells)])


def names(parameter: Parameter) -> str:
    """The spellings of an option, long ones first."""
    return ", ".join(code(name) for name in sorted(parameter.spellings, key=lambda name: not name.startswith("--")))


def value(parameter: Parameter) -> str:
    """The accepted values; empty for a switch."""
    if parameter.type is bool:
        return ""
    if not parameter.info.metavar and (choices := choices_of(parameter.type)):
        return ", ".join(map(code, choices))
    shown = code(parameter.placeholder) + bounds(parameter.info.min, parameter.info.max)
    is_said = "repeat" in (parameter.info.help or "")
    return f"{shown}; may be repeated" if parameter.repeats and not is_said else shown


def choices_of(kind: Any) -> list[str]:
    """The values of a Literal or a StrEnum; none of other types."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return list(kind) if isinstance(kind, type) and issubclass(kind, StrEnum) else []


def bounds(low: float | None, high: float | None) -> str:
    """The range of a number in words."""
    if low is not None and high is not None:
        return f", {low:g} to {high:g}"
    return f", at least {low:g}" if low is not None else f", at most {high:g}" if high is not None else ""


def default(parameter: Parameter) -> str:
    """The default; empty if the option then has no effect."""
    if parameter.is_required:
        return "required"
    if isinstance(shown := parameter.info.show_default, str):
        is_literal = code(shown) in value(parameter).split(", ") or re.fullmatch(r"\S*\d\S*", shown)
        return code(shown) if is_literal else cell(shown)
    if not shown or parameter.default is None or parameter.default is False:
        return ""
    if parameter.default is True:
        return names(parameter).partition(",")[0]
    return code(str(parameter.default))


def meaning(parameter: Parameter) -> str:
    """The help text and the environment variable of an option."""
    text = cell(parameter.info.help or "")
    return f"{text} Environment: {code(str(parameter.info.envvar))}." if parameter.info.envvar else text


def code(text: str) -> str:
    """Text as inline code for a table cell.

    >>> code("FILE|DIR/")
    '`FILE\\\\|DIR/`'
    """
    return f"`{text}`".replace("|", "\\|")


def cell(text: str) -> str:
    """Text as prose for a table cell."""
    return prose(" ".join(text.split())).replace("|", "\\|")


def prose(text: str, page_name: str = "") -> str:
    """Text with options, commands and fields as code, and other commands as links.

    >>> prose("omni filter decides by --threshold and writes pseudo_label.")
    '[`omni filter`](filter.md) decides by `--threshold` and writes `pseudo_label`.'
    """
    word = re.compile(
        r"(?P<code>`[^`]+`)"
        rf"|\bomni\s(?P<command>{'|'.join(sorted(COMMANDS, key=len, reverse=True))})\b"
        r"|(?<![\w/-])(?P<option>--[a-z][a-z0-9-]*=?|-[a-zA-Z0-9])(?![\w-])"
        r"|(?<![\w.-])(?P<field>[a-z0-9]+(?:_[a-z0-9]+)+)\b(?![./-]\w)"
        r"|(?P<markup>[<*])"
    )

    def shown(match: re.Match[str]) -> str:
        if match["command"] == page_name:
            return f"`omni {page_name}`"
        if match["command"]:
            return f"[`omni {match['command']}`]({match['command']}.md)"
        if match["markup"]:
            return {"<": "&lt;", "*": "\\*"}[match["markup"]]
        return match[0] if match["code"] else f"`{match[0]}`"

    return word.sub(shown, text)


def wrapped(text: str) -> str:
    """Text wrapped at 120 columns, for readable diffs."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """Write every page and delete the pages of removed commands."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(made)} pages in {FOLDER}")


if __name__ == "__main__":
    main()
