"""Help pages: -h on one page, --help with everything."""

import ast
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from omnicli.app import COMMANDS, app, command_module


def help_of(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "100", "NO_COLOR": "1"}).stdout


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
        assert imported - {"options", "run"} == set(modules)
