"""``omni queries``: every form, and the way back from a query to its class."""

import json

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.data.query_labels import Queries, read_query_map
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record


def omni(*arguments):
    return CliRunner().invoke(app, ["queries", *map(str, arguments)])


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("burning candle\nPlayingHarp\n")
    return path


def test_queries_are_records_with_their_class(classes):
    result = omni(classes)
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"id": name, "query": name, "kind": "search", "class_name": known}
        for name, known in (("burning candle", "burning candle"), ("Playing Harp", "PlayingHarp"))
    ]
    assert result.stderr == "queries: 2 classes = 2 queries\n"
    assert omni(classes, "-q").stderr == ""


def test_windows_are_fields_and_operators_of_engines(classes):
    days = ["--since", "2020-01-01", "--before", "2020-03-01", "--window-days", 31]
    record = json.loads(omni(classes, *days).stdout.splitlines()[0])
    assert (record["since"], record["before"]) == ("2020-01-01", "2020-02-01")
    assert record["id"] == "burning candle#2020-01-01/2020-02-01"
    text = omni(classes, *days, "--format", "text").stdout
    assert text.splitlines()[1] == "burning candle after:2020-02-01 before:2020-03-01"
    assert len(omni(classes, *days[:4], "--format", "text").stdout.splitlines()) == 2
    assert omni(classes, *days, "--format", "map").stdout == omni(classes, "--format", "map").stdout


def test_hashtags_are_plain_text_and_the_map_leads_filter_to_their_class(classes, tmp_path):
    tags = omni(classes, "--hashtags", "--format", "text").stdout.splitlines()
    assert {"burncandle", "candlesburning", "harpplaying"} <= set(tags)
    assert len(omni(classes, "--hashtags", "--max-tags", 3).stdout.splitlines()) == 6
    assert omni(classes, "--hashtags", "--format", "map", "-o", tmp_path / "map.tsv").stdout == ""
    queries = Queries(ClassIndex(["PlayingHarp", "burning candle"]), read_query_map(tmp_path / "map.tsv"))
    assert [queries.find(Record({"id": "a", "query": tag})) for tag in ("candleburn", "playharp")] == [
        (1, "candleburn"), (0, "playharp")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-tags", 3], "--max-tags needs --hashtags"),
        (["--hashtags", "--since", "2020-01-01"], "remove --hashtags"),
        (["-o", "-"], "-o -: omit -o to write to stdout"),
        (["--since", "2020-01-01"], "needs both --since and --before"),
        (["--window-days", 3], "needs both --since and --before"),
        (["--since", "2020-01-02", "--before", "2020-01-02"], "--since 2020-01-02 is not before --before 2020-01-02"),
    ],
)
def test_options_that_contradict_each_other_are_refused(classes, arguments, said):
    result = omni(classes, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_bad_classes_file_is_65_and_a_name_without_letters_is_told(classes, tmp_path):
    result = omni(tmp_path / "gone.txt")
    assert (result.exit_code, result.stdout) == (65, "")
    assert "gone.txt: no such file; expected a classes file" in result.stderr
    classes.write_text("!!\nsurf\n")
    assert "queries: without any: !!" in omni(classes, "--hashtags").stderr


def test_names_come_through_a_pipe(sh, classes, tmp_path):
    done = sh("cat classes.txt | omni queries --hashtags --format text -q | head -1", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("burningcandle\n", "")


def test_classes_without_a_query_are_named_all_of_them_under_v(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"{mark}\n" for mark in "!?*+&%$"))
    brief, full = (omni(path, "--hashtags", *more).stderr.splitlines()[-1] for more in ([], ["-v"]))
    assert brief.endswith(" ...") and brief.count(",") == 4
    assert full.count(",") == 6


def test_a_dry_run_prints_the_options_and_asks_nothing(classes):
    result = omni(classes, "--hashtags", "--max-tags", 3, "-n")
    assert json.loads(result.stdout)["max_tags"] == 3
    assert result.stderr == ""


def test_verbs_and_nouns_are_a_label_space_of_pairs(tmp_path):
    (tmp_path / "verbs.txt").write_text("burning\ncatching\n")
    (tmp_path / "nouns.txt").write_text("candle\nfish\n")
    both = ("--verbs", tmp_path / "verbs.txt", "--nouns", tmp_path / "nouns.txt")
    assert omni(*both, "--format", "classes").stdout == "burn candle\nburn fish\ncatch candle\ncatch fish\n"
    rows = [line.split("\t") for line in omni(*both, "--hashtags", "--format", "map").stdout.splitlines()]
    assert {tag for tag, name in rows if name == "burn candle"} == {
        "burncandle", "candlesburning", "candleburning", "burncandles", "burningcandle", "burningcandles",
        "candlesburn", "candleburn",
    }  # fmt: skip
    for arguments in (both[:2], (*both, tmp_path / "verbs.txt")):
        assert omni(*arguments).exit_code == 2


def test_nested_subsets_of_the_classes(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"class {i}\n" for i in range(50)))
    small, large = (omni(path, "--keep-labels", n, "--format", "classes").stdout.splitlines() for n in (5, 20))
    assert (len(small), len(large), set(small) < set(large)) == (5, 20, True)
    assert omni(path, "--keep-labels", 5, "--format", "text").stdout.splitlines() == small
    assert omni(path, "--keep-labels", 5, "--seed", 1, "--format", "classes").stdout.splitlines() != small
    for arguments in (("--keep-labels", 51), ("--seed", 1), ("--hashtags", "--format", "classes")):
        assert omni(path, *arguments).exit_code == 2
