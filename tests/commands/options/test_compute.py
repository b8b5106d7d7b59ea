"""Options of devices and precision: what they say in each command, and what they decide."""

import re

import pytest

from omnicli.commands.invocation import load_command
from omnicli.commands.options.compute import ComputeOptions
from omnicli.cpus import available_cores


@pytest.mark.parametrize("name", ["filter", "segment", "dedup", "eval", "features", "train", "teacher-train"])
def test_the_help_of_precision_names_options_that_the_command_has(name):
    command = load_command(name)
    [text] = [getattr(parameter, "help", "") for parameter in command.params if parameter.name == "precision"]
    spelled = {spelling for parameter in command.params for spelling in parameter.opts}
    named = set(re.findall(r"--[a-z-]+", text))
    assert named <= spelled
    assert bool(named) == (name in {"filter", "segment", "dedup"})


def test_an_automatic_precision_can_be_made_exact_and_a_chosen_one_stays():
    assert ComputeOptions().exact_if_auto() == ComputeOptions(precision="float32")
    assert ComputeOptions(precision="bfloat16").exact_if_auto() == ComputeOptions(precision="bfloat16")


def test_compiled_scores_are_another_output_and_others_are_those_of_earlier_versions():
    assert set(ComputeOptions().deciding()) == {"batch_size", "device", "precision"}
    assert ComputeOptions(compile_mode="on").deciding()["compile"] == "on"


def test_without_a_number_every_available_core_works():
    assert ComputeOptions().num_workers() == available_cores()
    assert ComputeOptions(workers=3).num_workers() == 3
