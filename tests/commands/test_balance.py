"""``omni balance``: options reach the stage, messages reach the user, and the pipes work."""

import json

import pytest
from typer.testing import CliRunner

from omnicli.app import app


def omni(*arguments):
    return CliRunner().invoke(app, ["balance", *map(str, arguments)])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def web(tmp_path):
    path = tmp_path / "web.jsonl"
    rows = [{"id": f"{k}/{i}", "source": "gg", "pseudo_label": k, "pseudo_class": name, "query": "one", "label": i % 5}
            for k, (name, size) in enumerate((("archery", 80), ("surfing", 20))) for i in range(size)]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def ratio(*arguments):
    """Weight of a record of the small class in those of the large one."""
    records = parsed(omni(*arguments).stdout)
    return records[-1]["weight"] / records[0]["weight"]


def test_the_books_and_the_histogram_are_shown_at_the_end(web):
    result = omni(web)
    assert result.exit_code == 0
    assert len(parsed(result.stdout)) == 100
    closing, archery, surfing = result.stderr.splitlines()
    assert closing.startswith("balance: 100 in = 100 kept + 0 rejected + 0 unreadable, ")
    assert archery == "balance: gg: archery: 80 records, 80.0% -> 56.9%"
    assert surfing == "balance: gg: surfing: 20 records, 20.0% -> 43.1%"
    assert omni(web, "-q").stderr == ""


def test_classes_with_hardly_any_record_are_named(web, tmp_path):
    """Silent before: a class without a record, or with two that are drawn as often as the eighty of another."""
    with web.open("a") as file:
        file.write("".join(json.dumps({"id": f"t{i}", "pseudo_class": "tai chi"}) + "\n" for i in range(2)))
    remedy = "keep more of them in omni filter, collect more, or leave them out with --min-per-class 5"
    said = omni(web).stderr.splitlines()[-1]
    assert said == f"balance: 1 of 3 classes have fewer than 5 records, 0 none: tai chi 2; {remedy}"
    (tmp_path / "classes.txt").write_text("Archery\nsurfing\ntai_chi\nbowling\n")
    said = omni(web, "--classes", tmp_path / "classes.txt").stderr.splitlines()[-1]
    assert said == f"balance: 2 of 4 classes have fewer than 5 records, 1 none: tai chi 2, bowling 0; {remedy}"
    assert "fewer than" not in omni(web, "--min-per-class", 5).stderr


def test_every_way_to_balance_reaches_the_weights(web):
    assert ratio(web) == pytest.approx(4**0.8)  # p = 0.2 (Table 10)
    assert ratio(web, "--power", 0) == pytest.approx(4)
    assert ratio(web, "--sqrt") == ratio(web, "--power", 0.5) == pytest.approx(2)
    assert ratio(web, "--max-per-class", 40) == pytest.approx(2)
    assert ratio(web, "--auxiliary-label", "query") == 1
    assert ratio(web, "--auxiliary-label", "label") == 1
    assert len(parsed(omni(web, "--min-per-class", 21).stdout)) == 80
    assert len(parsed(omni(web, "--keep-tail", 30).stdout)) == 30
    assert len(parsed(omni(web, "--resample", 130).stdout)) == 130
    assert len(parsed(omni(web, "--limit", 7).stdout)) == 7
    chosen = [omni(web, "--keep-tail", 30, "--seed", seed).stdout for seed in (0, 1)]
    assert chosen[0] != chosen[1]


