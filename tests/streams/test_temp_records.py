"""Temporary data is read back as it was written, and a full TMPDIR is named."""

import errno
import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import OutputError
from omnicli.streams.record import Record
from omnicli.streams.temp_records import NumberedRecords, RecordSpool, TempFile

reasons = st.sampled_from(["", "low confidence", "unreadable: truncated JPEG"])


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 1), reasons)))
def test_records_come_back_in_order_with_position_and_reason(rows):
    spool = RecordSpool()
    for position, (name, confidence, reason) in enumerate(rows):
        spool.add(Record({"id": name, "confidence": confidence}, position=3 * position), reason)
    back = [(record["id"], record["confidence"], reason, record.position) for record, reason in spool]
    assert back == [(*row, 3 * position) for position, row in enumerate(rows)]


def test_what_was_counted_of_a_record_comes_back():
    spool = RecordSpool()
    counts = [(0, 0), (4, 0), (0, 1), (2, 3)]
    for missing_frames, rescored in counts:
        record = Record({"id": "a"})
        record.missing_frames, record.rescored = missing_frames, rescored
        spool.add(record)
    assert [(record.missing_frames, record.rescored) for record, _ in spool] == counts


def test_a_spool_holds_few_bytes_of_each_record_in_memory():
    record = Record({"id": "x" * 500})
    spool = RecordSpool()
    spool.add(record)
    tracemalloc.start()
    for _ in range(20_000):
        spool.add(record)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(spool) == 20_001
    assert grown < 20_000 * 40


@given(st.lists(st.dictionaries(st.sampled_from(["id", "é", "note"]), st.text(), max_size=3), max_size=20), st.data())
def test_a_number_gives_its_record(rows, data):
    records = NumberedRecords()
    for number, row in enumerate(rows):
        assert records.add(row) == number
        asked = data.draw(st.integers(0, number))
        assert records[asked] == rows[asked]
        assert records[asked].position == asked
    assert len(records) == len(rows)


@given(st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 60), st.integers(0, 60)), max_size=20))
def test_bytes_are_appended_and_read_anywhere(steps):
    file, content = TempFile(), b""
    for data, start, num_bytes in steps:
        file.write(data)
        content += data
        assert file.read(start, num_bytes) == content[start : start + num_bytes]
    assert b"".join(line for lines in file.lines() for line in lines) == content


@pytest.mark.parametrize("buffering", [0, 1 << 16])
@pytest.mark.parametrize("use", [lambda file: file.read(0, 1), lambda file: list(file.lines())])
def test_a_full_folder_is_named(monkeypatch, buffering, use):
    """The operating system reports the error at once, or when the buffer is written."""
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("w+b", buffering=buffering))
    with pytest.raises(OutputError) as caught:
        file = TempFile()
        file.write(b"x")
        use(file)
    assert str(caught.value) == (
        f"{tempfile.gettempdir()}: cannot write temporary data: No space left on device; "
        "set TMPDIR to a folder with more room"
    )


def test_a_machine_without_a_temporary_folder_is_an_output_error(monkeypatch):
    def refuse(**_):
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OutputError, match=r"^TMPDIR: cannot write temporary data: No usable temporary directory"):
        TempFile()


def test_the_file_has_no_name_and_is_closed_with_the_object(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = TempFile()
    file.write(b"x")
    assert list(tmp_path.iterdir()) == []
    opened = file._file
    del file
    assert opened.closed
