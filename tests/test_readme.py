"""What README and the pages beside it tell a reader to type is what omni takes; the walk-through runs as written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from omnicli.app import COMMANDS, app

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "examples").rglob("*.md")),
]
WALK = "Your own data: from a class list to your first kept.jsonl"
SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")"}
TINY = "tsn-resnet10t --init scratch --short-side 64 --crop-size 56 --epochs 1 --batch-size 8"
GROUP: Any = typer.main.get_command(app)


def blocks_of(text):
    """The fenced blocks of bash in a page."""
    return re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_in(block):
    """Every omni command of a block, as the words after ``omni``."""
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split = True
        words: list[str] = []
        try:
            parts = [*lexer, ";"]
        except ValueError:  # a quotation over several lines: not omni's
            continue
        for part in parts:
            if part in SEPARATORS:
                yield from starting_at_omni(words)
                words = []
            else:
                words.append(part)


def starting_at_omni(words):
    """Past what comes before it: ``torchrun ... -m omnicli``, a loop's ``do``; up to a redirection."""
    for start in ("omni", "omnicli"):
        if start in words:
            found = words[words.index(start) + 1 :]
            end = next((place for place, word in enumerate(found) if word in {">", "<", ">>"}), len(found))
            yield [word for word in found[:end] if word != "..."]
            return


def problem_with(words):
    """What Typer says of a command before it runs; None if it would run."""
    name, *arguments = words
    if name.startswith("-"):
        return None
    if name not in GROUP.commands:
        return f"no command {name}"
    command = GROUP.commands[name]
    try:
        command.make_context(name, list(arguments))
    except typer.Exit:  # --help
        return None
    except Exception as error:
        return getattr(error, "message", None) or str(error)
    return None


CASES = [
    pytest.param(words, id=f"{page.relative_to(REPOSITORY)}:{' '.join(words)[:60]}")
    for page in PAGES
    for block in blocks_of(page.read_text(encoding="utf-8"))
    for words in commands_in(block)
]


@pytest.mark.parametrize("words", CASES)
def test_every_line_is_one_that_omni_takes(words):
    assert problem_with(words) is None, f"omni {shlex.join(words)}"


def test_the_check_finds_wrong_lines():
    (missing, choice, value, unknown, good) = commands_in(
        "omni filter --no-such 1 a\nomni dedup --method sums a | omni filter --threshold two -\nomni fly\n"
        "torchrun --nproc-per-node 8 -m omnicli train --target t --ratio 1:1 ... # a comment | omni fly\n"
    )
    assert "--no-such" in problem_with(missing)
    assert "sums" in problem_with(choice)
    assert "valid number" in problem_with(value)
    assert problem_with(unknown) == "no command fly"
    assert problem_with(good) is None
    assert good == ["train", "--target", "t", "--ratio", "1:1"]


def test_readme_names_every_command_and_links_its_page():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for name, _, _ in COMMANDS:
        assert f"[`omni {name}`](docs/commands/{name}.md)" in text


def test_every_link_to_a_file_leads_to_one():
    dead = [
        f"{page.relative_to(REPOSITORY)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert dead == []


@pytest.mark.slow
def test_the_walk_through_runs_as_written(world, tmp_path):
    """But for the crawling, and with a tiny teacher from scratch, as nothing is downloaded here."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    walk = text.split(f"## {WALK}\n")[1].split("\n## ")[0]
    blocks = [block for block in blocks_of(walk) if "yt-dlp" not in block]
    script = "".join(blocks).replace("tsn-tf_efficientnet_lite0", TINY)
    assert script.count(TINY) == 2
    (tmp_path / "my").symlink_to(world / "target")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "images").symlink_to(world / "web" / "image")
    omni = f'omni() {{ "{sys.executable}" -m omnicli "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", omni + script], cwd=tmp_path, text=True, capture_output=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8").count("pseudo_class") > 0
    assert '"reason":"unreadable: empty file"' in (tmp_path / "bad.jsonl").read_text(encoding="utf-8")
    assert (tmp_path / "report.html").exists() and (tmp_path / "student.pth").exists()
    assert '"top1_acc"' in done.stdout.splitlines()[-1]
