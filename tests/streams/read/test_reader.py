"""The stream of records: positions, shards, limits, rejects, stdin."""

import json
import os
import pty
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError, UsageError
from omnicli.streams.partition import Part
from omnicli.streams.read.list_options import ListOptions
from omnicli.streams.read.reader import read_file_list, read_records

JPEG = b"\xff\xd8\xff\xe0 image"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def crawl(root: Path, good: int = 6) -> None:
    for i in range(good):
        folder = root / f"class {i % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(JPEG)
        (folder / f"{i}.page.jpg").write_text("<html>gone</html>")


def collect(*inputs: str, **options):
    """All there is, rejects included, as (position, id, reason or "")."""
    seen = []
    stream = read_records(
        inputs, on_drop=lambda record, reason: seen.append((record.position, record["id"], reason)), **options
    )
    for record in stream:
        seen.append((record.position, record.get("id"), ""))
    return seen


def test_positions_count_everything_once_in_order(tmp_path):
    crawl(tmp_path / "web")
    Path("more.jsonl").write_text('{"id": "x"}\n\n{"path": "./y.jpg"}\n')
    seen = collect("web", "more.jsonl", "web/class 0/0.jpg")
    assert [position for position, _, _ in seen] == list(range(12 + 2 + 1))
    assert sum(reason == "unreadable: not media (HTML page)" for _, _, reason in seen) == 6
    assert [identity for _, identity, _ in seen[-3:]] == ["x", "y.jpg", "web/class 0/0.jpg"]


@given(total=st.integers(1, 5), limit=st.none() | st.integers(0, 15))
def test_shards_together_are_the_whole_and_the_limit_counts_rejects(tmp_path_factory, total, limit):
    web = tmp_path_factory.mktemp("crawl") / "web"
    crawl(web)
    whole = collect(str(web), limit=limit)
    assert len(whole) == (12 if limit is None else min(limit, 12))
    assert whole == collect(str(web))[: len(whole)]
    parts = [collect(str(web), part=Part(index, total)) for index in range(total)]
    assert sorted(line[1:] for part in parts for line in part) == sorted(line[1:] for line in collect(str(web)))
    for part in parts:
        assert [position for position, _, _ in part] == list(range(len(part)))


def test_a_reject_is_a_plain_record_without_a_reason_in_it(tmp_path):
    Path("a.jpg").write_bytes(b"")
    dropped = []
    assert list(read_records(["a.jpg"], on_drop=lambda record, reason: dropped.append((record, reason)))) == []
    assert dropped == [({"id": "a.jpg", "path": "a.jpg"}, "unreadable: empty file")]
    assert type(dropped[0][0]).__name__ == "Record"


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    Path("a.jsonl").write_text('{"id": "a"}\n')
    stream = read_records(["a.jsonl", "missing.jsonl"], on_drop=pytest.fail)
    assert next(stream)["id"] == "a"
    with pytest.raises(InputError, match=r"^missing\.jsonl: no such file or directory$"):
        next(stream)


def test_the_limit_does_not_touch_what_comes_after(tmp_path):
    Path("a.jsonl").write_text('{"id": "a"}\nnot json\n')
    assert collect("a.jsonl", limit=1) == [(0, "a", "")]
    assert collect("missing.jsonl", limit=0) == []


def test_files_named_in_a_list_may_have_any_name(tmp_path):
    names = ["sp ace.jpg", "new\nline.jpg", "ünï.jpg", "a#b.jpg", "-dash.jpg"]
    for name in names:
        Path(name).write_bytes(JPEG)
    Path("names").write_bytes(b"".join(name.encode() + b"\0" for name in names))
    assert [identity for _, identity, _ in collect(files_from="names", null_separated=True)] == names
    assert read_file_list("names", null_separated=True) == names


def test_a_list_may_have_the_line_ends_of_windows_unless_nul_separates_its_names(tmp_path):
    Path("b c.jpg").write_bytes(JPEG)
    Path("cr\r").write_bytes(JPEG)
    Path("names").write_bytes(b"\xef\xbb\xbfb c.jpg\r\n\r\nb c.jpg\r\n")
    assert collect(files_from="names") == [(0, "b c.jpg", ""), (1, "b c.jpg", "")]
    Path("names").write_bytes(b"cr\r\0")
    assert collect(files_from="names", null_separated=True) == [(0, "cr\r", "")]


