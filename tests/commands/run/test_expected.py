"""The time left is said where the input has a known length, and costs short runs nothing."""

import pytest

from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.counters import RecordAccountant
from omnicli.commands.run.expected import TimeLeft


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n" * 300)
    return str(path)


def left(counters, *, num_resumed=0, seconds=60.0, **streams):
    return TimeLeft(StreamOptions(**streams)).describe(counters, num_resumed=num_resumed, seconds=seconds)


def test_the_time_left_follows_from_the_lines_of_all_inputs(lines):
    assert left({"in": 100}, inputs=[lines]) == ", ETA 0:02:00"
    assert left({"in": 100}, inputs=[lines, lines], limit=400) == ", ETA 0:03:00"
    assert left({"in": 200}, num_resumed=100, inputs=[lines]) == ", ETA 0:01:00"
    assert left({"in": 999}, inputs=[lines]) == ", ETA 0:00:00"


def test_it_is_unknown_for_what_has_no_length_and_not_asked_for_at_the_start(lines, tmp_path):
    (tmp_path / "b.jsonl.gz").write_bytes(b"")
    for inputs in (["-"], None, [str(tmp_path)], [lines, str(tmp_path / "b.jsonl.gz")], [str(tmp_path / "no.jsonl")]):
        assert left({"in": 100}, inputs=inputs) == ""
    assert left({"in": 100}, inputs=[lines], part="0/2") == ""
    assert left({"in": 0}, inputs=[lines]) == ""
    assert left({"in": 100}, inputs=["unread.jsonl"], seconds=5.0) == ""


def test_the_kept_share_is_shown_while_it_runs():
    line = RecordAccountant().progress_line({"in": 200, "kept": 50, "rejected: low rank": 150, "unreadable": 0}, 0)
    assert line.startswith("200 in, 50 kept (25%), 150 rejected, 0 unreadable, ")
    empty = {"in": 0, "kept": 0, "unreadable": 0}
    assert RecordAccountant().progress_line(empty, 0).startswith("0 in, 0 kept, 0 rejected")
