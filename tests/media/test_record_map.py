import threading

import pytest

from omnicli.errors import InputError, MediaError
from omnicli.media.record_map import Dropped, keep_drops, map_records
from omnicli.streams.record import Record


def records(count):
    return [Record({"id": number}, position=number) for number in range(count)]


def double(record):
    if record["id"] % 3 == 2:
        raise MediaError("truncated JPEG")
    return 2 * record["id"]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_and_drops_come_in_the_order_of_the_records(workers):
    given = records(9)
    given[4] = Dropped(given[4], "no class")

    def stage(items, on_drop):
        return map_records(double, items, workers=workers, on_drop=on_drop)

    items = keep_drops(stage, given)
    assert [item if isinstance(item, int) else (item.record["id"], item.reason) for item in items] == [
        0, 2, (2, "unreadable: truncated JPEG"), 6, (4, "no class"), (5, "unreadable: truncated JPEG"),
        12, 14, (8, "unreadable: truncated JPEG"),
    ]  # fmt: skip


def test_without_workers_no_record_is_read_ahead():
    read = []

    def items():
        for record in records(5):
            read.append((record["id"], threading.current_thread() is threading.main_thread()))
            yield record

    stream = map_records(double, items(), workers=0, on_drop=lambda record, reason: None)
    assert next(stream) == 0
    assert read == [(0, True)]


def test_an_unexpected_exception_drops_its_record_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # of the log

    def fail(record):
        if record["id"] == 2:
            raise KeyError("class")
        return record["id"]

    dropped = []
    stream = map_records(fail, records(5), workers=2, on_drop=lambda record, reason: dropped.append(reason))
    assert list(stream) == [0, 1, 3, 4]
    assert dropped == ["internal error: KeyError: 'class'"]


def test_errors_of_the_run_are_raised_after_the_results_before_them():
    def fail(record):
        if record["id"] == 2:
            raise InputError("in.jsonl:3: no field 'path'")
        return record["id"]

    stream = map_records(fail, records(5), workers=2, on_drop=lambda record, reason: None)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(InputError, match="no field"):
        next(stream)


def test_drops_after_the_last_result_are_kept():
    def stage(items, on_drop):
        for record in items:
            on_drop(record, "low confidence")
        yield from ()

    assert [item.reason for item in keep_drops(stage, records(2))] == ["low confidence"] * 2
