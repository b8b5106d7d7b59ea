"""The type of a file by its first bytes: crawls contain web pages named .jpg and videos named .gif."""

HEAD_BYTES = 1536  # seven packets of an MPEG transport stream; a page's <html> is within it

LFS_MAGIC = b"version https://git-lfs"
LFS_POINTER = "a Git LFS pointer: fetch the file with git lfs pull"

# Distinguish a list or JSONL from a web page saved as x.jpg; the content decides the media kind.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".avifs"),
)
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".flv", ".wmv", ".asf", ".mpg", ".mpeg", ".ts", ".m2ts"),
    *(".mts", ".ogv", ".ogg", ".3gp", ".vob", ".rm", ".h264", ".264", ".hevc", ".h265", ".265", ".ivf", ".dv", ".mxf"),
)
MEDIA_SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)

_FIXED = (
    (b"\xff\xd8\xff", "image", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "image", "PNG"),
    (b"GIF87a", "image", "GIF"),
    (b"GIF89a", "image", "GIF"),
    (b"II*\0", "image", "TIFF"),
    (b"MM\0*", "image", "TIFF"),
    (b"II+\0", "image", "TIFF"),  # of more than 4 GB, but also smaller
    (b"MM\0+", "image", "TIFF"),
    (b"\xff\x0a", "image", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "image", "JPEG XL"),
    (b"\x1aE\xdf\xa3", "video", "MKV or WebM"),
    (b"FLV\x01", "video", "FLV"),
    (b"OggS", "video", "OGG"),
    (b"\0\0\x01\xba", "video", "MPEG-PS"),
    (b"\0\0\x01\xb3", "video", "MPEG video"),
    (b"\0\0\x01\xb0", "video", "MPEG-4 video"),
    (b"DKIF", "video", "IVF"),
    (b"\x1f\x07\0\x3f", "video", "DV"),
    (b"\x1f\x07\0\xbf", "video", "DV"),
    (b"\x06\x0e+4\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02", "video", "MXF"),
    (b"YUV4MPEG2 ", "video", "Y4M"),
    (b"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel", "video", "ASF"),
    (b".RMF", "video", "RealMedia"),
    (b"\x89HDF\r\n\x1a\n", None, "HDF5"),
    (b"PK\x03\x04", None, "zip archive"),
    (b"\x1f\x8b", None, "gzip"),
    (b"(\xb5/\xfd", None, "zstd"),
    (b"BZh", None, "bzip2"),
    (b"\xfd7zXZ\0", None, "xz"),
    (b"7z\xbc\xaf'\x1c", None, "7z archive"),
    (b"Rar!", None, "rar archive"),
    (b"%PDF", None, "PDF"),
    (b"ID3", None, "MP3 audio"),
    (b"fLaC", None, "FLAC audio"),
    (b"\x7fELF", None, "program"),
    (b"\0\x05\x16\x07", None, "AppleDouble"),
    (b"\x93NUMPY", None, "NumPy array"),
    (b"SIMPLE  =", None, "FITS"),
    (b"8BPS", None, "Photoshop"),
    (b"\0\0\0\x0cjP  ", None, "JPEG 2000"),
)
_BY_FIRST_BYTE: dict[int, list[tuple[bytes, str | None, str]]] = {}
for _entry in _FIXED:
    _BY_FIRST_BYTE.setdefault(_entry[0][0], []).append(_entry)

_IMAGE_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"avif": "AVIF"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # sizes of the second header
_TS_PACKETS = {188: 0, 192: 4, 204: 0}  # bytes of a packet, and of the time stamp before its sync byte
_H264_UNITS = {0x67, 0x47, 0x27, 0x09, 0x06}  # parameter sets, delimiter, supplemental information
_HEVC_UNITS = {b"\x40\x01", b"\x42\x01", b"\x46\x01"}  # parameter sets, delimiter
_RIFF = {b"WEBP": ("image", "WebP"), b"AVI ": ("video", "AVI"), b"WAVE": (None, "WAV audio")}


