"""Magic numbers."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.files.sniff import HEAD_BYTES, is_text, sniff


def brand(major: bytes, *compatible: bytes) -> bytes:
    size = 16 + 4 * len(compatible)
    return size.to_bytes(4, "big") + b"ftyp" + major + b"\0\0\0\0" + b"".join(compatible) + b"\0\0\0\x08free"


@pytest.mark.parametrize(
    ("suffix", "kind", "description"),
    [(".jpg", "image", "JPEG"), (".png", "image", "PNG"), (".bmp", "image", "BMP"), (".webp", "image", "WebP"),
     (".tiff", "image", "TIFF")],
)  # fmt: skip
def test_images_as_opencv_writes_them(suffix, kind, description):
    data = cv2.imencode(suffix, np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    assert sniff(data[:HEAD_BYTES]) == (kind, description)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", (None, "empty file")),
        (b"GIF89a\x01\0", ("image", "GIF")),
        (b"MM\0*\0\0", ("image", "TIFF")),
        (brand(b"isom", b"avc1"), ("video", "MP4")),
        (brand(b"qt  "), ("video", "MOV")),
        (brand(b"heic", b"mif1"), ("image", "HEIC")),
        (brand(b"mif1", b"avif"), ("image", "AVIF")),
        (brand(b"avis", b"avif"), ("video", "AVIF sequence")),
        (brand(b"M4A "), (None, "M4A audio")),
        (b"\0\0\0\x08wide\0\0\0\0mdat", ("video", "MOV")),
        (b"RIFF\x10\0\0\0AVI LIST", ("video", "AVI")),
        (b"RIFF\x10\0\0\0WAVEfmt ", (None, "WAV audio")),
        (b"\x1aE\xdf\xa3\x01", ("video", "MKV or WebM")),
        (b"FLV\x01\x05", ("video", "FLV")),
        ((b"G" + b"\xff" * 187) * 2 + b"G" + b"\xff" * 135, ("video", "MPEG-TS")),
        ((b"\0\0\0\0G" + b"\xff" * 187) * 2 + b"\0\0\0\0G" + b"\xff" * 123, ("video", "MPEG-TS")),
        (bytes(range(1, 101)) + (b"G" + b"\xff" * 187) * 7, ("video", "MPEG-TS")),
        (bytes(range(1, 51)) + (b"G" + b"\xff" * 191) * 7, ("video", "MPEG-TS")),
        (bytes(range(1, 51)) + (b"G" + b"\xff" * 203) * 7, ("video", "MPEG-TS")),
        (bytes(range(1, 101)) + (b"G" + b"\xff" * 187) * 4, (None, "unknown binary data")),
        (b">protein\n" + b"G" * 1500, (None, "text")),
        (b"\0\0\x01\xba\x44", ("video", "MPEG-PS")),
        (b"\0\0\0\x01\x67\x64\0\x0a", ("video", "H.264 video")),
        (b"\0\0\x01\x09\xf0\0\0\x01", ("video", "H.264 video")),
        (b"\0\0\0\x01\x40\x01\x0c\x01", ("video", "HEVC video")),
        (b"\0\0\x01\xb0\x01\0\0", ("video", "MPEG-4 video")),
        (b"DKIF\0\0\x20\0VP80", ("video", "IVF")),
        (b"\x1f\x07\0\xbf\xff", ("video", "DV")),
        (b"\x06\x0e+4\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0", ("video", "MXF")),
        (b"YUV4MPEG2 W64 H48 F25:1\n", ("video", "Y4M")),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c", ("video", "ASF")),
        (b"OggS\0\x02", ("video", "OGG")),
        (b"<!DOCTYPE html><html>", (None, "HTML page")),
        (b"\xef\xbb\xbf\r\n  <HTML lang=en>", (None, "HTML page")),
        (b'<?xml version="1.0"?><svg xmlns="...">', (None, "SVG")),
        (b'<?xml version="1.0"?><Error>AccessDenied</Error>', (None, "XML")),
        (b'{"error": "<html> not found"}', (None, "JSON")),
        (b"PK\x03\x04", (None, "zip archive")),
        (b"\x80\x04\x95", (None, "pickle")),
        (b"\x89HDF\r\n\x1a\n", (None, "HDF5")),
        (b"404 not found\n", (None, "text")),
        ("naïve café".encode(), (None, "text")),
        (b"\0" * 512, (None, "zero bytes")),
        (b"\x01\x02\x03", (None, "unknown binary data")),
        (b"Good morning", (None, "text")),
    ],
)
def test_files_are_what_their_first_bytes_say(head, expected):
    assert sniff(head) == expected


@given(st.binary(max_size=HEAD_BYTES))
def test_any_bytes_have_an_answer(head):
    kind, description = sniff(head)
    assert kind in ("image", "video", None)
    assert description


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1), st.integers(0, 3))
def test_text_cut_inside_its_last_character_is_text(text, cut):
    assert is_text(text.encode() + "€😀".encode()[: 3 + cut])


def test_a_pointer_of_git_lfs_is_named():
    head = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    assert sniff(head) == (None, "a Git LFS pointer: fetch the file with git lfs pull")


def test_a_bmp_of_the_colour_that_is_also_the_sync_byte_is_no_transport_stream():
    assert sniff(b"BM" + bytes(12) + b"\x28" + bytes(39) + b"G" * 4000) == ("image", "BMP")
