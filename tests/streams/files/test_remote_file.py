"""A remote file reads as a local one, in few requests, and fetches little where little is read."""

import io
import random

import pytest
from remote_servers import serve, serve_file

from omnicli.streams.files.remote_file import BLOCK_BYTES, MAX_BLOCKS, RemoteFile, read_remote, remote_identity
from omnicli.streams.files.urls import RemoteError, allow_typed

CONTENT = random.Random(0).randbytes(40 * BLOCK_BYTES + 123)


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def server(tmp_path, request):
    with serve_file(tmp_path, CONTENT, ranges=request.param) as server:
        yield server


def test_any_reading_gives_the_bytes_of_a_local_file(server):
    local, rng = io.BytesIO(CONTENT), random.Random(1)
    with RemoteFile(f"{server.url}/a") as file:
        for _ in range(200):
            at, size = rng.randrange(len(CONTENT) + 10), rng.choice([0, 1, 1000, BLOCK_BYTES, 5 * BLOCK_BYTES])
            whence = rng.choice([io.SEEK_SET, io.SEEK_END])
            where = at - len(CONTENT) if whence == io.SEEK_END else at
            if where + (len(CONTENT) if whence == io.SEEK_END else 0) < 0:
                continue
            assert file.seek(where, whence) == local.seek(where, whence)
            assert file.read(size) == local.read(size)
            assert file.tell() == local.tell()
            assert file.pread(size, at) == CONTENT[at : at + size]
        file.seek(77)
        assert file.read() == CONTENT[77:]
        assert file.size == len(CONTENT)


def test_a_range_of_a_file_is_a_file(server):
    with RemoteFile(f"{server.url}/a", offset=1000, size=3 * BLOCK_BYTES) as file:
        assert file.read() == CONTENT[1000 : 1000 + 3 * BLOCK_BYTES]
        assert file.pread(10, 3 * BLOCK_BYTES - 3) == CONTENT[997 + 3 * BLOCK_BYTES :][:3]
    assert read_remote(f"{server.url}/a", 5, 9) == CONTENT[5:9]
    assert read_remote(f"{server.url}/a") == CONTENT


def test_jumps_fetch_little_and_reading_on_takes_few_requests(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    with serve(tmp_path) as server:
        allow_typed([server.url])
        with RemoteFile(f"{server.url}/a") as file:
            for block in (30, 10, 20):
                assert file.pread(100, block * BLOCK_BYTES) == CONTENT[block * BLOCK_BYTES :][:100]
        assert server.num_bytes == 4 * BLOCK_BYTES
        server.requests.clear()
        with RemoteFile(f"{server.url}/a") as file:
            while file.read(1 << 15):
                pass
            assert file.tell() == len(CONTENT)
        assert len(server.requests) <= 8
    allow_typed([])


def test_memory_is_bounded_and_what_was_forgotten_is_fetched_again(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(CONTENT)
    monkeypatch.setattr("omnicli.streams.files.remote_file.MAX_BLOCKS", 4)
    assert MAX_BLOCKS == 256
    with serve(tmp_path) as server:
        allow_typed([server.url])
        with RemoteFile(f"{server.url}/a") as file:
            assert file.read() == CONTENT
            assert len(file._blocks) == 4
            assert file.pread(9, 5) == CONTENT[5:14]
            assert (
                file.pread(2 * BLOCK_BYTES, len(CONTENT) - 5 * BLOCK_BYTES)
                == CONTENT[-5 * BLOCK_BYTES :][: 2 * BLOCK_BYTES]
            )
    allow_typed([])


def test_a_file_that_is_replaced_has_another_identity_and_one_that_shrinks_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    with serve(tmp_path) as server:
        allow_typed([server.url])
        before = remote_identity(f"{server.url}/a")
        with RemoteFile(f"{server.url}/a") as file:
            assert file.size == len(CONTENT)
            (tmp_path / "a").write_bytes(CONTENT[: 8 * BLOCK_BYTES])
            with pytest.raises(RemoteError, match="became shorter"):
                file.pread(10 * BLOCK_BYTES, 4 * BLOCK_BYTES)
        assert remote_identity(f"{server.url}/a") != before
    allow_typed([])