def sniff(head: bytes) -> tuple[str | None, str]:
    """The media kind of a file and its type, by magic numbers.

    Args:
        head: the first ``HEAD_BYTES`` bytes, or all of a shorter file.

    Returns:
        ``("image" | "video" | None, description)``; None for whatever is no image and no video.

    >>> sniff(b"\\xff\\xd8\\xff\\xe0")
    ('image', 'JPEG')
    >>> sniff(b"<!DOCTYPE html><title>404")
    (None, 'HTML page')
    """
    if not head:
        return None, "empty file"
    for magic, kind, description in _BY_FIRST_BYTE.get(head[0], ()):
        if head.startswith(magic):
            return kind, description
    if head.startswith(b"RIFF") and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    if head[4:8] == b"ftyp":
        return _sniff_brand(head)
    if head[4:8] in _QUICKTIME_ATOMS:
        return "video", "MOV"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "image", "BMP"
    codec = "MPEG-TS" if _is_transport_stream(head) else _raw_codec(head)
    if codec is not None:
        return "video", codec
    return None, _describe_rest(head)


def _sniff_brand(head: bytes) -> tuple[str | None, str]:
    """Kind and type of an ISO base media file: by its major brand, and by the compatible ones for ``mif1``."""
    size = int.from_bytes(head[:4], "big")
    brand = head[8:12]
    compatible = {head[i : i + 4] for i in range(16, min(size, len(head)), 4)}
    if brand in (b"avis", b"hevc", b"hevx", b"msf1"):
        return "video", "AVIF sequence" if brand == b"avis" else "HEIC sequence"
    if brand in _IMAGE_BRANDS:
        return "image", "AVIF" if brand == b"avif" or b"avif" in compatible else "HEIC"
    if brand in _AUDIO_BRANDS:
        return None, "M4A audio"
    return "video", "MOV" if brand == b"qt  " else "MP4"


def _is_transport_stream(head: bytes) -> bool:
    """True if sync bytes are one packet apart: three at the beginning, or five in a recording that begins anywhere."""
    for size, beginning in _TS_PACKETS.items():
        for first in range(min(size, len(head))):
            syncs = head[first::size][: 3 if first == beginning else 5]
            if len(syncs) >= (2 if first == beginning else 5) and not syncs.strip(b"G"):
                return not is_text(head)
    return False


def _raw_codec(head: bytes) -> str | None:
    """The codec of a stream without a container, by the first unit after the start code."""
    start = head.find(b"\0\0\x01", 0, 4)
    unit = head[start + 3 : start + 5]
    if start not in (0, 1) or len(unit) < 2 or head[:start].strip(b"\0"):
        return None
    if unit[0] in _H264_UNITS:
        return "H.264 video"
    return "HEVC video" if unit in _HEVC_UNITS else None


def _describe_rest(head: bytes) -> str:
    """The type of a file without a magic number, for the reason of a reject."""
    if head[257:262] == b"ustar":
        return "tar archive"
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "pickle"
    if not head.strip(b"\0"):
        return "zero bytes"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(LFS_MAGIC):
        return LFS_POINTER
    if text[:1] in (b"{", b"[") and is_text(head):
        return "JSON"
    lowered = text[:HEAD_BYTES].lower()
    if lowered.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in lowered:
        return "HTML page"
    if lowered.startswith(b"<svg") or (lowered.startswith(b"<?xml") and b"<svg" in lowered):
        return "SVG"
    if lowered.startswith((b"<?xml", b"<!doctype")):
        return "XML"
    return "text" if is_text(head) else "unknown binary data"


def is_text(head: bytes) -> bool:
    """True for UTF-8 text without control characters; the last character may be truncated."""
    for cut in range(4):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return not any(ord(character) < 32 and character not in "\t\n\r\f\x1b" for character in text)
    return False
