"""Batches: always the same places, whoever reads them and wherever they begin."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.dataloader import DrawnExample, Example, StepBatch, epoch_order, feature_batches, read_batches
from omnicli.errors import InputError, MediaError
from omnicli.streams.record import Record


def make_examples(num):
    return [Example(Record({"id": str(index)}, position=index), index % 3) for index in range(num)]


def read(record, draw=0):
    if record["id"].startswith("bad"):
        raise MediaError("empty file")
    return np.full((2, 4, 4, 3), int(record["id"]), np.uint8)


def never(place):
    return False


def places_of(examples, rows):
    return [DrawnExample(examples[row], 0, (0, int(row))) for row in rows]


def batches(examples, order, *, read=read, batch_size=3, workers=2, is_bad=never, first_step=0):
    places = [places_of(examples, rows) for rows in rows_of(order, batch_size)[first_step:]]
    return list(read_batches(places, read=read, workers=workers, is_bad=is_bad))


def rows_of(order, batch_size=3):
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def ready(features, examples, order, *, is_bad=never):
    rows = rows_of(order)
    return list(feature_batches(features, [(row, places_of(examples, row)) for row in rows], is_bad=is_bad))


@given(st.integers(1, 20), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_visits_everyone_once_in_its_own_order(num, epoch, seed):
    order = epoch_order(num, seed=seed, stage="s", epoch=epoch)
    assert sorted(order.tolist()) == list(range(num))
    assert (order == epoch_order(num, seed=seed, stage="s", epoch=epoch)).all()


def test_epochs_and_seeds_differ_in_order():
    orders = [epoch_order(30, seed=seed, stage="s", epoch=epoch).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("workers", [1, 4])
def test_clips_labels_and_examples_belong_together(workers):
    examples, order = make_examples(8), np.array([3, 1, 4, 0, 5, 7, 2, 6])
    made = batches(examples, order, workers=workers)
    assert [len(batch.labels) for batch in made] == [3, 3, 2]
    ids = [int(name) for batch in made for name in batch.ids]
    assert ids == order.tolist()
    assert [int(clip.flatten()[0]) for batch in made for clip in batch.clips] == ids
    assert [int(label) for batch in made for label in batch.labels] == [index % 3 for index in ids]


def test_an_epoch_taken_up_again_goes_on_with_the_same_batches():
    examples, order = make_examples(8), epoch_order(8, seed=0, stage="s", epoch=0)
    whole = batches(examples, order)
    for step in range(3):
        assert [batch.ids for batch in batches(examples, order, first_step=step)] == [b.ids for b in whole[step:]]


def test_unreadable_media_leave_a_gap_and_nobody_moves_up():
    examples, order = make_examples(7), np.arange(7)
    examples[1] = Example(Record({"id": "bad1"}), 0)
    made = batches(examples, order)
    assert [batch.ids for batch in made] == [["0", "2"], ["3", "4", "5"], ["6"]]
    bad = [[(place.example.id, why) for place, why in batch.bad] for batch in made]
    assert bad == [[("bad1", "empty file")], [], []]
    known = batches(examples, order, is_bad=lambda place: place.key == (0, 1))
    assert [batch.ids for batch in known] == [batch.ids for batch in made]
    assert known[0].bad == ()


def test_a_batch_of_nothing_but_bad_media_is_empty():
    made = batches([Example(Record({"id": "bad"}), 0)], np.arange(1))
    assert (made[0].ids, len(made[0].labels), len(made[0].bad)) == ([], 0, 1)


def test_other_errors_come_out():
    def broken(record, draw):
        raise InputError("t.jsonl:1: no field 'path'")

    with pytest.raises(InputError, match="path"):
        batches(make_examples(3), np.arange(3), read=broken)


def test_ready_features_come_in_the_same_batches_as_clips():
    examples, order = make_examples(8), epoch_order(8, seed=1, stage="s", epoch=0)
    features = torch.arange(8.0)[:, None].expand(8, 5)
    made = ready(features, examples, order)
    assert [batch.ids for batch in made] == [batch.ids for batch in batches(examples, order)]
    assert all([str(int(row[0])) for row in batch.clips] == batch.ids for batch in made)


def test_ready_features_leave_the_same_gaps():
    examples = make_examples(6)
    made = ready(torch.zeros(6, 2), examples, np.arange(6), is_bad=lambda place: place.key in [(0, 1), (0, 5)])
    assert [batch.ids for batch in made] == [["0", "2"], ["3", "4"]]


def test_a_step_has_the_ids_and_the_bad_ones_of_all_its_parts():
    examples, order = make_examples(7), np.arange(7)
    examples[1] = Example(Record({"id": "bad1"}), 0)
    step = StepBatch(tuple(batches(examples, order)[:2]))
    assert step.ids == ["0", "2", "3", "4", "5"]
    assert [place.example.id for place, _ in step.bad] == ["bad1"]
