import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from omnicli.errors import MediaError
from omnicli.media.headers import read_header
from omnicli.media.image import read_image
from omnicli.media.png import decode_png

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]
PASSES = {0: [(0, 0, 1, 1)]}
PASSES[1] = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def packed(row, depth):
    if depth >= 8:
        return row.astype(">u2" if depth == 16 else np.uint8).tobytes()
    return np.packbits((row[:, None] >> np.arange(depth - 1, -1, -1)) & 1).tobytes()


def write(samples, colours, depth, chunks, interlace):
    """The PNG of (H, W, C) samples, each row without a filter."""
    rows = b""
    for top, left, down, right in PASSES[interlace]:
        for row in samples[top::down, left::right]:
            rows += b"\0" + packed(row.reshape(-1), depth)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colours, 0, 0, interlace)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("is_transparent", [False, True])
@pytest.mark.parametrize(("colours", "depth"), KINDS)
def test_every_kind_of_png_gives_its_pixels_on_white(colours, depth, is_transparent, interlace):
    rng, top = np.random.default_rng(depth), (1 << depth) - 1
    samples = rng.integers(0, top + 1, (21, 27, CHANNELS[colours]))
    samples[:6] = samples[0, 0]
    alpha, chunks = np.full((21, 27, 1), 255), []
    colour = samples * (255 // top) if depth <= 8 else samples >> 8
    if colours == 3:
        palette = rng.integers(0, 256, (top + 1, 3))
        colour, chunks = palette[samples[..., 0]], [chunk(b"PLTE", palette.astype(np.uint8).tobytes())]
    elif colours in (4, 6):
        colour, alpha = colour[..., :-1], colour[..., -1:]
    if is_transparent and colours == 3:
        entries = np.concatenate([rng.integers(0, 256, (top + 1) // 2), np.full((top + 1) // 2, 255)])
        chunks.append(chunk(b"tRNS", entries[: (top + 1) // 2].astype(np.uint8).tobytes()))
        alpha = entries[samples[..., 0]][..., None]
    elif is_transparent and colours in (0, 2):
        chunks.append(chunk(b"tRNS", samples[0, 0].astype(">u2").tobytes()))
        alpha = np.where((samples == samples[0, 0]).all(axis=2), 0, 255)[..., None]
    expected = np.broadcast_to((colour * alpha + 255 * (255 - alpha) + 127) // 255, (21, 27, 3))
    np.testing.assert_array_equal(read_image(write(samples, colours, depth, chunks, interlace)), expected)


def test_a_transparent_value_of_another_length_is_ignored():
    samples = np.full((4, 4, 1), 7)
    data = write(samples, 0, 8, [chunk(b"tRNS", b"\0\7\0")], 0)
    assert (read_image(data) == 7).all()


def test_of_an_animation_the_default_image_is_shown():
    shown, others = (Image.new("RGB", (9, 6), (value, 0, 0)) for value in (200, 90))
    for has_default in (False, True):
        buffer = io.BytesIO()
        shown.save(buffer, "PNG", save_all=True, append_images=[others, shown], default_image=has_default)
        assert b"acTL" in buffer.getvalue()
        assert (read_image(buffer.getvalue()) == (200, 0, 0)).all()


def test_a_png_that_ends_in_its_first_chunks_is_truncated():
    data = write(np.full((4, 4, 1), 7), 0, 8, [], 0)
    for length in range(24, 33):
        with pytest.raises(MediaError, match="truncated PNG"):
            decode_png(data[:length], read_header(data[:length], "PNG"))


def test_the_transparent_grey_of_a_real_png_is_white(case):
    assert read_image(case("grey8_trns.png").read_bytes()).mean() == pytest.approx(173.5, abs=0.1)
