"""The kind of a file is that of its first bytes, wherever it lies."""

import os
import threading

import pytest
from remote_servers import serve

from omnicli.streams.files.media_files import open_regular
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.partition import Part
from omnicli.streams.read import identify as identifying
from omnicli.streams.read.identify import identify
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record

JPEG = b"\xff\xd8\xff\xe0 image" + bytes(5000)


@pytest.mark.parametrize("ranges", [True, False])
def test_local_and_remote_files_are_identified_alike(tmp_path, ranges):
    for name, content in (("a.jpg", JPEG), ("page.jpg", b"<html>"), ("empty.jpg", b""), ("a b é.jpg", JPEG)):
        (tmp_path / name).write_bytes(content)
    with serve(tmp_path, ranges=ranges) as server:
        allow_typed([server.url])
        for path in tmp_path.iterdir():
            assert identify(os.fsencode(f"{server.url}/{path.name}")) == identify(os.fsencode(path))
        assert identify(f"{server.url}/no.jpg".encode()) == (None, "HTTP 404 Not Found", b"")
        allow_typed([])
        assert "is not opened" in identify(f"{server.url}/a.jpg".encode())[1]


def test_a_part_opens_its_own_files_only_and_all_parts_are_the_whole(tmp_path, monkeypatch):
    for number in range(200):
        (tmp_path / f"{number} é.jpg").write_bytes(JPEG if number % 7 else b"<html>")
    (tmp_path / "a.jsonl").write_text("".join(f'{{"id": "{number}", "path": "x.jpg"}}\n' for number in range(50)))
    opened: list[object] = []
    monkeypatch.setattr(identifying, "open_regular", lambda path: opened.append(path) or open_regular(path))

    def read(inputs: list[str], part: Part | None) -> list[tuple[str, str]]:
        rejects: list[tuple[str, str]] = []
        kept = read_records(inputs, part=part, on_drop=lambda record, why: rejects.append((record["id"], why)))
        return sorted([(record["id"], "") for record in kept] + rejects)

    names = sorted(str(path) for path in tmp_path.iterdir())
    for inputs in ([str(tmp_path)], names):
        opened.clear()
        whole = read(inputs, None)
        assert len(opened) == 201
        assert len(whole) == 250
        opened.clear()
        parts = [read(inputs, Part(index, 10)) for index in range(10)]
        assert sorted(item for part in parts for item in part) == whole
        assert len(opened) == 200 + 10  # the file of records is opened by each
    (tmp_path / "files").write_text("\n".join(names))
    assert len(read_all_parts(tmp_path / "files")) == 250


def read_all_parts(files_from):
    return [
        record["id"] if reason is None else reason
        for index in range(3)
        for record, reason in read_with_rejects(files_from, Part(index, 3))
    ]


def read_with_rejects(files_from, part):
    found: list[tuple[Record, str | None]] = []
    for record in read_records(
        [], files_from=str(files_from), part=part, on_drop=lambda record, why: found.append((record, why))
    ):  # fmt: skip
        found.append((record, None))
    return found


@pytest.mark.parametrize("slow_sec", [0.0, 10.0])
def test_files_that_open_slowly_are_opened_in_threads_in_their_order(tmp_path, monkeypatch, slow_sec):
    for number in range(300):
        (tmp_path / f"{number:03}.jpg").write_bytes(JPEG)
    threads = set()
    monkeypatch.setattr(identifying, "SLOW_SEC", slow_sec)
    monkeypatch.setattr(
        identifying, "open_regular", lambda path: threads.add(threading.get_ident()) or open_regular(path)
    )
    records = read_records([str(tmp_path)], on_drop=lambda *drop: None)
    assert [record["id"][-7:] for record in records] == [f"{number:03}.jpg" for number in range(300)]
    assert (len(threads) == 1) == (slow_sec > 1)
    some = read_records([str(tmp_path)], limit=70, on_drop=lambda *drop: None)
    assert len(list(some)) == 70
