import errno
import io
import threading

import pytest

from omnicli.errors import MediaError
from omnicli.media import media_file
from omnicli.media.media_file import MediaFile
from omnicli.media.video import VideoSource


class Broken(io.BytesIO):
    """A file whose disk fails behind the first ``good`` bytes."""

    def __init__(self, data, good):
        super().__init__(data)
        self.good = good

    def read(self, size=-1):
        if self.tell() >= self.good:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(min(size, self.good - self.tell()) if size >= 0 else self.good)


def test_errors_are_values_until_they_are_asked_for():
    file = MediaFile(Broken(bytes(100), good=10))
    assert (file.read(20), file.read(20), file.tell()) == (bytes(10), b"", 10)
    with pytest.raises(MediaError, match=r"^input/output error$"):
        file.check()


@pytest.mark.parametrize("closed", [False, True])
def test_positions_that_do_not_exist_are_no_errors(closed):
    inner = io.BytesIO(bytes(100))
    file = MediaFile(inner)
    if closed:
        inner.close()
        assert file.seek(5) == file.tell() == -1
    assert file.seek(-5) == -1
    assert closed or (file.seek(-10, 2), file.read(), file.tell()) == (90, bytes(10), 100)
    file.check()


def test_memory_that_is_missing_stays_a_memory_error():
    class Greedy(io.BytesIO):
        def read(self, size=-1):
            raise MemoryError

    file = MediaFile(Greedy())
    assert file.read(5) == b""
    with pytest.raises(MemoryError):
        file.check()


def test_patience_is_time_of_the_thread_without_a_frame(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.thread_time", lambda: now[0])
    file = MediaFile(io.BytesIO(bytes(100)))
    now[0] += media_file.PATIENCE_SEC - 1
    assert file.read(1) == b"\0"
    file.note_progress()
    now[0] += media_file.PATIENCE_SEC - 1
    file.check()
    now[0] += 2
    assert file.read(1) == b"" and file.is_late
    with pytest.raises(MediaError, match=r"^no frame decoded within 60 s$"):
        file.check()


def test_another_thread_begins_with_new_patience(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.thread_time", lambda: now[0])
    file = MediaFile(io.BytesIO(bytes(100)))
    now[0] += 10 * media_file.PATIENCE_SEC
    thread = threading.Thread(target=file.read, args=(1,))
    thread.start()
    thread.join()
    assert not file.is_late


@pytest.mark.parametrize("name", ["a.mp4", "a.ts"])
def test_a_disk_that_fails_is_the_reason_and_no_shorter_video(tmp_path, film, moving, reflagged, name):
    path = film(tmp_path / name, moving(60, 96, 128), codec="mpeg4" if name == "a.mp4" else "mpeg2video")
    data = path.read_bytes()
    for good in (0, len(data) // 2, len(data) - 10):
        with pytest.raises(MediaError, match=r"^input/output error$"):
            VideoSource(Broken(data, good))


def test_a_demuxer_that_never_ends_is_given_up(tmp_path, film, moving, monkeypatch):
    path = film(tmp_path / "a.ts", moving(10), codec="mpeg2video")
    monkeypatch.setattr(media_file, "PATIENCE_SEC", 0.05)

    class Endless(io.BytesIO):
        def read(self, size=-1):
            data = super().read(size)
            return data or bytes(size)

    with pytest.raises(MediaError, match=r"^no frame decoded within 0 s$"):
        VideoSource(Endless(path.read_bytes()))
