"""Maps of the classes of lists."""

import json
from pathlib import Path

import pytest

from omnicli.errors import InputError
from omnicli.streams.class_map import read_class_map
from omnicli.streams.record import Record


def mapped(tmp_path: Path, text: str, **fields):
    Path(tmp_path, "map").write_text(text)
    made = read_class_map(tmp_path / "map").apply(Record({"id": "a"} | fields, origin="l.txt", line=4))
    return made if made is None else {name: value for name, value in made.items() if name != "id"}


@pytest.mark.parametrize(
    "text", [json.dumps({"17": 0, "3": 1}), "[-1, null, -1, 1" + ", -1" * 13 + ", 0]", "17 0\n3 1\n"]
)
def test_labels_of_the_set_become_labels_of_the_subset(tmp_path, text):
    assert mapped(tmp_path, text, label=17) == {"label": 0}
    assert mapped(tmp_path, text, label=3, class_name="old") == {"label": 1}, "the old name may be another's"
    assert mapped(tmp_path, text, label=4) is None
    assert mapped(tmp_path, text, label=[4, 3, 17]) == {"label": [1, 0]}
    assert mapped(tmp_path, text, query="x") == {"query": "x"}


def test_names_become_names_in_any_spelling(tmp_path):
    text = "Playing Violin\tviolin\narchery\tbow"
    assert mapped(tmp_path, text, class_name="playing_violin", label=9) == {"class_name": "violin"}
    assert mapped(tmp_path, text, class_name="surfing") is None


def test_a_map_of_the_other_kind_is_refused(tmp_path):
    for text, fields, has, needs in [
        ("a\tb", {"label": 1}, "label", "class names"),
        ("1 2", {"class_name": "a"}, "class_name", "labels"),
    ]:
        with pytest.raises(InputError, match=f"l.txt:4: has a {has}, but .*map maps {needs}"):
            mapped(tmp_path, text, **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 2 3", r"map:1: expected 'old new' \(names with a tab between\), got '1 2 3'"),
        ("1 2\n\n1 3", "map:3: class '1' is mapped twice"),
        ('{"1": [2]}', r"map:1: expected a label or a class name, got '1': \[2\]"),
        ('{"1": 2, "a": 3}', "map: old classes are labels in some lines and names in others"),
        ('{"1": ', "map: not JSON"),
        ('{"1": null}', "map: maps no class"),
    ],
)
def test_bad_maps_are_named(tmp_path, text, expected):
    with pytest.raises(InputError, match=expected):
        mapped(tmp_path, text)


def test_a_missing_map_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_class_map(tmp_path / "none")
