"""Outputs appear whole or not at all."""

import errno
import gzip
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zstandard

from omnicli.errors import OutputError
from omnicli.streams.write.atomic import open_atomic, publish, remove_leftover


def test_a_file_appears_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "out.jsonl"
    with open_atomic(path) as file:
        file.write(b"line\n")
        assert not path.exists()
    assert path.read_bytes() == b"line\n"


def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old\n")
    with pytest.raises(ZeroDivisionError), open_atomic(path) as file:
        file.write(b"new\n")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old\n"
    assert [left.name for left in tmp_path.iterdir()] == ["out.jsonl"]


def test_links_are_followed_not_replaced(tmp_path):
    real = tmp_path / "real.jsonl"
    real.write_bytes(b"old\n")
    link = tmp_path / "link.jsonl"
    link.symlink_to(real)
    with open_atomic(link) as file:
        file.write(b"new\n")
    assert link.is_symlink()
    assert real.read_bytes() == b"new\n"


@pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd"])
def test_a_file_behind_an_open_descriptor_keeps_what_others_wrote(tmp_path, folder):
    log = tmp_path / "job.log.gz"
    log.write_bytes(b"earlier\n")
    with log.open("ab") as others:
        path = Path(folder, str(others.fileno()))
        with open_atomic(path) as file:
            file.write(b"line\n")
        (tmp_path / "part").write_bytes(b"rest\n")
        publish(tmp_path / "part", path)
        others.write(b"later\n")
    assert log.read_bytes() == b"earlier\nline\nrest\nlater\n"
    with pytest.raises(OutputError, match=r"/\d+: cannot write: Bad file descriptor"), open_atomic(path):
        pass


def test_permissions_are_those_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        with open_atomic(tmp_path / "out") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compression_follows_the_suffix_and_is_reproducible(tmp_path, suffix):
    paths = [tmp_path / f"{name}.jsonl{suffix}" for name in "ab"]
    for path in paths:
        with open_atomic(path) as file:
            file.write(b"line\n" * 1000)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    unpack = (
        gzip.decompress if suffix == ".gz" else lambda data: zstandard.ZstdDecompressor().stream_reader(data).read()
    )
    assert unpack(first) == b"line\n" * 1000


def test_a_fifo_is_written_straight(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    with open_atomic(fifo) as file:
        file.write(b"line\n")
    reader.join(timeout=60)
    assert received == [b"line\n"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_dev_null_stays_a_device():
    with open_atomic(Path(os.devnull)) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "no" / "out.jsonl"
    with pytest.raises(OutputError, match=r"no folder '.*/no'; create it first"), open_atomic(path):
        pass


def test_publishing_compresses_a_plain_part(tmp_path):
    part = tmp_path / ".out.part"
    part.write_bytes(b"line\n")
    publish(part, tmp_path / "out.jsonl.gz")
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == b"line\n"
    assert not part.exists()


def test_what_a_killed_process_left_is_taken_over_or_removed(tmp_path):
    """Leftovers after a run that was killed: the next run with the same outputs sweeps them."""
    script = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from omnicli.streams.write.atomic import open_atomic\n"
        f"with open_atomic(Path({str(tmp_path)!r}) / 'out.jsonl.gz') as file:\n"
        "    file.write(os.urandom(1 << 20))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    out = tmp_path / "out.jsonl.gz"
    for end in ("written again", "removed"):
        subprocess.run([sys.executable, "-c", script], check=False)
        (leftover,) = tmp_path.glob(".out.jsonl.gz.*")
        if end == "removed":
            remove_leftover(out)
        else:
            with open_atomic(out) as file:
                file.write(b"line\n")
        assert not leftover.exists()
        assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl.gz"]
        assert gzip.decompress(out.read_bytes()) == b"line\n"


def test_what_a_living_process_writes_is_left_to_it(tmp_path):
    out = tmp_path / "out.jsonl"
    with open_atomic(out) as first:
        first.write(b"first\n")
        with open_atomic(out) as second:
            second.write(b"second\n")
        remove_leftover(out)
        assert out.read_bytes() == b"second\n"
    assert out.read_bytes() == b"first\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_file_system_without_locks_gets_names_of_their_own(tmp_path, monkeypatch):
    def refuse(file, mode):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("omnicli.streams.write.locks._Said.locks", True)
    with open_atomic(tmp_path / "out.jsonl") as first:
        (partial,) = tmp_path.iterdir()
        assert partial.name != ".out.jsonl.tmp"
        first.write(b"first\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
