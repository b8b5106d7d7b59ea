"""One spelling an option, in every command that takes it."""

from typing import Any

import pytest
import typer

from omnicli.app import app
from omnicli.commands.options import shared as options

GROUP: Any = typer.main.get_command(app)
COMMANDS = GROUP.commands
ALIASES = [alias.__metadata__[0] for alias in vars(options).values() if hasattr(alias, "__metadata__")]
SHARED = [  # in Annotated, Typer keeps the first spelling where the default would be
    {part for spelled in (alias.default, *alias.param_decls) for part in spelled.split("/")}
    for alias in ALIASES
    if isinstance(alias, typer.models.OptionInfo)
]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_flag_means_the_same_everywhere(name):
    """An option whose name is a shared one is spelled, short form included, as the shared one is."""
    for parameter in COMMANDS[name].params:
        spelled = {*parameter.opts, *parameter.secondary_opts}
        for declared in SHARED:
            if spelled & declared:
                assert spelled == declared


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_does(name):
    silent = [parameter.name for parameter in COMMANDS[name].params if parameter.name != "help" and not parameter.help]
    assert silent == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_only_the_promised_environment_variables_are_read(name):
    promised = {f"OMNI_{what}" for what in ("DEVICE", "PRECISION", "WORKERS", "BATCH_SIZE", "SEED")}
    read = {parameter.envvar for parameter in COMMANDS[name].params if parameter.envvar}
    assert read <= promised


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_can_be_quiet_and_dry(name):
    spelled = {opt for parameter in COMMANDS[name].params for opt in parameter.opts}
    assert {"-q", "-v", "-n"} <= spelled
