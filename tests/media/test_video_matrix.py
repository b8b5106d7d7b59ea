"""Codecs x containers x interlacing x keyframe flags x rotation x bit depth, against decoding from end to end.

Each file is a few small frames that PyAV encodes here. The truth is a plain loop that decodes it from its beginning,
without any module of the package; all frames, and nine of them, must be the same.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from omnicli.media.video import VideoSource

pytestmark = pytest.mark.slow

NUM_FRAMES = 30
GOP = 8
FLAGS = ("honest", "all", "none")
INTERLACED = 0x20040000  # flags of FFmpeg: interlaced DCT and motion estimation


@dataclass(frozen=True)
class Case:
    """One file of the matrix."""

    codec: str
    suffix: str
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (48, 64)
    b_frames: int = 0
    is_interlaced: bool = False
    rotation: int = 0
    flags: str = "honest"
    container: str | None = None

    def __str__(self) -> str:
        parts = [self.codec, self.suffix, self.pixel_format, self.flags]
        parts += [f"b{self.b_frames}"] * bool(self.b_frames) + ["interlaced"] * self.is_interlaced
        return "-".join(parts + [f"rot{self.rotation}"] * bool(self.rotation))


def cases():
    yield from product_of("libx264", ("mp4", "mkv", "mov", "ts", "flv", "avi"), b_frames=(0, 2))
    yield from product_of("libx264", ("mp4", "mkv", "ts"), pixel_format=("yuv420p10le", "yuv422p", "yuv444p10le"))
    yield from product_of("libx264", ("mp4", "mkv", "ts"), is_interlaced=(True,))
    yield from product_of("libx265", ("mp4", "mkv", "ts"), b_frames=(0, 2), pixel_format=("yuv420p", "yuv420p10le"))
    yield from product_of("mpeg4", ("mp4", "mkv", "mov", "avi", "ts"), b_frames=(0, 2), is_interlaced=(False, True))
    yield from product_of("mpeg2video", ("ts", "mpg", "mkv", "mov"), b_frames=(0, 2), is_interlaced=(False, True))
    yield from product_of("mpeg1video", ("mpg", "mkv", "ts"), b_frames=(0, 2))
    yield from product_of("msmpeg4", ("avi", "asf", "mkv"))
    yield from product_of("msmpeg4v2", ("avi", "asf"))
    yield from product_of("wmv1", ("avi", "wmv"))
    yield from product_of("wmv2", ("avi", "wmv"))
    yield from product_of("flv", ("flv", "avi"))
    yield from product_of("h263", ("3gp", "mov", "avi"), size=((144, 176),))
    yield from product_of("libvpx", ("webm", "mkv", "ivf", "avi"))
    yield from product_of("libvpx-vp9", ("webm", "mkv", "mp4", "ivf"))
    yield from product_of(
        "libsvtav1", ("webm", "mp4", "ivf"), size=((64, 64),), pixel_format=("yuv420p", "yuv420p10le")
    )
    yield from product_of("mjpeg", ("avi", "mov", "mkv", "mp4"), pixel_format=("yuvj420p", "yuvj422p"))
    yield from product_of("prores_ks", ("mov", "mkv"), pixel_format=("yuv422p10le",), is_interlaced=(False, True))
    yield from product_of("dvvideo", ("avi", "mov"), size=((576, 720),), is_interlaced=(True,))
    yield from product_of("ffv1", ("mkv", "avi"), pixel_format=("yuv420p", "yuv420p10le"), is_interlaced=(False, True))
    for codec in ("huffyuv", "utvideo"):
        yield from product_of(codec, ("avi",), pixel_format=("yuv422p",))
    yield from product_of("rawvideo", ("avi", "mov"), pixel_format=("uyvy422", "bgr24"))
    yield from product_of("qtrle", ("mov",), pixel_format=("rgb24",))
    yield from product_of("cinepak", ("avi", "mov"), pixel_format=("rgb24",))
    yield from product_of("zmbv", ("avi",), pixel_format=("bgr0",))
    yield from product_of("rpza", ("mov",), pixel_format=("rgb555le",))
    yield from product_of("msvideo1", ("avi",), pixel_format=("rgb555le",))
    yield from product_of("svq1", ("mov",), pixel_format=("yuv410p",))
    yield from product_of("flashsv", ("flv",), pixel_format=("bgr24",))
    yield from product_of("rv20", ("rm",))
    yield from product_of("snow", ("avi",))
    for suffix, rotation, codec in product(("mp4", "mov"), (90, 180, 270), ("libx264", "mpeg4")):
        yield Case(codec, suffix, rotation=rotation)
        yield Case(codec, suffix, rotation=rotation, is_interlaced=True)
    raw = (("libx264", "h264"), ("libx265", "hevc"), ("mpeg4", "m4v"), ("mpeg2video", "mpeg2video"))
    for codec, container in raw:
        yield Case(codec, "bin", container=container)
        yield Case(codec, "bin", container=container, b_frames=2)
    yield Case("dvvideo", "dv", size=(576, 720), is_interlaced=True)
    yield Case("mpeg2video", "mxf", size=(576, 720), pixel_format="yuv422p")
    yield Case("rawvideo", "y4m", container="yuv4mpegpipe")


def product_of(codec, suffixes, **axes):
    """Every combination; flags that cannot lie in a container, because it has none, are the honest ones."""
    for suffix in suffixes:
        flags = ("honest",) if suffix in ("ts", "mpg", "ivf", "rm") else FLAGS
        for values in product(*axes.values()):
            for flag in flags:
                yield Case(codec, suffix, flags=flag, **dict(zip(axes, values, strict=True)))


CASES = list(cases())


def scenes(height, width, num_frames=NUM_FRAMES):
    """(T, H, W, 3) uint8: a window over a smooth random image; a cut in the middle of a group."""
    shape = (height + 2 * num_frames, width + 2 * num_frames, 3)
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, shape, np.uint8), (0, 0), 3)
    image = np.clip((image.astype(int) - 128) * 4 + 128, 0, 255).astype(np.uint8)
    frames = [image[2 * i : 2 * i + height, i : i + width] for i in range(num_frames)]
    return np.stack([frame if i < num_frames // 2 + 1 else 255 - frame for i, frame in enumerate(frames)])


def interlacing():
    """A function that marks a frame as interlaced."""
    graphs = {}

    def mark(frame):
        if not graphs:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
            )
            graph.link_nodes(source, graph.add("setfield", mode="tff"), graph.add("buffersink"))
            graph.configure()
            graphs[0] = graph
        graphs[0].vpush(frame)
        return graphs[0].vpull()

    return mark


def encode(path, case):
    """Writes the file; with flags "all" or "none" each packet says, or denies, that it is a keyframe."""
    options = {}
    if case.codec == "libx264":
        options = {"x264-params": f"b-adapt=0:keyint={GOP}:scenecut=0{':tff=1' * case.is_interlaced}"}
    if case.codec == "libx265":
        options = {"x265-params": f"log-level=none:b-adapt=0:keyint={GOP}:min-keyint={GOP}:scenecut=0"}
    if case.codec == "libsvtav1":
        options = {"preset": "12", "svtav1-params": f"keyint={GOP}:lookahead=0"}
    mark, packets = interlacing(), []
    with av.open(str(path), "w", format=case.container) as file:
        stream = file.add_stream(case.codec, rate=25, options=options)
        stream.height, stream.width = case.size
        stream.pix_fmt = case.pixel_format
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = GOP
        stream.codec_context.max_b_frames = case.b_frames
        if case.is_interlaced and case.codec in ("mpeg2video", "mpeg4", "prores_ks"):
            stream.codec_context.flags |= INTERLACED
        if case.rotation:
            stream.set_display_rotation(case.rotation)
        for index, pixels in enumerate(scenes(*case.size)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=case.pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            packets += stream.encode(mark(frame) if case.is_interlaced else frame)
        for packet in [*packets, *stream.encode(None)]:
            packet.is_keyframe = {"honest": packet.is_keyframe, "all": True, "none": False}[case.flags]
            file.mux(packet)
    return path


def decode_from_end_to_end(path, case):
    with av.open(str(path), format={"bin": case.container}.get(case.suffix)) as file:
        file.streams.video[0].codec_context.thread_count = 1
        rgb = {"format": "rgb24", "interpolation": Interpolation.POINT}  # chroma repeated
        frames = [frame.reformat(**rgb).to_ndarray() for frame in file.decode(video=0)]
    return np.rot90(np.stack(frames), case.rotation // 90, axes=(1, 2))


def distance(frames, truth):
    """The largest mean absolute difference of a frame, after a blur that hides how chroma is interpolated."""
    assert frames.shape == truth.shape
    pairs = zip(frames, truth, strict=True)
    return max(float(np.abs(blurred(frame) - blurred(true)).mean()) for frame, true in pairs)


def blurred(frame):
    return cv2.blur(frame.astype(np.float32), (5, 5))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_all_frames_and_sparse_ones_are_those_of_decoding_from_end_to_end(tmp_path, case):
    try:
        path = encode(tmp_path / f"a.{case.suffix}", case)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this build cannot write it: {error}")
    truth = decode_from_end_to_end(path, case)
    limit = 2 if case.is_interlaced else 1  # the loop converts each field for itself
    sparse = np.linspace(0, len(truth) - 1, 9).astype(int)
    for wanted in (sparse[::-1], range(len(truth)), sparse[5:6]):
        with VideoSource(str(path)) as source:
            assert source.num_frames == len(truth)
            slack = 0.09 if case.suffix == "mpg" else 2e-3  # a pack of small frames has one time stamp
            assert np.allclose(source.times, np.arange(len(truth)) / 25, atol=slack)
            assert distance(source.read(wanted), truth[list(wanted)]) < limit


def test_the_matrix_is_large():
    assert len(CASES) >= 250
