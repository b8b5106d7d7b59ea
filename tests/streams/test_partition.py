"""Parts of a stream."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import UsageError
from omnicli.streams.partition import Part, parse_part

ARRAY = {
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_ARRAY_TASK_COUNT": "8",
    "SLURM_ARRAY_TASK_MIN": "0",
    "SLURM_ARRAY_TASK_MAX": "7",
    "SLURM_ARRAY_TASK_STEP": "1",
}


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 100))
def test_every_key_is_in_exactly_one_part(key, total):
    holders = [index for index in range(total) if Part(index, total).holds_key(key)]
    digest = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    assert holders == [int(digest, 16) % total]


def test_clips_of_a_video_stay_together():
    clips = [{"id": f"v.mp4#{i}", "parent": "v.mp4"} for i in range(50)]
    whole = {"id": "v.mp4"}
    for index in range(7):
        part = Part(index, 7)
        assert {part.holds(clip) for clip in clips} == {part.holds(whole)}


def test_parts_are_about_equal():
    counts = [sum(Part(index, 4).holds_key(f"web/{i}.jpg") for i in range(4000)) for index in range(4)]
    assert max(counts) < 1.15 * min(counts)


@pytest.mark.parametrize("text", ["", "3", "3/", "/4", "-1/4", "1.0/4", "4/4", "0/0", " 1/4", "a/b", "١/4"])
def test_anything_else_is_a_usage_error(text):
    with pytest.raises(UsageError, match="--part"):
        parse_part(text)


@pytest.mark.parametrize(("text", "says"), [("1/0", "N must be at least 1"), ("4/4", "from 0 to N - 1 = 3")])
def test_the_number_that_is_out_of_range_is_named(text, says):
    with pytest.raises(UsageError, match=says):
        parse_part(text)


def test_a_slurm_array_names_its_own_part():
    assert parse_part("auto", environment=ARRAY) == Part(3, 8)
    assert parse_part("auto", environment=ARRAY | {"RANK": "0", "WORLD_SIZE": "2"}) == Part(3, 8)


@pytest.mark.parametrize(
    "odd",
    [{"SLURM_ARRAY_TASK_MIN": "1"}, {"SLURM_ARRAY_TASK_STEP": "2"}, {"SLURM_ARRAY_TASK_MAX": "9"},
     {"SLURM_ARRAY_TASK_COUNT": "2"}],
)  # fmt: skip
def test_a_partial_array_is_refused_with_the_remedy(odd):
    with pytest.raises(UsageError, match=r"--part \$SLURM_ARRAY_TASK_ID/"):
        parse_part("auto", environment=ARRAY | odd)


def test_the_retry_of_some_tasks_is_told_no_number_that_is_not_known():
    odd = {"MIN": "3", "MAX": "6", "COUNT": "4", "ID": "4"}
    with pytest.raises(UsageError) as caught:
        parse_part("auto", environment=ARRAY | {f"SLURM_ARRAY_TASK_{name}": value for name, value in odd.items()})
    assert "the array is 3-6 with step 1 and 4 tasks" in str(caught.value)
    assert str(caught.value).endswith("of an earlier array of N, use --part $SLURM_ARRAY_TASK_ID/N")
    assert "/7" not in str(caught.value)


def test_an_array_that_counts_from_one_is_advised_to_count_from_zero():
    odd = {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "4", "SLURM_ARRAY_TASK_COUNT": "4"}
    with pytest.raises(UsageError, match="expected --array=0-3") as caught:
        parse_part("auto", environment=ARRAY | odd)
    assert "/5" not in str(caught.value)


def test_torchrun_names_its_rank():
    assert parse_part("auto", environment={"RANK": "1", "WORLD_SIZE": "4"}) == Part(1, 4)


@pytest.mark.parametrize(
    "environment", [{}, {"RANK": "1"}, {"SLURM_ARRAY_TASK_ID": "1"}, ARRAY | {"SLURM_ARRAY_TASK_COUNT": "x"}]
)
def test_auto_without_usable_variables_is_refused(environment):
    with pytest.raises(UsageError, match="--part auto"):
        parse_part("auto", environment=environment)


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "5", "SLURM_NTASKS": "5"},
        {"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "5"},
        {"SKYPILOT_NODE_RANK": "2", "SKYPILOT_NUM_NODES": "5"},
        {"RANK": "2", "WORLD_SIZE": "5", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_auto_reads_what_launchers_set(environment):
    assert parse_part("auto", environment=environment) == Part(2, 5)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "5"}, "this script is one task; start the command by srun"),
        ({"JOB_COMPLETION_INDEX": "2"}, r"use --part \$JOB_COMPLETION_INDEX/N"),
        ({}, "nor SKYPILOT_NODE_RANK is set"),
    ],
)
def test_auto_says_what_is_missing(environment, message):
    with pytest.raises(UsageError, match=message):
        parse_part("auto", environment=environment)
