"""docs/api.md says what the public names say of themselves today."""

import ast
import re
from collections.abc import Callable
from pathlib import Path

from load_script import load_script

from omnicli import jobs
from omnicli.media.source import MediaSource

DOCS = Path(__file__).resolve().parents[2] / "docs"


make_api = load_script(DOCS / "make_api.py")
NAMES = [name for names in make_api.PUBLIC.values() for name in names]


def test_the_page_is_not_stale():
    assert make_api.PAGE.read_text(encoding="utf-8") == make_api.page(), "run: python docs/make_api.py"


def test_the_public_names_are_those_of_the_page():
    assert set(jobs.__all__) <= set(NAMES)
    blocks = re.findall(r"```python\n(.*?)```", make_api.page(), re.DOTALL)
    shown = [statement.name for block in blocks for statement in ast.parse(block).body]
    assert shown == NAMES


def test_a_signature_is_a_line_or_a_line_per_argument():
    def short(first: "Path", *, last: Callable[[Path], int] | None = None, hook: object = print) -> None:
        """Short."""

    def long(the_first: int = 1, the_second: str = "", *, third_one: float = 0.5, fourth_one: bool = True) -> None:
        """Long."""

    assert make_api.stub(short) == (
        "def short(first: Path, *, last: Callable[[Path], int] | None = None, hook: object = ...) -> None: ..."
    )
    lines = make_api.stub(long).splitlines()
    assert lines[1:4] == ["    the_first: int = 1,", "    the_second: str = '',", "    *,"]
    assert lines[-1] == ") -> None: ..."


def test_an_interface_shows_no_constructor():
    assert make_api.stub(MediaSource) == "class MediaSource(Protocol): ..."
    assert "_empty" not in make_api.page()
