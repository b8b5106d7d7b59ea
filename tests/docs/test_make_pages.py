"""The pages of docs/commands say what the commands say of themselves today."""

from pathlib import Path
from typing import Any

import pytest
from load_script import load_script
from typer.testing import CliRunner

from omnicli.app import COMMANDS, app
from omnicli.commands.invocation import load_command

DOCS = Path(__file__).resolve().parents[2] / "docs"
REMEDY = "run: python docs/make_pages.py"


make_pages = load_script(DOCS / "make_pages.py")


def test_every_command_has_its_page_and_every_page_its_command():
    expected = {"README.md"} | {f"{name}.md" for name in COMMANDS}
    assert {path.name for path in (DOCS / "commands").iterdir()} == expected, REMEDY


@pytest.mark.parametrize("name", sorted(make_pages.pages()))
def test_no_page_is_stale(name):
    path = DOCS / "commands" / name
    written = path.read_text(encoding="utf-8") if path.exists() else ""
    assert written == make_pages.pages()[name], f"docs/commands/{name} is stale; {REMEDY}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_names_every_option_that_the_command_takes(name):
    """Judged by what Typer built, and by the help as it is printed."""
    text = make_pages.pages()[f"{name}.md"]
    known: Any = load_command(name).params
    spellings = {spelling for one in known for spelling in [*one.opts, *one.secondary_opts] if spelling[0] == "-"}
    assert "--dry-run" in spellings
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout
    for spelling in spellings:
        assert f"`{spelling}`" in text
        assert spelling in shown


def test_a_page_reads_as_the_help_does():
    text = make_pages.pages()["balance.md"]
    assert "```bash\nomni balance --power 0.2 kept.jsonl > aux.jsonl\n\nomni filter" in text
    assert "omni balance [OPTIONS] [INPUT]..." in text
    assert text.index("# omni balance") < text.index("```bash") < text.index("## Selection")
    assert "| `--power` | `P`, 0 to 1 | `0.2` | Draw a class" in text
    assert "| `--seed` | `N` | `0` | Seed of every random choice. Environment: `OMNI_SEED`. |" in text
    assert "| `--output`, `-o` | `FILE` | |" in text
    assert "| `--output`, `-o` | `FILE\\|DIR/` | |" in make_pages.pages()["filter.md"]


def test_choices_are_listed_and_names_with_underscores_stay_whole():
    assert "| `--method` | `dis`, `raft`, `raft-small` | `dis` |" in make_pages.pages()["flow.md"]
    assert make_pages.prose("resnet50.tv_in1k, tsn-vit_b-3seg, a_b.") == "resnet50.tv_in1k, tsn-vit_b-3seg, `a_b`."
    assert make_pages.prose("see omni\nfilter") == "see [`omni filter`](filter.md)"


def test_what_markdown_would_swallow_is_kept():
    assert make_pages.cell("tsn-<timm backbone> or `a<TAB>b`, I/N|auto") == (
        "tsn-&lt;timm backbone> or `a<TAB>b`, I/N\\|auto"
    )
