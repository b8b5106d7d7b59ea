"""Options of subsets."""

import pytest

from omnicli.commands.options.subset import SubsetOptions
from omnicli.errors import UsageError


def test_without_options_a_stage_stays_as_it_is_and_can_run_in_parts():
    def stage(records, on_drop):
        yield from records

    assert SubsetOptions().applied(stage, 0) is stage
    assert SubsetOptions().whole_stream is None
    assert SubsetOptions().deciding() == {}
    assert SubsetOptions(min_sec=1.0).applied(stage, 0) is not stage
    assert SubsetOptions(min_sec=1.0).whole_stream is None


def test_what_is_drawn_needs_the_whole_stream_and_a_seed():
    assert SubsetOptions(max_minutes=3.0).whole_stream == "--max-minutes"
    assert SubsetOptions(label_share=0.1).whole_stream == "--label-share"
    assert SubsetOptions(label_share=0.1).subset(7).seed == 7
    assert [SubsetOptions(**given).is_drawn for given in ({}, {"max_sec": 1.0}, {"max_minutes": 0.0})] == [
        False, False, True
    ]  # fmt: skip


def test_no_length_is_between_bounds_that_are_swapped():
    with pytest.raises(UsageError, match=r"--min-sec 5 is more than --max-sec 1"):
        SubsetOptions(min_sec=5.0, max_sec=1.0).check()
