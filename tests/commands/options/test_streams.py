"""What contradicts itself is refused before anything is opened."""

import os
from pathlib import Path

import pytest

from omnicli.commands.options.streams import StreamOptions, is_folder, parse_max_bad
from omnicli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "num_in", "limit"),
    [
        (None, 100, None),
        ("0", 100, 0),
        ("7", 100, 7),
        ("2%", 300, 6),
        ("29%", 100, 29),
        ("4.4%", 750, 33),
        ("0.5%", 1000, 5),
    ],
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
    assert StreamOptions().is_live
    assert StreamOptions(inputs=["-"]).is_live
    assert StreamOptions(inputs=["web.jsonl", str(tmp_path / "fifo")]).is_live
    assert not StreamOptions(inputs=[str(tmp_path)]).is_live
    assert not StreamOptions(files_from="list.txt").is_live


@pytest.mark.parametrize(
    ("streams", "whole_stream", "message"),
    [
        (StreamOptions(part="0/2"), "--top", "--top decides over the whole stream and cannot be combined with --part"),
        (StreamOptions(output="out/"), "--top", "cannot be combined with -o DIR/"),
        (StreamOptions(missing=True), None, "--missing needs -o DIR/ and --parts N"),
        (StreamOptions(missing=True, output="out/"), None, "--missing needs"),
        (StreamOptions(part="next", output="out/", resume=False), None, "--part next --no-resume: each task would"),
        (StreamOptions(parts=3), None, "--parts needs --missing"),
        (StreamOptions(output="out/", rejects="one.jsonl"), None, "--rejects OTHERDIR/"),
        (StreamOptions(null_separated=True), None, "-0 needs --files-from"),
        (StreamOptions(output="-"), None, "^-o -: omit -o to write to stdout$"),
        (StreamOptions(rejects="-"), None, "^--rejects -: give a file, or /dev/stderr$"),
        (StreamOptions(summary=Path("-")), "--top", "^--summary -: give a file, or /dev/stderr$"),
        (StreamOptions(output="./a", rejects="a"), None, "--rejects and -o are the same file"),
    ],
)
def test_contradictions_are_named(streams, whole_stream, message):
    with pytest.raises(UsageError, match=message):
        streams.check(whole_stream=whole_stream)


def test_what_goes_together_passes():
    StreamOptions(output="out/", rejects="gone/", part="0/2", max_bad="2%").check(whole_stream=None)
    StreamOptions(output="out/", missing=True, parts=4).check(whole_stream=None)
    StreamOptions(files_from="-", null_separated=True).check(whole_stream="--top")
