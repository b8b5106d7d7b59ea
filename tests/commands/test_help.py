"""Help pages: -h on one page, --help with everything."""

import ast
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from omnicli.app import COMMANDS, app
from omnicli.commands.help import option_lines
from omnicli.commands.invocation import command_module, load_command
from omnicli.training.recipes import TEACHER_RECIPES


def help_of(*arguments: str, columns: int = 100) -> str:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(columns), "NO_COLOR": "1"}).stdout


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_option_value_or_recipe_is_cut(name, flag, columns):
    text = help_of(name, flag, columns=columns)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns
    words = set(text.replace(",", " ").split())
    command = load_command(name)
    rare = getattr(command.callback, "rare_options", set()) if flag == "-h" else set()
    for option in command.params:
        if option.name in rare or option.name == "help":
            continue
        names = [*option.opts, *option.secondary_opts] if option.param_type_name == "option" else [option.metavar]
        assert set(names) <= words
        assert all(value in text for value in (option.metavar or "").split())
        assert "|".join(getattr(getattr(option, "type", None), "choices", [])) in text
    if name == "train" and flag == "--help":
        assert set(TEACHER_RECIPES) <= set(re.split(r"[\s,.]+", text))


def test_the_list_of_commands_is_not_cut_either():
    assert "…" not in help_of("--help", columns=80)


def test_a_long_example_can_be_copied_from_the_help():
    text = help_of("train", "-h", columns=80).replace(" \\\n", " ")
    example = next(line for line in text.splitlines() if line.startswith(" $ omni train"))
    assert re.sub(" +", " ", example).strip() in f"$ {' '.join(load_command('train').help.split())}"
    assert example.endswith("-o student.pth")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_short_help_fits_on_a_page_and_leaves_out_rare_options(name):
    short, whole = help_of(name, "-h"), help_of(name, "--help")
    assert len(short.splitlines()) <= 60
    assert f"omni {name} --help shows all options." in short
    assert "--quiet" in whole and "--quiet" not in short
    assert len(short.splitlines()) < len(whole.splitlines())


def test_help_of_a_command_is_printed_by_omni_help():
    assert help_of("help", "filter") == help_of("filter", "--help")
    assert help_of("help") == help_of("--help")


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_of_commands_opens_as_the_command_itself_does(name):
    """The list is printed without importing the commands, so it repeats their first paragraphs."""
    first, *_ = command_module(name).__doc__.split("\n\n")
    assert COMMANDS[name] == " ".join(first.split())


def test_only_the_command_that_was_asked_for_is_imported():
    script = "import sys\nfrom omnicli.app import app\ntry:\n    app()\nexcept SystemExit:\n    pass\n"
    script += "print([name for name in sys.modules if name.startswith('omnicli.commands.')])"
    for arguments, modules in (["--help"], ["help"]), (["queries", "-h"], ["help", "queries"]):
        shown = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        imported = {name.split(".")[2] for name in ast.literal_eval(shown.stdout.splitlines()[-1])}
        assert imported - {"invocation", "options", "run"} == set(modules)


def test_ranges_are_words():
    lines = option_lines("--lr X", "Rate.  [default: (as recipe); x>=0.0]", 90).splitlines()
    lines += option_lines("--dropout X", "Share.  [default: 0.4; 0.0<=x<=1.0]", 90).splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == [
        "Rate. [default: as recipe; at least 0]", "Share. [default: 0.4; 0 to 1]",
    ]  # fmt: skip
    assert "x>=" not in help_of("train", "--help") and "<=x<=" not in help_of("train", "--help")
