"""Films whose every frame is known."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "media"


def moving_image(num_frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """(T, H, W, 3) uint8: a window that slides over a random image, so that no two frames are alike."""
    image = np.random.default_rng(0).integers(0, 256, (height + num_frames, width + 2 * num_frames, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    return np.stack([image[i : i + height, 2 * i : 2 * i + width] for i in range(num_frames)])


def write_film(
    path: Path,
    frames: np.ndarray,
    *,
    codec: str = "libx264rgb",
    gop: int = 12,
    b_frames: int = 0,
    fps: int = 25,
    stamps: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    options: dict[str, str] | None = None,
    container: str | None = None,
    rotation: int | None = None,
) -> Path:
    """Encodes RGB frames, without loss by default; ``stamps`` in units of ``time_base`` make the rate vary.

    x264 leaves B-frames out where nothing may be lost, so asking for them costs the lossless.
    """
    rgb = codec == "libx264rgb"
    if options is None:
        options = ({"crf": "10", "x264-params": "b-adapt=0"} if b_frames else {"crf": "0"}) if rgb else {}
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24" if rgb else "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.max_b_frames = b_frames
        if time_base is not None:
            stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=stream.pix_fmt)
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = time_base or Fraction(1, fps)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def rewrite(
    source: Path, target: Path, *, flags: str | Callable[[int, bool], bool], options: dict[str, str] | None = None
) -> Path:
    """The same packets with other keyframe flags: "all", "none", or a function of ordinal and honest flag."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for ordinal, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            packet.stream = stream
            packet.is_keyframe = flags == "all" if isinstance(flags, str) else flags(ordinal, packet.is_keyframe)
            new.mux(packet)
    return target


def decode_all(path: Path) -> np.ndarray:
    """(T, H, W, 3): every frame by decoding from end to end, the slow and obvious way."""
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


@pytest.fixture
def film():
    """``film(path, frames, **options)`` writes a video and returns its path."""
    return write_film


@pytest.fixture
def reflagged():
    """``reflagged(source, target, flags=...)`` copies a video with other keyframe flags."""
    return rewrite


@pytest.fixture
def case():
    """``case(name)`` is a file from the field that was read wrong once; the test skips where there are none."""

    def path_of(name: str) -> Path:
        path = CASES / name
        if not path.exists():
            pytest.skip("no ../shared/cases")
        return path

    return path_of


@pytest.fixture
def moving():
    """``moving(num_frames)`` makes frames that are all different."""
    return moving_image


@pytest.fixture
def decoded():
    """``decoded(path)`` are all frames of a video, decoded one after the other."""
    return decode_all
