"""Web records as examples: which class, how soft, how likely."""

import numpy as np
import pytest

from omnicli.data.auxiliary import read_auxiliary, read_weights
from omnicli.data.dataloader import Example
from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

QUERIES = Queries(ClassIndex(["archery", "Playing_Violin", "surfing"]), {"bow and arrow": "archery"})


def record(**fields):
    return Record({"id": "a", **fields}, origin="web.jsonl", line=3)


def read(*records, **options):
    dropped = []
    examples = read_auxiliary(records, QUERIES, on_drop=lambda left, why: dropped.append((left["id"], why)), **options)
    return examples, dropped


def test_pseudo_labels_are_taken_and_names_rule_over_integers():
    [by_both, by_name, by_label], _ = read(
        record(pseudo_label=1, pseudo_class="playing violin"), record(pseudo_class="surfing"), record(pseudo_label=0)
    )
    assert [by_both.label, by_name.label, by_label.label] == [1, 2, 0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"query": "archery"}, r"web.jsonl:3: no field 'pseudo_label'; omni filter writes it"),
        ({"pseudo_label": 3}, r"pseudo_label 3 is outside \[0, 3\)"),
        ({"pseudo_label": -1}, r"outside \[0, 3\)"),
        ({"pseudo_class": "serfing"}, "'serfing' is not among the 3 classes; near: surfing"),
        ({"pseudo_label": 0, "pseudo_class": "surfing"}, "is 'archery' here, but the teacher meant 'surfing'"),
    ],
)
def test_a_pseudo_label_that_does_not_fit_stops_with_its_line(fields, says):
    with pytest.raises(InputError, match=says):
        read(record(**fields))


def test_queries_are_classes_on_request_and_what_is_no_class_leaves_with_its_reason():
    examples, dropped = read(
        record(query="Bow and Arrow"), record(id="b", queries=["surfing", "archery", "surfing", "x"]),
        record(id="c", query="cooking"), by="query",
    )  # fmt: skip
    assert [(example.label, example.others) for example in examples] == [(0, ()), (2, (0,))]
    assert dropped == [("c", "no class")]
    with pytest.raises(InputError, match="no field 'query'"):
        read(record(pseudo_label=0), by="query")


def test_a_class_stands_once_for_each_tag_that_means_it_as_filter_draws_it():
    [two_of_three], _ = read(record(queries=["archery", "bow and arrow", "surfing", "Archery"]), by="query")
    assert (two_of_three.label, two_of_three.others) == (0, (0, 2))


def test_labels_of_people_are_taken_on_request():
    [example], _ = read(record(class_name="surfing", pseudo_label=0), by="label")
    assert example.label == 2
    [several], _ = read(record(class_name=["surfing", "archery"]), by="label", multi_label=True)
    assert (several.label, several.others) == (2, (0,))


def test_soft_labels_are_the_best_scores_scaled_to_sum_to_1():
    [example], _ = read(record(pseudo_label=1, top_scores=[[1, 0.6], [0, 0.2]]), is_soft=True)
    assert example.scores == ((1, pytest.approx(0.75)), (0, pytest.approx(0.25)))
    with pytest.raises(InputError, match="no field 'top_scores'"):
        read(record(pseudo_label=1), is_soft=True)
    with pytest.raises(InputError, match=r"expected classes in \[0, 3\)"):
        read(record(pseudo_label=1, top_scores=[[7, 0.6]]), is_soft=True)


def weights_of(*weights):
    rows = [record(**({} if weight is None else {"weight": weight})) for weight in weights]
    return read_weights([Example(row, 0) for row in rows], "gg")


def test_weights_are_those_of_the_records_or_all_the_same():
    assert np.array_equal(weights_of(0.5, 0.0, 2.0), [0.5, 0.0, 2.0])
    assert np.array_equal(weights_of(None, None), [1.0, 1.0])


@pytest.mark.parametrize(
    ("weights", "says"),
    [((1.0, None), "no field 'weight', which others of gg have"), ((-1.0, 2.0), "weight -1.0"), ((0.0,), "gg: every")],
)
def test_weights_nobody_could_draw_by_are_refused(weights, says):
    with pytest.raises(InputError, match=says):
        weights_of(*weights)