def test_a_list_streams_and_a_missing_image_in_it_is_a_reject_but_a_missing_stream_is_an_error(tmp_path):
    Path("a.jpg").write_bytes(JPEG)
    Path("r.jsonl").write_text('{"id": "r"}\n')
    Path("names").write_text("a.jpg\ngone.jpg\n\nr.jsonl\n")
    assert collect(files_from="names") == [(0, "a.jpg", ""), (1, "gone.jpg", "unreadable: no such file"), (2, "r", "")]
    Path("names").write_text("gone.jsonl\n")
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file or directory"):
        collect(files_from="names")
    with pytest.raises(InputError, match=r"^none: no such file or directory$"):
        collect(files_from="none")


def test_names_that_are_not_utf8_are_counted_rejects(tmp_path):
    odd = Path(os.fsdecode(b"caf\xe9"))
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for name in (odd / "a.jpg", Path(os.fsdecode(b"\xff.jpg"))):
        name.write_bytes(JPEG)
    why = "unreadable: name is not UTF-8"
    assert collect(".") == [(0, r"caf\xe9/a.jpg", why), (1, r"\xff.jpg", why)]
    assert collect(os.fsdecode(b"\xff.jpg")) == [(0, r"\xff.jpg", why)]
    with pytest.raises(InputError, match=r"^\\xfe: no such file"):
        collect(os.fsdecode(b"\xfe"))


def test_asking_for_stdin_twice_or_for_an_unknown_list_is_a_usage_error_at_once():
    with pytest.raises(UsageError, match="only once"):
        read_records(["-", "-"], on_drop=pytest.fail)
    with pytest.raises(UsageError, match="only once"):
        read_records(["-"], files_from="-", on_drop=pytest.fail)
    with pytest.raises(UsageError, match=r"--list-format: expected one of mmaction, .*, got 'csv'"):
        read_records(["x"], lists=ListOptions(list_format="csv"), on_drop=pytest.fail)


SCRIPT = (
    "import sys\n"
    "from omnicli.errors import OmniError\n"
    "from omnicli.streams.read.reader import read_records\n"
    "try:\n"
    "    for record in read_records(sys.argv[1:], on_drop=lambda record, why: print('dropped', why)):\n"
    "        print(record['id'], flush=True)\n"
    "except OmniError as error:\n"
    "    print(type(error).__name__, error)\n"
)


def run(*inputs: str, **options) -> str:
    command = [sys.executable, "-c", SCRIPT, *inputs]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, **options).stdout


def test_no_input_reads_a_pipe_or_file_and_refuses_a_terminal():
    assert run(input='{"id": "a"}\n') == "a\n"
    assert run("-", input='{"id": "a"}') == "a\n"
    Path("in.jsonl").write_text('{"id": "b"}\n')
    with Path("in.jsonl").open() as file:
        assert run(stdin=file) == "b\n"
    assert run(stdin=subprocess.DEVNULL) == ""
    ours, theirs = pty.openpty()
    try:
        assert run(stdin=theirs).startswith("UsageError no INPUT")
    finally:
        os.close(ours)
        os.close(theirs)


def test_process_substitution_and_fifos_are_streams_of_lines():
    Path("in.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n')
    quoted = SCRIPT.replace("'", "'\\''")
    script = f"{sys.executable} -c '{quoted}' <(cat in.jsonl) <(gzip -c in.jsonl)"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout == "a\nb\na\nb\n"


def test_a_pipe_is_answered_while_it_is_open():
    command = [sys.executable, "-c", SCRIPT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for name in (b"a", b"b"):
            process.stdin.write(b'{"id": "%s"}\n' % name)
            process.stdin.flush()
            assert process.stdout.readline() == name + b"\n"
        process.stdin.close()


def test_memory_is_flat_over_a_hundred_thousand_records(tmp_path):
    with Path("web.jsonl").open("w") as file:
        for i in range(100_000):
            file.write(json.dumps({"id": f"web/{i}.jpg", "query": "archery", "confidence": i / 7}) + "\n")
    tracemalloc.start()
    count = 0
    for _ in read_records(["web.jsonl"], on_drop=pytest.fail):
        count += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 100_000
    assert peak < 5_000_000
