"""Help pages: -h on one page, --help with everything."""

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from omnicli.app import app

GROUP: Any = typer.main.get_command(app)
COMMANDS = GROUP.commands


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
