"""The kind of a file is that of its first bytes, wherever it lies."""

import os

import pytest
from remote_servers import serve

from omnicli.streams.files.urls import allow_typed
from omnicli.streams.read.identify import identify

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
