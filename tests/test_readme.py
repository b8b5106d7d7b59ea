"""Every command line in README, docs and examples is valid; README and the tutorial run as written."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from omnicli.app import COMMANDS, app
from omnicli.commands.invocation import load_command

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "examples").rglob("*.md")),
]
SEPARATORS = {"|", "||", "&&", ";", "&", "(", ")"}
TINY = "tsn-resnet10t --init scratch --short-side 64 --crop-size 56 --epochs 1 --batch-size 8"
GROUP: Any = typer.main.get_command(app)


def blocks_of(text):
    """The bash blocks of a page."""
    return re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands_in(block):
    """The arguments of every omni command in a block."""
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
    """The words between ``omni`` (or ``torchrun ... -m omnicli``) and a redirection."""
    for start in ("omni", "omnicli"):
        if start in words:
            found = words[words.index(start) + 1 :]
            end = next((index for index, word in enumerate(found) if word in {">", "<", ">>"}), len(found))
            yield [word for word in found[:end] if word != "..."]
            return


def problem_with(words):
    """The error that Typer reports for a command line; None if it would run."""
    name, *arguments = words
    if name.startswith("-"):
        return None
    if name not in COMMANDS:
        return f"no command {name}"
    command: Any = load_command(name)
    try:
        command.make_context(name, list(arguments))
    except typer.Exit:  # --help
        return None
    except Exception as error:
        return getattr(error, "message", None) or str(error)
    return None


def quickstart_lines():
    """The lines that examples/quickstart.sh prints and runs."""
    text = (REPOSITORY / "examples" / "quickstart.sh").read_text(encoding="utf-8")
    return [line.replace("\\\\\n", "\\\n") for line in re.findall(r'^run "(.*?)"$', text, re.MULTILINE | re.DOTALL)]


BLOCKS = [(page, block) for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8"))]
BLOCKS += [(REPOSITORY / "examples" / "quickstart.sh", line) for line in quickstart_lines()]
CASES = [
    pytest.param(words, id=f"{page.relative_to(REPOSITORY)}:{' '.join(words)[:60]}")
    for page, block in BLOCKS
    for words in commands_in(block)
]
# of torchrun, Slurm, Ray and examples/kinetics/hours.py
FOREIGN_OPTIONS = {"--signals-to-handle", "--max-restarts", "--array", "--head", "--address", "--crawl"}


@pytest.mark.parametrize("words", CASES)
def test_every_command_line_is_valid(words):
    assert problem_with(words) is None, f"omni {shlex.join(words)}"


def test_the_check_finds_invalid_lines():
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
    for name in COMMANDS:
        assert f"[`omni {name}`](docs/commands/{name}.md)" in text


def anchors_of(page):
    """The anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_a_heading():
    dead = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
            path = page.parent / target if target else page
            if "://" not in target and not (path.exists() and (not anchor or anchor in anchors_of(path))):
                dead.append(f"{page.relative_to(REPOSITORY)}: {target}#{anchor}")
    assert dead == []


def test_every_option_in_the_text_exists():
    """Inline code, such as a table cell, outside of bash blocks."""
    known = {name for command in map(load_command, COMMANDS) for param in command.params for name in param.opts}
    known |= {
        name for command in map(load_command, COMMANDS) for param in command.params for name in param.secondary_opts
    }
    known |= {name for param in GROUP.params for name in param.opts} | {"--help"} | FOREIGN_OPTIONS
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            if code.startswith(("python ", "bash ", "make ", "uv ", "uvx ", "pytest ", "git ")):
                continue
            unknown = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", code)) - known
            assert not unknown, f"{page.relative_to(REPOSITORY)}: {code}"


