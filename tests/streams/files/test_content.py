"""Files and folders by their content."""

import os
import tarfile

import pytest

from omnicli.streams.files.content import BLOCK_BYTES, content_key, is_same_content, media_size

SIZES = (1, BLOCK_BYTES, 5 * BLOCK_BYTES)


@pytest.mark.parametrize("size", SIZES)
def test_a_change_at_either_end_or_in_the_middle_is_another_content(tmp_path, size):
    content = bytearray(os.urandom(size))
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "link").symlink_to("a")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert content_key(a) == content_key(b) == content_key(str(tmp_path / "link"))
    assert is_same_content(a, b)
    for at in {0, size // 2, size - 1}:
        other = bytes(content[:at]) + bytes([content[at] ^ 1]) + bytes(content[at + 1 :])
        (tmp_path / "b").write_bytes(other)
        assert content_key(a) != content_key(b)
        assert not is_same_content(a, b)
    (tmp_path / "b").write_bytes(content + b"x")
    assert not is_same_content(a, b)
    assert not is_same_content(b, a)


def test_what_the_key_skips_is_found_by_comparing_all_bytes(tmp_path):
    content = bytearray(8 * BLOCK_BYTES)
    (tmp_path / "a").write_bytes(content)
    content[2 * BLOCK_BYTES] = 1
    (tmp_path / "b").write_bytes(content)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert content_key(a) == content_key(b)
    assert not is_same_content(a, b)


def test_a_member_of_a_tar_is_the_file_that_it_holds(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"jpeg" * 9)
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "a.jpg", "web/a.jpg")
    file, member = str(tmp_path / "a.jpg"), f"{tmp_path}/x.tar#web/a.jpg"
    assert media_size(file) == media_size(member) == 36
    assert content_key(file) == content_key(member)
    assert is_same_content(file, member)


def test_folders_of_frames_are_the_same_if_their_frames_are(tmp_path):
    for folder in "ab":
        (tmp_path / folder).mkdir()
        for frame in range(3):
            (tmp_path / folder / f"{frame}.jpg").write_bytes(b"%d" % frame)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert media_size(a) == media_size(b) == -3
    assert content_key(a) == content_key(b)
    assert is_same_content(a, b)
    (tmp_path / "b" / "1.jpg").write_bytes(b"x")
    assert not is_same_content(a, b)
    assert not is_same_content(a, str(tmp_path / "b" / "0.jpg"))


def test_what_cannot_be_read_has_no_size_and_no_key(tmp_path):
    for name in ("missing", "a\0b", "x.tar#y"):
        assert media_size(str(tmp_path / name)) is None
        assert content_key(str(tmp_path / name)) is None
    (tmp_path / "empty").mkdir()
    assert not is_same_content(str(tmp_path / "missing"), str(tmp_path / "missing"))
    (tmp_path / "nothing").write_bytes(b"")
    assert content_key(str(tmp_path / "nothing")) is None
