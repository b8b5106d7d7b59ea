"""What people read adds up, and is quiet when asked."""

import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
from engine_runs import wait_until
from hypothesis import given
from hypothesis import strategies as st

from omnicli.console import Console, closing_line, rejected_by_reason


def test_the_closing_line_reads_as_designed():
    counters = {"in": 1000, "kept": 231, "out": 231, "rejected: low confidence": 760, "rejected: no class": 2}
    line = closing_line(counters | {"unreadable": 7}, seconds=12.3, num_now=1000)
    assert line == "1,000 in = 231 kept + 762 rejected (low confidence 760, no class 2) + 7 unreadable, 81/s"


@given(st.integers(0, 10**7), st.dictionaries(st.sampled_from("abc"), st.integers(1, 10**6)), st.integers(0, 99))
def test_the_numbers_of_the_closing_line_add_up(kept, reasons, bad):
    total = kept + sum(reasons.values()) + bad
    counters = {"in": total, "kept": kept, "out": kept, "unreadable": bad}
    counters |= {f"rejected: {reason}": count for reason, count in reasons.items()}
    line = closing_line(counters, seconds=1, num_now=total).replace(",", "")
    before, _, after = line.partition(" in = ")
    kept_part, rejected_part, bad_part = after.split(" + ")
    assert int(before) == sum(int(part.split()[0]) for part in (kept_part, rejected_part, bad_part))
    assert sum(rejected_by_reason(counters).values()) == sum(reasons.values())


def test_pieces_are_told_apart_from_inputs():
    assert closing_line({"in": 2, "kept": 2, "out": 7}, seconds=1, num_now=2).startswith(
        "2 in = 2 kept (7 records) + 0"
    )


def stderr_of(script, *arguments):
    command = [sys.executable, "-X", "faulthandler", "-c", "import os, sys\n" + script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300).stderr


def test_a_quiet_console_says_nothing_of_its_own_nor_of_c_libraries(tmp_path):
    """libpng and FFmpeg write to file descriptor 2 behind Python's back, unless each is told not to."""
    png = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    bad_profile = struct.pack(">I4s4sI", 4, b"iCCP", b"abcd", 0)
    (tmp_path / "a.png").write_bytes(png[:33] + bad_profile + png[33:])
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    script = """
import pathlib
from omnicli.console import Console
from omnicli.errors import MediaError
from omnicli.media.image import read_image
from omnicli.media.video import VideoSource
Console("filter", quiet=sys.argv[2] == "quiet").say("hello")
folder = pathlib.Path(sys.argv[1])
read_image((folder / "a.png").read_bytes())
try:
    VideoSource(str(folder / "a.mp4"))
except MediaError as error:
    print("omni filter:", error, file=sys.stderr)
"""
    assert stderr_of(script, str(tmp_path), "quiet") == "omni filter: MP4 does not open\n"
    assert stderr_of(script, str(tmp_path), "loud") == "filter: hello\nomni filter: MP4 does not open\n"


def test_a_quiet_console_does_not_hide_why_a_process_died():
    assert "Fatal Python error: Aborted" in stderr_of(
        "from omnicli.console import Console; Console('filter', quiet=True); os.abort()"
    )


def test_progress_off_a_terminal_is_a_log_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr("omnicli.console.LOG_TICK_SEC", 0.01)
    said = []
    with Console("filter").progress(lambda: "12 in, 3 kept"):
        wait_until(lambda: said.append(capsys.readouterr().err) or any(said))
    lines = ("".join(said) + capsys.readouterr().err).splitlines()
    assert all(line.startswith("filter: ") and line.endswith(" 12 in, 3 kept") for line in lines)


@pytest.mark.parametrize("quiet", [True, False])
def test_details_are_for_verbose(capsys, quiet):
    Console("filter", verbose=not quiet, quiet=False).detail("loaded tsn.pth")
    assert capsys.readouterr().err == ("" if quiet else "filter: loaded tsn.pth\n")


def test_names_cannot_command_the_terminal(tmp_path, sh, capsys):
    Console("index").say("a\x1b]0;owned\x07\x9b31m\u202egpj.jpg [bold]\nforged: line")
    assert capsys.readouterr().err == r"index: a\x1b]0;owned\x07\x9b31m\u202egpj.jpg [bold]\nforged: line" + "\n"
    (tmp_path / "bad.jsonl").write_text("\x1b[2J rubbish \u202e")
    script = "(omni index $'no\\x1b[31m[bold]file' || OMNI_DEBUG=1 omni index bad.jsonl || true) 2>&1"
    said = sh(script, cwd=tmp_path).stdout
    assert r"omni index: no\x1b[31m[bold]file: no such file" in said
    assert r"rubbish \u202e" in said
    assert "Traceback" in said
    assert "\x1b" not in said
    assert "\u202e" not in said
