"""What people read adds up, and is quiet when asked."""

import subprocess
import sys

import pytest
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


def test_a_quiet_console_says_nothing_of_its_own_nor_of_c_libraries():
    """libpng and FFmpeg write to file descriptor 2 behind Python's back."""
    script = (
        "import os, sys; from omnicli.console import Console; console = Console('filter', quiet={quiet});"
        "console.say('hello'); os.write(2, b'libpng error\\n'); print('omni filter: an error', file=sys.stderr)"
    )
    outputs = {
        quiet: subprocess.run(
            [sys.executable, "-c", script.format(quiet=quiet)], capture_output=True, text=True, check=True
        ).stderr
        for quiet in (True, False)
    }
    assert outputs[True] == "omni filter: an error\n"
    assert outputs[False] == "filter: hello\nlibpng error\nomni filter: an error\n"


def test_progress_off_a_terminal_is_a_log_line_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr("omnicli.console.LOG_TICK_SEC", 0.01)
    import time

    with Console("filter").progress(lambda: "12 in, 3 kept"):
        time.sleep(0.1)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.startswith("filter: ") and line.endswith(" 12 in, 3 kept") for line in lines)


@pytest.mark.parametrize("quiet", [True, False])
def test_details_are_for_verbose(capsys, quiet):
    Console("filter", verbose=not quiet, quiet=False).detail("loaded tsn.pth")
    assert capsys.readouterr().err == ("" if quiet else "filter: loaded tsn.pth\n")