def warnings_in(source):
    """The longest constant piece of each warning: of ``warnings.warn``, or said with "warning:"."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args):
        pieces = [str(part.value) for part in ast.walk(call.args[0]) if isinstance(part, ast.Constant)]
        if ast.unparse(call.func) == "warnings.warn" or (pieces and pieces[0].startswith("warning: ")):
            yield max(pieces, key=len)


def test_every_warning_is_explained():
    page = " ".join((REPOSITORY / "docs" / "warnings.md").read_text(encoding="utf-8").split())
    found = {
        text: path.name for path in (REPOSITORY / "omnicli").rglob("*.py") for text in warnings_in(path.read_text())
    }
    assert len(found) >= 8
    assert {text: name for text, name in found.items() if text.strip(" ;:,") not in page} == {}


def test_every_benchmark_of_the_pages_exists():
    for page in PAGES:
        for name in re.findall(r"\bbench_\w+", page.read_text(encoding="utf-8")):
            assert (REPOSITORY / "benchmarks" / f"{name}.py").exists(), f"{page.relative_to(REPOSITORY)}: {name}"


def run_blocks(blocks, folder, replacements):
    """Run blocks of bash as one script in ``folder``; each text to replace must occur."""
    script = "".join(blocks)
    for text, replacement in replacements.items():
        assert text in script
        script = script.replace(text, replacement)
    omni = f'omni() {{ "{sys.executable}" -m omnicli "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", omni + script], cwd=folder, text=True, capture_output=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return done


def section(page, title):
    """The text below a heading of the second level."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return text.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.mark.slow
def test_the_first_run_of_readme_runs_as_written(world, tmp_path):
    """Except that the world exists already and training takes one epoch."""
    (tmp_path / "world").symlink_to(world)
    python = "python examples/make_world.py world --scale small\n"
    done = run_blocks(blocks_of(section("README.md", "First run")), tmp_path, {python: "", "--epochs 30": "--epochs 1"})
    assert "index: 24 in = 24 kept" in done.stderr and "filter: 64 in" in done.stderr
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_own_clips_and_images_of_readme_run_as_written(world, tmp_path):
    """Except that a tiny teacher and student are trained from scratch; the images lie in one folder."""
    (tmp_path / "clips").symlink_to(world / "target" / "train")
    (tmp_path / "images").mkdir()
    for number, path in enumerate(sorted((world / "web" / "image").rglob("*.jpg"))):
        (tmp_path / "images" / f"{number}.jpg").symlink_to(path)
    blocks = [
        block for block in blocks_of(section("README.md", "Your own clips and images")) if not block.startswith("make ")
    ]
    any_confidence = {"omni filter": "omni filter --threshold 0"}  # such a teacher is confident about nothing
    run_blocks(blocks, tmp_path, {"--model tsn-resnet50": f"--model {TINY}"} | any_confidence)
    assert (tmp_path / "auxiliary.jsonl").read_text(encoding="utf-8").count('"weight"') > 0
    assert (tmp_path / "report.html").exists() and (tmp_path / "student.pth").exists()


@pytest.mark.slow
def test_the_tutorial_runs_as_written(world, tmp_path):
    """Except for the crawl, and with a tiny teacher and student from scratch, because tests download nothing."""
    text = (REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8")
    blocks = [block for block in blocks_of(text) if "yt-dlp" not in block and not block.startswith("make ")]
    (tmp_path / "my").symlink_to(world / "target")
    (tmp_path / "web").mkdir()
    for name, kind in (("images", "image"), ("videos", "video"), ("long", "untrimmed")):
        (tmp_path / "web" / name).symlink_to(world / "web" / kind)
    done = run_blocks(blocks, tmp_path, {"tsn-tf_efficientnet_lite0": TINY})
    assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8").count("pseudo_class") > 0
    assert '"reason":"unreadable: empty file"' in (tmp_path / "unreadable.jsonl").read_text(encoding="utf-8")
    assert (tmp_path / "report.html").exists()
    assert all((tmp_path / f"student{name}.pth").exists() for name in ("", "2"))
    assert '"top1_acc"' in done.stdout.splitlines()[-1]
