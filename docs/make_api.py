#!/usr/bin/env python3
"""Write the page of the names for Python programs from their signatures and docstrings: ``docs/api.md``.

    python docs/make_api.py

``tests/docs/test_make_api.py`` fails if the page is stale.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("api.md")
WIDTH = 105
OPENING = """<!-- Written by docs/make_api.py from signatures and docstrings: change those, not this. -->

# Python API

Programs can rely on the modules and names of this page; all others of the package may change.
[From Python](python.md) shows the jobs at work. `help(NAME)` prints arguments, units and errors.
"""
PUBLIC = {
    "omnicli.jobs": ("plan", "open_stage", "run_job", "Job", "JobResult", "OpenStage"),
    "omnicli.streams.record": ("Record", "parse_record", "format_record"),
    "omnicli.streams.read.reader": ("read_records",),
    "omnicli.streams.shards.reader": ("ShardReader",),
    "omnicli.media.source": ("open_media", "MediaSource"),
    "omnicli.models.loading": ("load_model", "LoadedModel"),
    "omnicli.rng": ("keyed_rng",),
    "omnicli.errors": (
        "OmniError", "UsageError", "InputError", "MediaError", "ModelError", "OutputError", "Interrupted"
    ),
}  # fmt: skip


def page() -> str:
    """The page: each public name below its module, with signature and first sentence."""
    return "\n".join([OPENING, *("\n".join(section(*one)) for one in PUBLIC.items())])


def section(module: str, names: tuple[str, ...]) -> Iterator[str]:
    """The lines of one module."""
    home = import_module(module)
    yield from (f"## `{module}`", "", prose(home), "")
    for known in (getattr(home, name) for name in names):
        yield from ("```python", stub(known), "```", "", prose(known), "")
        if found := list(members(known)):
            yield from (*found, "")


def stub(known: Any) -> str:
    """A function's or a class's signature as in a stub file; defaults that are not plain are dots.

    >>> print(stub(wrapped))
    def wrapped(text: str) -> str: ...
    """
    if not inspect.isclass(known):
        return signature_of(known.__name__, inspect.signature(known))
    is_interface = inspect.isabstract(known) or getattr(known, "_is_protocol", False)
    if issubclass(known, BaseException | dict) or is_interface:
        return f"class {known.__name__}({', '.join(base.__name__ for base in known.__bases__)}): ..."
    made = signature_of("__init__", inspect.signature(known), "self")
    return f"class {known.__name__}:\n{textwrap.indent(made, '    ')}"


def signature_of(name: str, signature: inspect.Signature, *first: str) -> str:
    """A line, or a line per parameter where one is too long."""
    parts = list(first)
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        parts.append(f"{one.name}: {annotation(one.annotation)}{default(one.default)}")
    end = f") -> {annotation(signature.return_annotation)}: ..."
    line = f"def {name}({', '.join(parts)}{end}"
    return line if len(line) <= WIDTH else "\n".join([f"def {name}(", *(f"    {part}," for part in parts), end])


def annotation(found: Any) -> str:
    """A type without the modules of its names."""
    text = found if isinstance(found, str) else inspect.formatannotation(found)
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)


def default(found: Any) -> str:
    """The end of a parameter that has a default."""
    if found is inspect.Parameter.empty:
        return ""
    return f" = {found!r}" if found is None or isinstance(found, bool | int | float | str) else " = ..."


def members(known: Any) -> Iterator[str]:
    """A line for each public method and property of a class; none for functions and errors."""
    if not inspect.isclass(known) or issubclass(known, BaseException):
        return
    for name, member in vars(known).items():
        function = getattr(member, "fget", None) or getattr(member, "func", member)
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        words = [*inspect.signature(function).parameters][1:]
        shown = f"{name}({', '.join(words)})" if function is member else name
        meaning = prose(function)
        yield wrapped(f"- `{shown}`: {meaning}" if meaning else f"- `{shown}`")


def prose(known: Any) -> str:
    """The first paragraph of a docstring as Markdown."""
    return wrapped((inspect.getdoc(known) or "").partition("\n\n")[0].replace("``", "`"))


def wrapped(text: str) -> str:
    """Text wrapped at 120 columns; lines after the first of a list are indented."""
    indent = "  " * text.startswith("- ")
    return textwrap.fill(
        " ".join(text.split()), 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
