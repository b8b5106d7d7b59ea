"""The digest of an input: of the whole content if it is small, of spread blocks if not, of the store's stamp."""

import hashlib
from pathlib import Path

import pytest

from omnicli.streams.files import input_digest as digests
from omnicli.streams.files import remote
from omnicli.streams.files.input_digest import input_digest, is_same_input
from omnicli.streams.files.urls import allow_typed


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file of 4 MB, which counts as large."""
    monkeypatch.setattr(digests, "WHOLE_BYTES", 1 << 20)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(250)) * 16_000)
    return path


def test_a_small_file_has_the_digest_of_earlier_markers(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    whole = hashlib.blake2b(b"content", digest_size=16).hexdigest()
    assert input_digest(tmp_path / "a") == whole
    assert is_same_input(tmp_path / "a", whole)
    (tmp_path / "a").write_bytes(b"Content")
    assert not is_same_input(tmp_path / "a", whole)


def test_of_a_large_file_a_quarter_at_most_is_read(large, monkeypatch):
    digest = input_digest(large)
    assert digest.startswith("blocks-")
    assert large.stat().st_size / 3.5 >= digests.NUM_BLOCKS * digests.BLOCK_BYTES
    content = bytearray(large.read_bytes())
    for at in (0, len(content) - 1):
        changed = content.copy()
        changed[at] ^= 1
        large.write_bytes(changed)
        assert not is_same_input(large, digest)
    large.write_bytes(content[:-1])
    assert not is_same_input(large, digest)
    large.write_bytes(content)
    assert is_same_input(large, digest)


def test_a_marker_of_an_earlier_version_holds_for_a_large_file(large):
    assert is_same_input(large, hashlib.blake2b(large.read_bytes(), digest_size=16).hexdigest())
    assert not is_same_input(large, hashlib.blake2b(b"", digest_size=16).hexdigest())


def test_a_remote_file_is_not_read(tmp_path):
    allow_typed(["memory://"])
    (tmp_path / "a").write_bytes(b"content")
    url = Path(f"memory://{tmp_path.name}/a")
    remote.upload(str(tmp_path / "a"), f"memory://{tmp_path.name}/a")
    remote.traffic.take()
    digest = input_digest(url)
    assert is_same_input(url, digest)
    assert remote.traffic.take() == (0, 0)
    (tmp_path / "a").write_bytes(b"contents")
    remote.upload(str(tmp_path / "a"), f"memory://{tmp_path.name}/a")
    assert not is_same_input(url, digest)
    allow_typed([])
