"""What contradicts itself is refused before anything is opened."""

import os

import pytest

from omnicli.commands.options.checks import StreamOptions, check_streams, is_folder, is_live, parse_max_bad
from omnicli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "num_in", "limit"), [(None, 100, None), ("0", 100, 0), ("7", 100, 7), ("2%", 300, 6), ("0.5%", 1000, 5)]
)
def test_max_bad_is_a_number_or_a_share(text, num_in, limit):
    assert parse_max_bad(text, num_in) == limit


@pytest.mark.parametrize("text", ["many", "-1", "-2%", "1.5", "%", "nan%"])
def test_other_limits_are_refused_with_the_value(text):
    with pytest.raises(UsageError, match=r"--max-bad"):
        parse_max_bad(text, 100)


def test_a_folder_is_one_that_exists_or_ends_in_a_slash(tmp_path):
    assert is_folder(str(tmp_path))
    assert is_folder("new/")
    assert not is_folder(str(tmp_path / "new"))
    assert not is_folder(None)


def test_somebody_waits_where_an_input_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert is_live(StreamOptions())
    assert is_live(StreamOptions(inputs=["-"]))
    assert is_live(StreamOptions(inputs=["web.jsonl", str(tmp_path / "fifo")]))
    assert not is_live(StreamOptions(inputs=[str(tmp_path)]))
    assert not is_live(StreamOptions(files_from="list.txt"))


@pytest.mark.parametrize(
    ("streams", "whole_stream", "message"),
    [
        (StreamOptions(shard="0/2"), "--top", "--top decides over the whole stream and cannot go with --shard"),
        (StreamOptions(out="out/"), "--top", "cannot go with -o DIR/"),
        (StreamOptions(missing=True), None, "--missing needs -o DIR/ and --shards-total N"),
        (StreamOptions(missing=True, out="out/"), None, "--missing needs"),
        (StreamOptions(shards_total=3), None, "--shards-total goes with --missing"),
        (StreamOptions(out="out/", rejects="one.jsonl"), None, "--rejects OTHERDIR/"),
        (StreamOptions(null_separated=True), None, "-0 goes with --files-from"),
        (StreamOptions(out="./a", rejects="a"), None, "--rejects and -o are the same file"),
    ],
)
def test_contradictions_are_named(streams, whole_stream, message):
    with pytest.raises(UsageError, match=message):
        check_streams(streams, whole_stream=whole_stream)


def test_what_goes_together_passes():
    check_streams(StreamOptions(out="out/", rejects="gone/", shard="0/2", max_bad="2%"), whole_stream=None)
    check_streams(StreamOptions(out="out/", missing=True, shards_total=4), whole_stream=None)
    check_streams(StreamOptions(files_from="-", null_separated=True), whole_stream="--top")
