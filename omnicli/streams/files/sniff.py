"""The type of a file by its first bytes: crawls contain web pages named .jpg and videos named .gif."""

HEAD_BYTES = 512  # three packets of an MPEG transport stream; a page's <html> is within it

# Distinguish a list or JSONL from a web page saved as x.jpg; the content decides the media kind.
MEDIA_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"),
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".flv", ".wmv", ".asf", ".mpg", ".mpeg", ".ts", ".m2ts"),
    *(".mts", ".ogv", ".ogg", ".3gp", ".vob", ".rm"),
)

_FIXED = (
    (b"\xff\xd8\xff", "image", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "image", "PNG"),
    (b"GIF87a", "image", "GIF"),
    (b"GIF89a", "image", "GIF"),
    (b"II*\0", "image", "TIFF"),
    (b"MM\0*", "image", "TIFF"),
    (b"\x1aE\xdf\xa3", "video", "MKV or WebM"),
    (b"FLV\x01", "video", "FLV"),
    (b"OggS", "video", "OGG"),
    (b"\0\0\x01\xba", "video", "MPEG-PS"),
    (b"\0\0\x01\xb3", "video", "MPEG video"),
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
    (b"\xff\x0a", None, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", None, "JPEG XL"),
    (b"\0\0\0\x0cjP  ", None, "JPEG 2000"),
)
_BY_FIRST_BYTE: dict[int, list[tuple[bytes, str | None, str]]] = {}
for _entry in _FIXED:
    _BY_FIRST_BYTE.setdefault(_entry[0][0], []).append(_entry)

_IMAGE_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"heim": "HEIC", b"avif": "AVIF"}
_AUDIO_BRANDS = {b"M4A ", b"M4B ", b"M4P "}
_QUICKTIME_ATOMS = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # sizes of the second header
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
    if _is_transport_stream(head):
        return "video", "MPEG-TS"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "image", "BMP"
    if head[257:262] == b"ustar":
        return None, "tar archive"
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
    """True if sync bytes are one packet apart: 188 bytes, or 192 with the time stamp of M2TS."""
    return (head[0] == 0x47 and head[188:189] == b"G" and head[376:377] in (b"G", b"")) or (
        head[4:5] == b"G" and head[196:197] == b"G" and head[388:389] in (b"G", b"")
    )


def _describe_rest(head: bytes) -> str:
    """The type of a file without a magic number, for the reason of a reject."""
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "pickle"
    if not head.strip(b"\0"):
        return "zero bytes"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
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
