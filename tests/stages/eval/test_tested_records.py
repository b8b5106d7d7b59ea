"""Records that a model has learnt from are not a test."""

import pytest

from omnicli.data.trained_on import TrainedOn
from omnicli.errors import InputError
from omnicli.stages.eval.tested_records import check_untrained, refuse_trained
from omnicli.streams.record import Record

RECORDS = [Record({"id": name}) for name in "abcdefgh"]
META = {"trained_on": TrainedOn.of(RECORDS[:5], [], root=None, workers=1).to_meta()}


def test_all_records_are_counted_and_a_few_named():
    shared = check_untrained(lambda: iter(RECORDS), META, model="s.pth", root=None)
    assert shared == "s.pth was trained on 5 of 8 records: a (same id), b (same id), c (same id), ..."
    assert check_untrained(lambda: iter(RECORDS[5:]), META, model="s.pth", root=None) == ""
    assert check_untrained(lambda: iter(RECORDS), {}, model="s.pth", root=None) == ""
    assert check_untrained(None, META, model="s.pth", root=None) == ""


def test_a_pipe_stops_at_the_first():
    records = refuse_trained(iter([*RECORDS[5:], *RECORDS]), META, model="s.pth", root=None)
    assert [next(records)["id"] for _ in range(3)] == ["f", "g", "h"]
    with pytest.raises(InputError, match=r"s\.pth was trained on a \(same id\), among others; take them out"):
        next(records)
    assert list(refuse_trained(iter(RECORDS), {}, model="s.pth", root=None)) == RECORDS
