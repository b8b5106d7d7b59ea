"""Readers of one remote file fetch each byte once, within a limit of disk space."""

import random

import pytest
from remote_servers import serve_file

from omnicli.streams.files import remote, spool
from omnicli.streams.files.spool import open_spooled, spool_of

CONTENT = random.Random(0).randbytes(1_000_123)


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def server(tmp_path, request, monkeypatch):
    monkeypatch.setattr(spool, "_spools", type(spool._spools)())
    with serve_file(tmp_path, CONTENT, ranges=request.param) as server:
        yield server


def test_any_ranges_give_the_bytes_of_the_file_and_each_is_fetched_once(server):
    rng, here = random.Random(1), bytearray(len(CONTENT))
    found = spool_of(f"{server.url}/a")
    for _ in range(300):
        start = rng.randrange(len(CONTENT) + 9)
        end = start + rng.choice([0, 1, 100, 5_000, 60_000])
        missing = [at for at in range(start, min(end, len(CONTENT))) if not here[at]]
        assert found.read(start, end) == CONTENT[start:end]
        here[slice(missing[0], missing[-1] + 1) if missing else slice(0)] = b"\1" * (
            missing[-1] + 1 - missing[0] if missing else 0
        )
        assert not server.ranges or found.num_bytes == sum(here)
    assert found.read(0, len(CONTENT) + 7) == CONTENT
    fetched = remote.traffic.take()[0]
    assert found.num_bytes == len(CONTENT)
    assert fetched <= (1.5 if server.ranges else 1) * len(CONTENT)  # a gap between two ranges is fetched with them


def test_two_readers_share_what_they_fetch(server):
    for _ in range(2):
        with open_spooled(f"{server.url}/a") as file:
            assert file.read() == CONTENT
    assert remote.traffic.take()[0] == len(CONTENT)


def test_beyond_the_limit_older_files_make_room_and_nothing_breaks(server, tmp_path, monkeypatch):
    if not server.ranges:
        pytest.skip("a server without ranges sends whole files")
    monkeypatch.setattr(spool, "SPOOL_BYTES", 1_500_000)
    (tmp_path / "b").write_bytes(CONTENT[::-1])
    first, second = spool_of(f"{server.url}/a"), spool_of(f"{server.url}/b")
    assert first.read(0, 1_000_000) == CONTENT[:1_000_000]
    assert second.read(0, 1_000_000) == CONTENT[::-1][:1_000_000]
    assert (first.num_bytes, second.num_bytes) == (0, 1_000_000)
    assert first.read(5, 999_000) == CONTENT[5:999_000]
    monkeypatch.setattr(spool, "SPOOL_BYTES", 1000)
    assert first.read(0, 2000) == CONTENT[:2000]
    assert second.read(0, 2000) == CONTENT[::-1][:2000]


def test_a_file_that_is_replaced_has_a_new_spool(server, tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "TRUSTED_SEC", 0.0)
    assert spool_of(f"{server.url}/a") is spool_of(f"{server.url}/a")
    assert spool_of(f"{server.url}/a").read(0, 9) == CONTENT[:9]
    (tmp_path / "a").write_bytes(b"shorter")
    assert spool_of(f"{server.url}/a").read(0, 9) == b"shorter"


def test_few_spools_are_kept(server, tmp_path):
    for number in range(spool.SPOOLS_KEPT + 3):
        (tmp_path / str(number)).write_bytes(b"x")
        spool_of(f"{server.url}/{number}").read(0, 1)
    assert len(spool._spools) == spool.SPOOLS_KEPT
