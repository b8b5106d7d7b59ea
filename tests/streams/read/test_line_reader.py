"""Lines of plain and compressed files and pipes."""

import gzip
import os
import threading
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.read import line_reader as module
from omnicli.streams.read.line_reader import read_lines


def numbered(path: Path, **options) -> list[tuple[int, bytes]]:
    handle = os.open(path, os.O_RDONLY)
    try:
        return [
            pair
            for batch in read_lines(handle, name=path.name, **options)
            for pair in enumerate(batch.lines, batch.first)
        ]
    finally:
        os.close(handle)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@given(content=st.binary(max_size=200), chunk=st.integers(1, 30))
def test_lines_do_not_depend_on_how_the_file_is_cut_into_reads(tmp_path_factory, content, chunk):
    content = b"x" + content  # not a mark, not compressed
    path = tmp_path_factory.mktemp("lines") / "lines"
    path.write_bytes(content)
    expected = content.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK_BYTES", chunk)
        assert numbered(path) == list(enumerate(expected, 1))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 18])
def test_compressed_files_of_many_members_read_as_one(tmp_path, monkeypatch, pack, chunk):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk)
    path = tmp_path / "any name"
    path.write_bytes(pack(b"a\nb") + pack(b"") + pack(b"c\n\nd"))
    assert numbered(path) == [(1, b"a"), (2, b"bc"), (3, b""), (4, b"d")]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_a_byte_order_mark_is_taken_off_and_nothing_else(tmp_path, pack):
    path = tmp_path / "marked"
    path.write_bytes(pack(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"))
    assert numbered(path) == [(1, b"a"), (2, b"\xef\xbb\xbfb")]


def test_an_empty_file_has_no_lines(tmp_path):
    for content in (b"", b"\xef\xbb\xbf", gzip.compress(b"")):
        (tmp_path / "empty").write_bytes(content)
        assert numbered(tmp_path / "empty") == []


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_cut_compressed_file_is_an_error_at_its_line_after_the_lines_before(tmp_path, pack):
    whole = b"".join(b"%d %d\n" % (i, i * 2654435761 % 2**32) for i in range(20_000))
    packed = pack(whole)
    path = tmp_path / "web.jsonl.gz"
    path.write_bytes(packed[: len(packed) * 2 // 3])
    handle = os.open(path, os.O_RDONLY)
    seen: list[bytes] = []
    with pytest.raises(InputError) as caught:
        for batch in read_lines(handle, name="web.jsonl.gz"):
            seen += batch.lines
    os.close(handle)
    assert seen == whole.split(b"\n")[: len(seen)]
    assert len(seen) > 5000
    assert str(caught.value).startswith(f"web.jsonl.gz:{len(seen) + 1}: truncated or damaged compressed file")


def test_rubbish_after_a_gzip_member_is_an_error_and_zero_padding_is_not(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"a\n") + b"\0" * 600 + gzip.compress(b"b\n") + b"\0" * 9)
    assert numbered(path) == [(1, b"a"), (2, b"b")]
    path.write_bytes(gzip.compress(b"a\n") + b"rubbish")
    with pytest.raises(InputError, match=r"x.gz:2: .*not compressed"):
        numbered(path)


def test_names_separated_by_nul_may_hold_newlines(tmp_path):
    path = tmp_path / "names"
    path.write_bytes(b"a\nb.jpg\0c.jpg\0")
    assert numbered(path, separator=b"\0") == [(1, b"a\nb.jpg"), (2, b"c.jpg")]


def test_a_line_is_given_before_the_pipe_has_more_and_waiting_is_announced():
    reader, writer = os.pipe()
    waits = []
    answered = threading.Event()

    def on_wait() -> None:
        waits.append(len(got))
        if got:
            answered.set()

    def produce() -> None:
        os.write(writer, b"one\ntw")
        assert answered.wait(5), "the reader never said that it waits"
        os.write(writer, b"o\nthree")
        os.close(writer)

    got: list[bytes] = []
    thread = threading.Thread(target=produce)
    thread.start()
    for batch in read_lines(reader, name="stdin", on_wait=on_wait):
        got += batch.lines
    thread.join()
    os.close(reader)
    assert got == [b"one", b"two", b"three"]
    assert 1 in waits, "announced after the first line, before the second"


def test_a_file_never_announces_waiting(tmp_path):
    (tmp_path / "lines").write_bytes(b"a\nb\n")
    waits = []
    numbered(tmp_path / "lines", on_wait=lambda: waits.append(1))
    assert waits == []


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_memory_is_flat_over_a_hundred_thousand_lines(tmp_path, pack):
    path = tmp_path / "lines"
    path.write_bytes(pack(b"".join(b"line %d %s\n" % (i, b"x" * 100) for i in range(100_000))))
    handle = os.open(path, os.O_RDONLY)
    tracemalloc.start()
    count = sum(len(batch.lines) for batch in read_lines(handle, name="lines"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    os.close(handle)
    assert count == 100_000
    assert peak < 5_000_000


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bytes])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, pack):
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1 << 20)
    path = tmp_path / "bomb.jsonl"
    path.write_bytes(pack(b"{}\n" + b" " * (3 << 20)))
    with pytest.raises(InputError, match=r"^bomb\.jsonl:2: line is longer than 1 MiB"):
        numbered(path)
    path.write_bytes(pack(b"{}\n" + b" " * (1 << 19) + b"\n"))
    assert [number for number, _ in numbered(path)] == [1, 2]


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
@pytest.mark.parametrize("unit", [b" ", b"\n"])
def test_a_bomb_takes_little_memory(tmp_path, pack, unit):
    path = tmp_path / "bomb.jsonl"
    path.write_bytes(pack(unit * (100 << 20)))
    handle = os.open(path, os.O_RDONLY)
    tracemalloc.start()
    try:
        for _ in read_lines(handle, name="bomb"):
            pass
    except InputError as error:
        assert "longer than 64 MiB" in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        os.close(handle)
    assert peak < 180 << 20