def test_rejects_summary_and_output_tell_one_story(web, tmp_path):
    web.write_text(web.read_text() + '{"id":"x"}\n')
    out, rejects, summary = tmp_path / "out.jsonl", tmp_path / "rejects.jsonl", tmp_path / "summary.json"
    result = omni(web, "--keep-tail", 30, "-o", out, "--rejects", rejects, "--summary", summary)
    assert (result.exit_code, result.stdout) == (0, "")
    told = json.loads(summary.read_text())
    assert (told["in"], told["kept"], told["rejected"]) == (101, 30, {"head class": 70, "no class": 1})
    assert told["options"]["power"] == 0.2
    assert len(parsed(out.read_text())) == 30
    assert [record["reason"] for record in parsed(rejects.read_text())][-1] == "no class"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.jsonl",
        "rejects.jsonl",
        "summary.json",
        "web.jsonl",
    ]
    everything = tmp_path / "everything.jsonl"
    everything.write_text(out.read_text() + rejects.read_text())
    assert "101 in = 100 kept + 1 rejected (no class 1)" in omni(everything).stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--power", "0.2", "--sqrt"], 2, "--power and --sqrt balance in different ways: give one"),
        (["--seed", "1"], 2, "--seed needs --keep-tail or --resample: weights are not drawn"),
        (["--query-map", "tags.tsv"], 2, "--query-map needs --auxiliary-label query"),
        (["--auxiliary-label", "label", "--classes", "c.txt"], 65, "c.txt: no such file"),
        (["--auxiliary-label", "query", "--query-map", "no.tsv"], 65, "no.tsv: no such file"),
        (["-o", "folder/"], 2, "balance decides over the whole stream and cannot be combined with -o DIR/"),
    ],
)
def test_options_that_contradict_each_other_are_refused(web, arguments, code, said):
    result = omni(web, *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert omni(web, "--part", "0/2").exit_code == 2
    assert omni(web, "--power", "1.5").exit_code == 2


@pytest.fixture
def tagged(tmp_path):
    """Two tags of one class, one of another."""
    (tmp_path / "tags.tsv").write_text("burncandle\tBurning candle\ncandleburn\tburning_candle\nbeekeep\tbeekeeping\n")
    (tmp_path / "classes.txt").write_text("beekeeping\nburning candle\n")
    sizes = (("burncandle", 90), ("candleburn", 10), ("beekeep", 100))
    rows = [{"id": f"{tag}{i}", "query": tag} for tag, size in sizes for i in range(size)]
    path = tmp_path / "web.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"id": "x", "query": "sunday"}]))
    return path


def test_a_query_map_makes_classes_of_tags_and_given_classes_reject_the_others(tagged, tmp_path):
    by_query = (tagged, "--auxiliary-label", "query", "--power", 0)
    mapped = omni(*by_query, "--query-map", tmp_path / "tags.tsv")
    assert "balance: burning candle: 100 records, 49.8% -> 33.3%" in mapped.stderr
    assert "balance: sunday: 1 records, 0.5% -> 33.3%" in mapped.stderr
    summary = tmp_path / "summary.json"
    options = ("--query-map", tmp_path / "tags.tsv", "--classes", tmp_path / "classes.txt", "--summary", summary)
    only = omni(*by_query, *options)
    assert {record["weight"] for record in parsed(only.stdout)} == {1.0}
    told = json.loads(summary.read_text())
    assert told["rejected"] == {"no class": 1}
    assert len(told["options"]["query_map"]) == len(told["options"]["classes"]) == 64


def test_classes_that_no_query_names_are_65(tagged, tmp_path):
    result = omni(tagged, "--auxiliary-label", "query", "--classes", tmp_path / "classes.txt")
    assert result.exit_code == 65
    assert "none of 201 records has a query that names a class of" in result.stderr
    assert "compare them, or give --query-map" in result.stderr


def test_a_stream_without_a_single_class_is_65_and_leaves_nothing(web, tmp_path):
    web.write_text('{"id":"a","query":"x"}\n' * 3)
    result = omni(web, "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 65
    assert "none of 3 records has a pseudo_label; give --auxiliary-label (query, label)" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_a_dry_run_prints_the_rule(web):
    assert json.loads(omni(web, "--sqrt", "-n").stdout)["power"] == 0.5


def test_real_pipes_fifos_and_compressed_files_give_the_bytes_of_the_plain_file(sh, web, tmp_path):
    script = """
        omni balance -q web.jsonl > file
        cat web.jsonl | omni balance -q > piped
        omni balance -q <(head -90 web.jsonl) <(tail -n +91 web.jsonl) > fifos
        gzip -k web.jsonl && omni balance -q web.jsonl.gz -o packed.jsonl.zst
        ls web.jsonl | omni balance -q --files-from - > listed
        omni balance -q packed.jsonl.zst | omni balance -q -o twice
        for made in piped fifos listed twice; do cmp file $made; done
        : | omni balance -q | wc -c
        omni balance web.jsonl | head -1 >first || true
    """
    done = sh(script, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
    assert len(parsed((tmp_path / "file").read_text())) == 100


def test_folders_are_balanced_by_query_and_broken_media_counted(world):
    result = omni(world / "web" / "image", "--auxiliary-label", "query", "--max-bad", 0)
    assert result.exit_code == 3
    counted = result.stderr.splitlines()[0]
    assert " unreadable" in counted and not counted.endswith("0 unreadable")
    assert parsed(result.stdout)[0]["weight"] > 0


def test_clips_of_one_video_share_a_weight(tmp_path):
    path = tmp_path / "clips.jsonl"
    rows = [{"id": f"v#{i}", "parent": "v", "pseudo_label": 0} for i in range(3)] + [{"id": "w", "pseudo_label": 0}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = [record["weight"] for record in parsed(omni(path, "--per-parent").stdout)]
    assert found == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2.0])
    refused = omni(path, "--per-parent", "--resample", 9)
    assert (refused.exit_code, "--per-parent shares weights, and --resample" in refused.stderr) == (2, True)
