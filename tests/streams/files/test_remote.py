"""Requests: repeated after passing errors, named after lasting ones, kept to the host that was typed."""

import errno
import io

import pytest
from remote_servers import serve

from omnicli.streams.files import remote
from omnicli.streams.files.urls import RemoteError, allow_typed


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "PAUSES_SEC", (0.01, 0.01, 0.01))
    with serve(tmp_path) as server:
        allow_typed([server.url])
        remote.traffic.take()
        yield server
    allow_typed([])


def test_ranges_and_whole_files_are_counted(server, tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    assert remote.fetch(f"{server.url}/a", 10, 20) == bytes(range(10, 20))
    assert remote.fetch(f"{server.url}/a") == bytes(range(100))
    assert remote.traffic.take() == (110, 2)
    assert remote.status(f"{server.url}/a").size == 100


def test_passing_errors_are_repeated_and_lasting_ones_are_not(server, tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    server.failures["/a"] = [503, 429, 500]
    assert remote.fetch(f"{server.url}/a") == b"content"
    server.failures["/a"] = [503] * 4
    with pytest.raises(RemoteError) as stopped:
        remote.fetch(f"{server.url}/a")
    assert stopped.value.strerror == "HTTP 503 Service Unavailable"
    for code, reason in ((403, "HTTP 403 Forbidden"), (404, "HTTP 404 Not Found"), (451, "HTTP 451")):
        server.requests.clear()
        server.failures["/a"] = [code]
        with pytest.raises(RemoteError, match=reason):
            remote.fetch(f"{server.url}/a")
        assert len(server.requests) == 1


def test_an_empty_file_is_empty_in_ranges_too(server, tmp_path):
    (tmp_path / "empty").touch()
    assert remote.fetch(f"{server.url}/empty", 0, 100) == b""


def test_a_redirect_to_another_host_is_not_followed(server, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "inner").mkdir()
    with serve(tmp_path) as other:
        server.redirects = {"/away": f"{other.url}/secret", "/here": "/secret", "/file": "file:///etc/passwd"}
        for read in (remote.fetch, remote.status, lambda url: remote.download(url, io.BytesIO())):
            with pytest.raises(RemoteError, match=f"http://127.0.0.1:{other.port} is not opened"):
                read(f"{server.url}/away")
            with pytest.raises(RemoteError):
                read(f"{server.url}/file")
        assert remote.fetch(f"{server.url}/here") == b"secret"
        assert other.requests == []
        allow_typed([server.url, other.url])
        assert remote.fetch(f"{server.url}/away") == b"secret"


def test_a_server_that_is_gone_is_named(server):
    url = server.url
    server.close()
    with pytest.raises(RemoteError, match="ClientConnectorError"):
        remote.fetch(f"{url}/a")


def test_memory_lists_uploads_and_removes(tmp_path):
    allow_typed(["memory://"])
    (tmp_path / "a").write_bytes(b"a")
    for name in ("b/2", "b-/1", "b/c/1", "a"):
        remote.upload(str(tmp_path / "a"), f"memory://lists/{name}")
    assert remote.list_files("memory://lists/") == ["a", "b/2", "b/c/1", "b-/1"]
    assert remote.list_files("memory://nothing") == []
    assert remote.is_folder("memory://lists/b")
    assert not remote.is_folder("memory://lists/a")
    with pytest.raises(RemoteError) as stopped:
        remote.status("memory://lists/b")
    assert stopped.value.errno == errno.EISDIR
    remote.remove("memory://lists/a")
    remote.remove("memory://lists/a")
    assert not remote.exists("memory://lists/a")
    remote.remove("memory://lists/b/2")
    allow_typed([])


def test_http_takes_no_uploads(server, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(RemoteError, match="takes no files"):
        remote.upload(str(tmp_path / "a"), f"{server.url}/a")
