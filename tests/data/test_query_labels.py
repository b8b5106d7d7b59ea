"""Queries name classes, in any spelling, by a map, and one of several by a keyed draw."""

import pytest

from omnicli.data.query_labels import Queries, read_query_map
from omnicli.errors import InputError
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

CLASSES = ["Archery", "Horse Race", "Playing_Piano", "Surfing"]


def find(using=None, **fields):
    found = (using or Queries(ClassIndex(CLASSES))).find(Record(fields))
    return None if found is None else CLASSES[found[0]]


@pytest.mark.parametrize("query", ["Horse Race", "horse_race", "HORSE-RACE", " horse  race"])
def test_spelling_does_not_matter(query):
    assert find(query=query) == "Horse Race"


def test_no_query_and_an_unknown_query_name_no_class():
    assert find() is find(query="chess") is find(queries=[]) is None


def test_a_query_map_names_the_class_of_a_query(tmp_path):
    path = tmp_path / "map.tsv"
    path.write_text("Bogenschießen\tArchery\n\nwave  riding\tSurfing\n", encoding="utf-8")
    mapped = Queries(ClassIndex(CLASSES), read_query_map(path))
    assert find(mapped, query="bogenschiessen") == "Archery"
    assert find(mapped, query="Wave_Riding") == "Surfing"
    assert find(mapped, query="playing piano") == "Playing_Piano"


def test_the_advice_names_what_was_compared_and_not_the_option_that_is_given_already():
    bare, mapped = Queries(ClassIndex(CLASSES)), Queries(ClassIndex(CLASSES), {"chess": "Chess Game"})
    for queries in (bare, mapped):
        find(queries, query="surfing")
        for number in range(9):
            find(queries, queries=["chess", f"tag{number}"])
    shown = "the queries are chess, tag0, tag1, tag2, tag3, ...; the classes are Archery, Horse Race"
    assert bare.advice().startswith(shown) and bare.advice().endswith("; give --query-map FILE")
    assert "are chess (mapped to Chess Game), tag0" in mapped.advice()
    assert mapped.advice().endswith("; correct the file of --query-map")


def test_of_several_queries_only_those_that_name_a_class_are_drawn():
    drawn = [find(id=str(i), queries=["chess", "surfing", "archery"]) for i in range(200)]
    assert set(drawn) == {"Archery", "Surfing"}
    assert 60 < drawn.count("Archery") < 140
    assert drawn == [find(id=str(i), queries=["chess", "surfing", "archery"]) for i in range(200)]


def test_a_class_is_drawn_as_often_as_tags_mean_it_and_a_tag_given_twice_is_one():
    mapped = Queries(ClassIndex(CLASSES), {"bow": "Archery", "arrow": "Archery", "wave": "Surfing"})
    drawn = [find(mapped, id=str(i), queries=["bow", "arrow", "wave"]) for i in range(300)]
    assert 170 < drawn.count("Archery") < 230
    twice = [find(mapped, id=str(i), queries=["bow", "Bow", "wave", " bow"]) for i in range(300)]
    assert 120 < twice.count("Archery") < 180


@pytest.mark.parametrize("line", ["no tab", "two\ttabs\there", "\tArchery"])
def test_a_bad_line_of_the_query_map_is_named(tmp_path, line):
    path = tmp_path / "map.tsv"
    path.write_text(f"fine\tArchery\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"map.tsv:2: expected query<TAB>class name"):
        read_query_map(path)


def test_a_query_map_in_another_encoding_is_named(tmp_path):
    (tmp_path / "map.tsv").write_bytes("café\tArchery\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"map.tsv: not UTF-8 at byte 3; expected lines query<TAB>class name"):
        read_query_map(tmp_path / "map.tsv")
