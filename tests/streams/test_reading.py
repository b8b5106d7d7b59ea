"""One record at a time: exceptions become rejects, and what kills the process is found by the next run."""

import faulthandler
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from omnicli import process
from omnicli.errors import InputError, MediaError, RecordError
from omnicli.streams.reading import DEATHS_TO_REJECT, KILLS_TO_REJECT, NUM_SLOTS, InFlight, reading, stop_if_strict
from omnicli.streams.record import Record


@pytest.fixture(autouse=True)
def own_log(tmp_path, monkeypatch):
    log = process.CrashLog()
    monkeypatch.setattr("omnicli.streams.reading.crash_log", log)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return log


def test_an_unexpected_exception_is_an_error_of_its_record(own_log):
    record = Record({"id": "a", "path": "a.jpg"})
    with pytest.raises(RecordError, match=r"^internal error: IndexError: x$") as caught, reading(record):
        raise IndexError("x")
    assert isinstance(caught.value, MediaError), "every stage turns a MediaError into a reject"
    text = own_log.path.read_text()
    assert "a.jpg" in text and "IndexError" in text


@pytest.mark.parametrize("error", [InputError("x"), MediaError("x"), MemoryError(), KeyboardInterrupt(), SystemExit()])
def test_errors_of_the_run_pass(error):
    with pytest.raises(type(error)) as caught, reading(Record({"id": "a"})):
        raise error
    assert caught.value is error


def test_a_reason_is_one_line_of_bounded_length():
    with pytest.raises(RecordError) as caught, reading(Record({"id": "a"})):
        raise ValueError("a\n\tb " + 1000 * "c")
    assert "ValueError: a b ccc" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_strict_refuses_what_is_no_single_bad_medium():
    """One damaged tar header is a counted reject of that tar's rest, unless --strict."""
    record = Record({"id": "a", "path": "a.tar"})
    for reason in ("internal error: IndexError", "unreadable: damaged tar: no member header at byte 512"):
        stop_if_strict(record, reason, strict=False)
        with pytest.raises(InputError, match=r"^a"):
            stop_if_strict(record, reason, strict=True)
    for reason in ("unreadable: truncated JPEG", "low confidence"):
        stop_if_strict(record, reason, strict=True)


CHILD = """
import os, sys
from pathlib import Path
from omnicli.streams.reading import InFlight, reading
from omnicli.streams.record import Record
InFlight(Path(sys.argv[1]), consumed=0, resume=True)
with reading(Record({"id": "a"}, position=2)):
    pass
with reading(Record({"id": "b"}, position=3)):
    os.kill(os.getpid(), int(sys.argv[2]))
"""


def die(path, number):
    ended = subprocess.run([sys.executable, "-c", CHILD, str(path), str(int(number))], capture_output=True, check=False)
    assert ended.returncode == -number


def open_next(path, **options):
    in_flight = InFlight(path, **({"consumed": 0, "resume": True} | options))
    in_flight.close()
    return in_flight


@pytest.mark.parametrize(
    ("number", "deaths"),
    [(signal.SIGSEGV, DEATHS_TO_REJECT), (signal.SIGABRT, DEATHS_TO_REJECT), (signal.SIGKILL, KILLS_TO_REJECT)],
)
def test_a_record_in_flight_at_repeated_deaths_is_fatal(tmp_path, number, deaths):
    path = tmp_path / ".out.reading"
    for count in range(deaths):
        assert not (path.exists() and open_next(path).is_fatal(3)), count
        die(path, number)
    in_flight = open_next(path)
    assert in_flight.is_fatal(3)
    assert not in_flight.is_fatal(2), "its reading had ended"


def test_suspicions_end_with_the_record_the_output_or_no_resume(tmp_path):
    path = tmp_path / ".out.reading"
    die(path, signal.SIGSEGV)
    assert open_next(path).suspicions[3]
    assert not open_next(path, consumed=4).suspicions
    die(path, signal.SIGSEGV)
    assert not open_next(path, resume=False).suspicions
    die(path, signal.SIGSEGV)
    InFlight(path, consumed=0, resume=True).close(finished=True)
    assert not list(tmp_path.iterdir())


def test_an_orderly_end_leaves_nothing_in_flight(tmp_path):
    was_enabled = faulthandler.is_enabled()
    in_flight = InFlight(tmp_path / ".out.reading", consumed=0, resume=True)
    with reading(Record({"id": "a"}, position=5)):
        assert np.frombuffer((tmp_path / ".out.reading").read_bytes(), "<i8")[:NUM_SLOTS].tolist().count(6) == 1
        in_flight.close()
    assert not list(tmp_path.iterdir())
    assert faulthandler.is_enabled() is was_enabled


PACK = """
import os, signal
import omnicli.media.source as source
from omnicli.app import main
opened = source._open_whole
def open_or_die(record, path):
    if path.endswith("4.png"):
        signal.raise_signal(int(os.environ["NUMBER"]))  # in this thread, as a crash is
    return opened(record, path)
source._open_whole = open_or_die
main()
"""


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_file_that_kills_the_process_is_a_reject_of_a_later_run(tmp_path, number):
    """Each record ends as without the crashes, and the fatal one as a counted reject."""
    (tmp_path / "in").mkdir()
    for index in range(9):
        Image.new("RGB", (32, 32), (index, 0, 0)).save(tmp_path / "in" / f"{index}.png")
    command = [sys.executable, "-c", PACK, "pack", "--workers", "2", "in", "--shards", "out"]
    command += ["-o", "out.jsonl", "--rejects", "bad.jsonl"]
    environment = os.environ | {"NUMBER": str(int(number))}
    codes = []
    while not codes or codes[-1] < 0:
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        codes.append(ended.returncode)
        assert len(codes) < 8, ended.stderr
    deaths = DEATHS_TO_REJECT if number == signal.SIGSEGV else KILLS_TO_REJECT
    assert codes == [-number] * deaths + [0], ended.stderr
    assert "9 in = 8 kept + 0 rejected + 1 unreadable" in ended.stderr
    (bad,) = (tmp_path / "bad.jsonl").read_text().splitlines()
    assert "4.png" in bad and "the process died each time that it was read" in bad
    assert not list(tmp_path.glob(".*"))
