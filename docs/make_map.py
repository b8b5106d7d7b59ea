#!/usr/bin/env python3
"""Write the map of the package in ``ARCHITECTURE.md``: one line per module, from its docstring.

    python docs/make_map.py

The lines stand between two markers; the rest of the page is written by hand. ``tests/test_architecture.py`` fails if
the map names a file that does not exist or lacks one that does.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "ARCHITECTURE.md"
BEGIN, END = "<!-- map: begin, written by docs/make_map.py -->", "<!-- map: end -->"


def phrase_of(path: Path) -> str:
    """The first line of a module's docstring, without its period."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".").replace("``", "`")


def map_lines(package: Path = REPOSITORY / "omnicli") -> Iterator[str]:
    """A heading per folder and a line per module, in the order of the tree."""
    for init in sorted(package.rglob("__init__.py"), key=lambda path: path.parent.parts):
        yield f"### `{init.parent.relative_to(package.parent).as_posix()}/`"
        yield ""
        yield phrase_of(init) + "."
        yield ""
        modules = [path for path in sorted(init.parent.glob("*.py")) if path != init]
        yield from (f"- `{path.name}`: {phrase_of(path)}" for path in modules)
        if modules:
            yield ""


def with_map(page: str) -> str:
    """The page with a new map between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n" + "\n".join(map_lines()) + f"\n{END}{after}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_map(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
