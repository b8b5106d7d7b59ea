"""Help pages: ``-h`` shows the most used options, ``--help`` all of them.

Ours: Typer's own table cuts long option names with an ellipsis at 80 columns, and folds values in the middle of a word.
"""

import re
import textwrap
from typing import Any

from typer.core import TyperCommand

NAMES_WIDTH = 32  # columns of an option and its value; a longer one has a line of its own


class OmniCommand(TyperCommand):
    """``-h`` shows the most used options, ``--help`` all of them and the whole description."""

    is_short = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Note which help is asked for, and which URLs were typed: no others are opened. Raises UsageError."""
        if any(":/" in argument for argument in args):
            from omnicli.streams.files.urls import allow_typed, need_stores

            allow_typed(args)
            need_stores(args)
        self.is_short = "-h" in args and "--help" not in args
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the help: usage, description, one panel per group of options."""
        from rich.console import Console
        from rich.panel import Panel
        from rich.text import Text

        console = Console(highlight=False)
        width = console.width - 4  # inside the border of a panel
        rare: set[str] = getattr(self.callback, "rare_options", set()) if self.is_short else set()
        paragraphs = str(self.help).split("\n\n")
        console.print(Text(f"\n {self.get_usage(ctx)}", "bold"))
        for paragraph in paragraphs[: 2 if self.is_short else None]:
            console.print(Text("\n" + textwrap.indent(wrapped_paragraph(paragraph, width), " ")))
        console.print()
        panels: dict[str, list[str]] = {}
        for parameter in self.params:
            record = None if parameter.name in rare else parameter.get_help_record(ctx)
            if record:
                names, text = record
                if parameter.param_type_name == "argument":
                    names = str(parameter.metavar or names)
                first = text.partition("\n")[0] if self.is_short else text
                panel = getattr(parameter, "rich_help_panel", None) or "Arguments"
                panels.setdefault(panel, []).append(option_lines(names, first, width))
        for title, lines in panels.items():
            content = Text("\n".join(lines))
            content.highlight_regex(r"(?<![\w-])--?[a-zA-Z0][\w-]*", "bold cyan")
            content.highlight_regex(r"\[default: .*?\]", "dim")
            console.print(Panel(content, title=title, title_align="left", border_style="dim"))
        if self.is_short:
            console.print(f"\n omni {self.name} --help shows all options.\n")


def help_text(docstring: str) -> str:
    """A module's docstring as help: prose flows, indented examples keep their lines and get a prompt."""
    paragraphs = (
        "\n".join(f"$ {line.strip()}" for line in paragraph.splitlines())
        if paragraph.startswith("    ")
        else " ".join(paragraph.split())
        for paragraph in docstring.strip().split("\n\n")
    )
    return "\n\n".join(paragraphs)


def wrapped_paragraph(text: str, width: int) -> str:
    r"""A paragraph of ``help_text`` in lines of at most ``width``; a long example can still be copied as it is.

    >>> print(wrapped_paragraph("$ omni filter --teacher tsn.pth web.jsonl", 32))
    $ omni filter --teacher \
          tsn.pth web.jsonl
    """
    if not text.startswith("$ "):
        return _fill(text, width)
    examples = (_wrap(line, width - 8) for line in text.splitlines())
    return "\n".join(" \\\n      ".join(lines) for lines in examples)


def option_lines(names: str, text: str, width: int) -> str:
    """An option and its help, in lines of at most ``width``; names and values are never cut.

    >>> print(option_lines("-n, --dry-run", "Print the options and exit.", 54))
    -n, --dry-run                     Print the options
                                      and exit.
    """
    indent = " " * (NAMES_WIDTH + 2)
    text = re.sub(r"\[default: \((.*?)\)(?=[];])", r"[default: \1", text).replace("  [", " [")
    text = re.sub(
        r"(?<=[ [])([-\d.]+)<=x<=([-\d.]+)(?=])", lambda found: f"{float(found[1]):g} to {float(found[2]):g}", text
    )
    text = re.sub(r"(?<=[ [])x>=([-\d.]+)(?=])", lambda found: f"at least {float(found[1]):g}", text)
    shown = "\n".join(_fill(line, width - len(indent)) for line in text.splitlines())
    lines = textwrap.indent(shown, indent)
    return f"{names}\n{lines}" if len(names) > NAMES_WIDTH else names + lines[len(names) :]


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _fill(text: str, width: int) -> str:
    return "\n".join(_wrap(text, width))
