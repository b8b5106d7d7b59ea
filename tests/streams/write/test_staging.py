"""Outputs on a store grow on the local disk and appear whole."""

import os
from pathlib import Path

import pytest

from omnicli.streams.files import remote
from omnicli.streams.files.stored import file_exists, read_file
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.write.atomic import open_atomic, publish
from omnicli.streams.write.staging import local_twin


@pytest.fixture
def url(tmp_path, monkeypatch):
    """The URL of an output."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    allow_typed(["memory://"])
    yield Path(f"memory://{tmp_path.name}/out.jsonl")
    allow_typed([])


def test_a_url_has_the_same_twin_in_each_process_and_a_local_path_is_its_own(url, tmp_path):
    twin = local_twin(url)
    assert twin == local_twin(url)
    assert twin.name == "out.jsonl"
    assert twin.is_relative_to(tmp_path)
    assert twin.parent.parent.stat().st_mode & 0o777 == 0o700
    assert local_twin(url.with_name("b")).parent == twin.parent != local_twin(Path("memory://other/b")).parent
    (tmp_path / "link").symlink_to("file")
    assert local_twin(tmp_path / "link") == tmp_path / "file"


def test_a_folder_that_others_can_write_is_refused(url, tmp_path):
    top = tmp_path / f"omni-{os.getuid()}"
    top.mkdir()
    top.chmod(0o777)
    with pytest.raises(PermissionError, match="set TMPDIR"):
        local_twin(url)
    top.rmdir()
    top.symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        local_twin(url)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_an_output_appears_whole_or_not_at_all(url, tmp_path, suffix):
    path = url.with_name(f"out.jsonl{suffix}")
    with pytest.raises(ZeroDivisionError), open_atomic(path) as file:
        file.write(b"half" * 1000)
        file.flush()
        raise ZeroDivisionError
    assert not file_exists(path)
    for place in (path, tmp_path / path.name):
        with open_atomic(place) as file:
            file.write(b"line\n")
    assert read_file(path) == (tmp_path / path.name).read_bytes()
    part = local_twin(path).with_name(".part")
    part.write_bytes(b"more\n")
    publish(part, path)
    assert not part.exists()
    publish_locally = tmp_path / ".part"
    publish_locally.write_bytes(b"more\n")
    publish(publish_locally, tmp_path / path.name)
    assert read_file(path) == (tmp_path / path.name).read_bytes()
    assert remote.list_files(f"memory://{tmp_path.name}") == sorted({*remote.list_files(f"memory://{tmp_path.name}")})
