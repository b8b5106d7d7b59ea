"""Mini-batches of every step: their ratio, their classes, their order, and each rank's part of them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.dataloader import Example
from omnicli.errors import UsageError
from omnicli.streams.record import Record
from omnicli.training.batch_sampler import JointSampler, alternate_turns, batch_sizes, make_sampler, with_ratio
from omnicli.training.recipe_fields import StudentRecipe
from omnicli.training.sources import TrainingSource, occurrences

SCHEDULE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "schedule.json"


def examples(count):
    return [Example(Record({"id": str(index)}), 0) for index in range(count)]


def make_plan(num_target=10, num_web=(25,), ratio=(2, 1), batch_size=4, **options):
    sizes = batch_sizes(batch_size, ratio)
    sources = [TrainingSource("target", examples(num_target), sizes[0])]
    for number, count in enumerate(num_web, 1):
        sources.append(TrainingSource(f"web{number}", examples(count), sizes[number], np.ones(count)))
    return JointSampler(sources, ratio, **options)


@pytest.mark.skipif(not SCHEDULE.exists(), reason="the recording of the released runner lies in ../shared")
def test_alternating_takes_batches_in_the_order_of_the_released_runner():
    for case in json.loads(SCHEDULE.read_text()):
        lengths = case["loader_lens"]
        ratio = case["train_ratio"] or [1] * len(lengths)
        taken = []
        for epoch in range(case["epochs"]):
            iteration = epoch * lengths[0] - 1
            for source, batch in alternate_turns(lengths, ratio, epoch):
                iteration += source == 0
                taken.append([source, batch, iteration])
        assert taken == case["order"]


def test_an_alternating_plan_steps_through_those_turns_with_batches_of_each_sources_own_size():
    plan = replace(make_plan(7, (5, 4), (2, 1, 1)), alternate=True)
    plan = replace(plan, sources=[replace(plan.sources[0], batch_size=1), *plan.sources[1:]])
    for epoch in range(3):
        steps = plan.steps(epoch)
        turns = alternate_turns([7, 3, 2], [2, 1, 1], epoch)
        assert [portion.source for [portion] in steps] == [source for source, _ in turns]
        assert [len(portion.rows) for [portion] in steps if portion.source == 0] == [1] * 7
        first_pass = [portion for [portion] in steps if portion.source == 1][:3]
        assert [len(portion.rows) for portion in first_pass] == [2, 2, 1]
        assert sorted(np.concatenate([portion.rows for portion in first_pass])) == list(range(5))
        assert len(steps) <= plan.num_steps


def test_the_ratio_is_exact_in_every_step_and_the_target_is_passed_once_and_comes_last():
    plan = make_plan(16, (25, 3), (4, 2, 1))
    for epoch in range(3):
        steps = plan.steps(epoch)
        assert len(steps) == plan.num_steps == 4
        for step in steps:
            assert [(portion.source, len(portion.rows)) for portion in step] == [(1, 2), (2, 1), (0, 4)]
        assert sorted(np.concatenate([step[-1].rows for step in steps])) == list(range(16))


def test_a_step_counts_all_sources_and_ranks_and_an_alternating_one_the_target():
    plan = make_plan(16, (25, 3), (4, 2, 1), size=3)
    assert plan.step_size == 3 * (4 + 2 + 1)
    assert replace(plan, alternate=True).step_size == 3 * 4


def test_a_short_last_batch_is_joined_by_short_ones_rounded_up():
    steps = make_plan(10, (25,), (2, 1)).steps(0)
    assert [[len(portion.rows) for portion in step] for step in steps] == [[2, 4], [2, 4], [1, 2]]
    steps = make_plan(9, (25,), (2, 1)).steps(0)
    assert [len(portion.rows) for portion in steps[-1]] == [1, 1]


@given(
    num_target=st.integers(1, 30), num_web=st.integers(1, 30), size=st.integers(1, 4), epoch=st.integers(0, 3),
    alternate=st.booleans(),
)  # fmt: skip
def test_ranks_share_what_one_process_would_take_and_none_has_two_more_than_another(
    num_target, num_web, size, epoch, alternate
):
    plan = make_plan(num_target, (num_web,), (1, 1), batch_size=2, alternate=alternate)
    alone = replace(plan, sources=[replace(source, batch_size=2 * size) for source in plan.sources]).steps(epoch)
    ranks = [replace(plan, rank=rank, size=size).steps(epoch) for rank in range(size)]
    assert {len(steps) for steps in ranks} == {len(alone)}
    for number, step in enumerate(alone):
        for place, portion in enumerate(step):
            parts = [steps[number][place] for steps in ranks]
            assert {part.source for part in parts} == {portion.source}
            together = Counter(pair for part in parts for pair in zip(part.rows, part.draws, strict=True))
            assert together == Counter(zip(portion.rows, portion.draws, strict=True))
            assert max(len(part.rows) for part in parts) - min(len(part.rows) for part in parts) <= 1


def test_epochs_seeds_and_sources_draw_differently_and_the_same_key_the_same():
    plan = make_plan(8, (40, 40), (1, 1, 1))
    keys = [(0, 0, 1), (1, 0, 1), (0, 1, 1), (0, 0, 2)]
    rows = [
        [part.rows.tolist() for step in replace(plan, seed=seed).steps(epoch) for part in step if part.source == source]
        for seed, epoch, source in keys
    ]
    assert len({str(found) for found in rows}) == 4
    again = make_plan(8, (40, 40), (1, 1, 1)).steps(0)
    assert [part.rows.tolist() for step in again for part in step if part.source == 1] == rows[0]


def drawn_numbers(ids, *, epoch=0, **options):
    """(row, number) of every draw of an auxiliary source with these ids, in an epoch of twelve draws."""
    rows = [Example(Record({"id": name}), 0) for name in ids]
    sources = [TrainingSource("target", examples(12), 3), TrainingSource("web", rows, 3, np.ones(len(rows)))]
    steps = JointSampler(sources, (1, 1), **options).steps(epoch)
    parts = [part for step in steps for part in step if part.source == 1]
    return [pair for part in parts for pair in zip(part.rows.tolist(), part.draws.tolist(), strict=True)]


@pytest.mark.parametrize("alternate", [False, True])
def test_rows_of_one_id_are_different_draws_and_the_first_has_the_key_of_a_single_row(alternate):
    ids = ["a", "b", "a", "c", "a", "b"]
    drawn = drawn_numbers(ids, alternate=alternate)
    assert len({(ids[row], number) for row, number in drawn}) == len(drawn) >= len(ids)
    first = {row: min(number for other, number in drawn if other == row) for row, _ in drawn}
    assert first == {0: 0, 1: 0, 2: 1, 3: 0, 4: 2, 5: 1}


def test_without_copies_the_numbers_of_draws_count_the_draws_of_each_row():
    drawn = drawn_numbers(["a", "b", "c", "d", "e"])
    rows = np.array([row for row, _ in drawn])
    assert [number for _, number in drawn] == occurrences(rows).tolist()
    assert max(number for _, number in drawn) == 2


def test_batch_sizes_that_are_not_whole_are_refused_with_the_next_that_are():
    assert batch_sizes(32, [1, 1]) == [32, 32]
    assert batch_sizes(12, [2, 1, 3]) == [12, 6, 18]
    with pytest.raises(UsageError, match=r"--batch-size 5 with --ratio 2:1: 5 x 1/2 is not a whole number; .* of 2"):
        batch_sizes(5, [2, 1])


def rows_of_target(sampler, epoch=0):
    return np.concatenate([part.rows for step in sampler.steps(epoch) for part in step if part.source == 0])


def weighted(weights, **recipe):
    target = [Example(Record({"id": str(row), "weight": weight}), 0) for row, weight in enumerate(weights)]
    return make_sampler(target, {}, with_ratio(StudentRecipe(batch_size=4, **recipe), 0), seed=0, stage="train")


def test_a_target_with_weights_is_drawn_by_them_and_one_without_once_each():
    rows = rows_of_target(weighted([8.0, 1.0, 1.0, 1.0, 1.0, 0.0, 2.0, 2.0]))
    assert abs(rows.tolist().count(0) - 8 * 8 / 16) <= 1
    assert 5 not in rows
    assert len(rows) == 8
    assert sorted(rows_of_target(weighted([None] * 8))) == list(range(8))


@pytest.mark.parametrize("alternate", [False, True])
def test_a_length_in_clips_is_split_evenly_over_passes_of_the_target(alternate):
    recipe = StudentRecipe(epochs=14, milestones=(7,), warmup_epochs=1.0, train_clips=190, alternate=alternate)
    paced = recipe.with_length(80)
    assert (paced.epochs, paced.milestones, paced.warmup_epochs) == (3, (1.5,), pytest.approx(3 / 14))
    target = examples(80)
    sampler = make_sampler(target, {}, with_ratio(replace(paced, batch_size=8), 0), seed=0, stage="train")
    rows = [rows_of_target(sampler, epoch) for epoch in range(3)]
    assert [len(found) for found in rows] == [64, 64, 64]
    assert all(len(set(found)) == 64 for found in rows)
    assert recipe.with_length(1000).epochs == 1


def test_a_short_training_is_a_part_of_a_pass():
    paced = StudentRecipe(epochs=14, milestones=(), train_clips=30).with_length(80)
    sampler = make_sampler(examples(80), {}, with_ratio(replace(paced, batch_size=8), 0), seed=0, stage="train")
    assert paced.epochs == 1
    assert len(rows_of_target(sampler)) == 30
