"""Groups of options: expanded once, spelled the same and in one order of panels in every command."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from omnicli.app import COMMANDS
from omnicli.commands.invocation import load_command
from omnicli.commands.options.groups import COMPUTE, INPUT_OUTPUT, PANELS, RARE, Adapt, given_options, takes_groups

LOADED: Any = {name: load_command(name) for name in COMMANDS}


@dataclass(frozen=True, kw_only=True)
class Speed:
    """A group."""

    fast: Annotated[bool, typer.Option("--fast", help="Run.", rich_help_panel=COMPUTE)] = False
    level: Annotated[int, typer.Option("--level", help="How fast.", rich_help_panel=COMPUTE), RARE] = 3
    hidden: str = "kept"


def run(command, *arguments):
    made = typer.Typer()
    made.command()(command)
    return CliRunner().invoke(made, list(arguments))


def test_a_group_arrives_as_an_object_and_fields_without_an_option_keep_their_default():
    arrived = []

    @takes_groups
    def command(speed: Speed, name: Annotated[str, typer.Option("--name", rich_help_panel=INPUT_OUTPUT)] = "a") -> None:
        arrived.append((speed, name))

    assert run(command, "--fast", "--name", "b").exit_code == 0
    assert arrived == [(Speed(fast=True, level=3, hidden="kept"), "b")]


def test_a_command_may_leave_out_a_field_and_replace_another():
    arrived = []
    other = Annotated[str, typer.Option("--shown", help="Now an option.", rich_help_panel=COMPUTE)]

    @takes_groups
    def command(speed: Annotated[Speed, Adapt("level", hidden=other)]) -> None:
        arrived.append(speed)

    assert run(command, "--shown", "x").exit_code == 0
    assert arrived == [Speed(hidden="x")]
    assert run(command, "--level", "4").exit_code == 2


def test_options_on_the_command_line_are_told_from_those_of_the_environment(monkeypatch):
    arrived = []

    @takes_groups
    def command(
        context: typer.Context, speed: Speed, seed: Annotated[int, typer.Option("--seed", envvar="OMNI_SEED")] = 0
    ) -> None:
        arrived.append(given_options(context))

    monkeypatch.setenv("OMNI_SEED", "7")
    run(command, "--level", "4")
    assert arrived == [{"level": "--level"}]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_panels_have_one_order(name):
    panels = [getattr(parameter, "rich_help_panel", None) for parameter in LOADED[name].params]
    indices = [PANELS.index(panel) for panel in panels if panel]
    assert indices == sorted(indices)
    options = [parameter for parameter in LOADED[name].params if parameter.param_type_name == "option"]
    assert [option.name for option in options if option.name != "help" and not option.rich_help_panel] == []


def test_a_flag_means_the_same_everywhere():
    """An option of one name is spelled the same, short form included, in every command."""
    spelled = {}
    for command in LOADED.values():
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                spelling = (*parameter.opts, *parameter.secondary_opts)
                assert spelled.setdefault(parameter.opts[-1], spelling) == spelling


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_does(name):
    silent = [parameter.name for parameter in LOADED[name].params if parameter.name != "help" and not parameter.help]
    assert silent == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_only_the_promised_environment_variables_are_read(name):
    promised = {f"OMNI_{what}" for what in ("DEVICE", "PRECISION", "WORKERS", "BATCH_SIZE", "SEED")}
    read = {parameter.envvar for parameter in LOADED[name].params if parameter.envvar}
    assert read <= promised


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_quiet_and_dry(name):
    spelled = {opt for parameter in LOADED[name].params for opt in parameter.opts}
    assert {"-q", "-v", "-n"} <= spelled
