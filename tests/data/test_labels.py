"""Labels: what agrees is read, what does not is named with file and line."""

import pytest

from omnicli.data.dataloader import Example
from omnicli.data.labels import (
    check_every_class_has_a_clip,
    class_name_of,
    class_probabilities,
    infer_classes,
    labels_of,
    one_class_each,
    read_examples,
    read_multi_label,
)
from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record


def listed(*rows):
    """Records as a list holds them."""
    return [
        Record({"id": f"{n}.mp4", **row}, origin="t.jsonl", line=n, position=n - 1) for n, row in enumerate(rows, 1)
    ]


def named(*names):
    return listed(*({"class_name": name} for name in names))


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        ({"label": 1}, (1,)),
        ({"label": [2, 0, 2]}, (2, 0)),
        ({"class_name": ["Surf", "bowl"]}, (2, 1)),
        ({"class_name": ["surf", "SURF"], "label": [2, 2]}, (2,)),
    ],
)
def test_a_record_has_all_its_classes_once_in_its_own_order(row, labels):
    [record] = listed(row)
    assert labels_of(record, ClassIndex(["archery", "bowl", "surf"])) == labels


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"label": []}, "an empty list of labels; each record needs one at least"),
        ({"class_name": [], "label": [0]}, "an empty list of labels"),
        ({"class_name": ["bowl", "surf"], "label": [1]}, "2 class names, but 1 labels"),
        ({"class_name": ["bowl", "surf"], "label": [1, 0]}, "label 0 is 'archery', but class_name is 'surf', label 2"),
        ({"label": [0, 3]}, "label 3 is outside"),
        ({}, "no field 'class_name' or 'label'"),
    ],
)
def test_one_wrong_class_among_several_is_named(row, says):
    [record] = listed(row)
    with pytest.raises(InputError, match=rf"t\.jsonl:1: {says}"):
        labels_of(record, ClassIndex(["archery", "bowl", "surf"]))


def test_names_without_integers_are_sorted():
    assert infer_classes(named("surf", "archery", "surf", "Bowl")) == ["Bowl", "archery", "surf"]


def test_spellings_of_one_name_are_one_class_by_its_first_spelling():
    """Two classes, of which every label means the second, stopped the training for want of a clip of the first."""
    assert infer_classes(named("Tai_Chi", "archery", "tai chi")) == ["Tai_Chi", "archery"]
    records = listed({"class_name": "Tai_Chi", "label": 1}, {"class_name": "surf", "label": 0},
                     {"class_name": "tai-chi", "label": 1})  # fmt: skip
    assert infer_classes(records) == ["surf", "Tai_Chi"]


def test_names_with_integers_keep_their_order():
    records = listed(
        {"class_name": "surf", "label": 0}, {"class_name": "bowl", "label": 1}, {"class_name": "surf", "label": 0}
    )
    assert infer_classes(records) == ["surf", "bowl"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (({"class_name": "a", "label": 0}, {"class_name": "a", "label": 1}), "t.jsonl:2: class 'a' with label 1"),
        (({"class_name": "a", "label": 0}, {"class_name": "b", "label": 0}), "t.jsonl:2: class 'b' with label 0"),
        (({"class_name": "a", "label": 0}, {"class_name": "a"}), "t.jsonl:2: class 'a' with no label"),
        (({"class_name": "a", "label": 0}, {"class_name": "c", "label": 2}), "no record has label 1"),
        (({"label": 0},), "t.jsonl:1: label 0 but no class_name"),
        (({"id": "a"},), "t.jsonl:1: no field 'class_name' or 'label'; name its class, or give a folder per class"),
        (({"query": "a"},), "query 'a' is not a label; if it is the class, run omni index with --labels"),
        (({"class_name": ["a", "b"]},), "t.jsonl:1: 2 class names; expected one per record; omni train --multi-label"),
        (({"class_name": "Tai Chi", "label": 0}, {"class_name": "tai_chi", "label": 1}), "'Tai Chi' with label 1"),
    ],
)
def test_labels_that_disagree_are_named(rows, says):
    with pytest.raises(InputError) as error:
        infer_classes(listed(*rows))
    assert says in str(error.value)


def test_a_folder_names_the_class_but_a_query_of_a_list_does_not():
    walked = Record({"id": "t/surf/a.mp4", "query": "surf"}, origin="t/surf/a.mp4")
    assert class_name_of(walked) == "surf"
    assert class_name_of(listed({"query": "surf"})[0]) is None


def test_spellings_of_a_class_are_one_and_integers_are_checked():
    classes = ["Horse Race", "surfing"]
    assert [example.label for example in read_examples(named("horse_race", "Surfing"), classes)] == [0, 1]
    assert [example.label for example in read_examples(listed({"label": 1}), classes)] == [1]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"class_name": "surfin"}, "t.jsonl:1: class 'surfin' is not among the 2 classes; near: surfing"),
        ({"label": 2}, "t.jsonl:1: label 2 is outside [0, 2)"),
        ({"label": -1}, "t.jsonl:1: label -1 is outside [0, 2)"),
        ({"label": 0, "class_name": "surfing"}, "t.jsonl:1: label 0 is 'Horse Race', but class_name is 'surfing'"),
        ({}, "t.jsonl:1: no field 'class_name' or 'label'"),
        ({"label": [0, 1]}, "t.jsonl:1: 2 labels"),
    ],
)
def test_labels_that_do_not_fit_the_classes_are_named(row, says):
    with pytest.raises(InputError) as error:
        read_examples(listed(row), ["Horse Race", "surfing"])
    assert says in str(error.value)


def test_a_class_without_a_clip_is_named():
    examples = read_examples(named("a", "c"), ["a", "b", "c"])
    with pytest.raises(InputError, match="no readable clip of class 'b'"):
        check_every_class_has_a_clip(examples, ["a", "b", "c"])
    check_every_class_has_a_clip(read_examples(named("a", "c"), ["a", "c"]), ["a", "c"])


def test_a_class_that_is_only_ever_a_second_label_has_a_clip():
    examples = read_multi_label(listed({"label": [0, 2]}, {"label": [1, 2]}), ["a", "b", "c"])
    check_every_class_has_a_clip(examples, ["a", "b", "c"])
    with pytest.raises(InputError, match="no readable clip of class 'b'"):
        check_every_class_has_a_clip(examples[:1], ["a", "b", "c"])


def test_several_labels_are_read_whichever_way_they_are_written():
    rows = [{"class_name": ["surf", "bowl"]}, {"label": [1]}, {"class_name": ["bowl"], "label": [0]}, {"label": 1}]
    examples = read_multi_label(listed(*rows), ["bowl", "surf"])
    assert [(example.label, example.others) for example in examples] == [(1, (0,)), (1, ()), (0, ()), (1, ())]
    with pytest.raises(InputError, match=r"t.jsonl:1: 2 class names, but 1 labels"):
        one_class_each(*listed({"class_name": ["a", "b"], "label": [0]}))
    with pytest.raises(InputError, match=r"t.jsonl:1: label 2 is outside"):
        read_multi_label(listed({"label": [0, 2]}), ["bowl", "surf"])


def test_probabilities_are_one_hot_soft_or_several():
    [record] = listed({})
    examples = [Example(record, 1), Example(record, 0, scores=((0, 0.75), (2, 0.25))), Example(record, 0, (2,))]
    assert class_probabilities(examples, 3).tolist() == [[0, 1, 0], [0.75, 0, 0.25], [1, 0, 0]]
    assert class_probabilities(examples[::2], 3, multi_label=True).tolist() == [[0, 1, 0], [1, 0, 1]]
