from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.sidedata import sidedata

from omnicli.errors import MediaError
from omnicli.media.frame_pixels import MATRICES, PixelReader
from omnicli.media.resizing import orient
from omnicli.media.video import VideoSource


def yuv_frame(height=48, width=64, pixel_format="yuv420p"):
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)


def interlaced_film(path, codec, frames, *, pixel_format="yuv420p", options=None, rate=25):
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.codec_context.flags |= 0x20040000 if codec != "libx264" else 0  # interlaced DCT and motion estimation
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame = marked(frame)
            frame.pts, frame.time_base = index, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def marked(frame):
    """The frame marked as interlaced, the top field first."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", mode="tff"), graph.add("buffersink"))
    graph.configure()
    graph.vpush(frame)
    return graph.vpull()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"x264-params": "tff=1"}),
        ("a.ts", "mpeg2video", {}),
        ("a.avi", "mpeg4", {}),
        ("a.mov", "prores_ks", {"pixel_format": "yuv422p10le"}),
        ("a.mkv", "ffv1", {}),
        ("a.avi", "dvvideo", {"pixel_format": "yuv420p", "size": "576x720"}),
    ],
)
def test_both_fields_of_interlaced_frames_stay_where_they_are(tmp_path, moving, name, codec, options):
    options = dict(options)
    pixel_format = options.pop("pixel_format", "yuv420p")
    height, width = map(int, options.pop("size", "96x128").split("x"))
    path = interlaced_film(tmp_path / name, codec, moving(9, height, width), pixel_format=pixel_format, options=options)
    with av.open(str(path)) as file:
        frames = list(file.decode(video=0))
    assert all(frame.interlaced_frame for frame in frames)
    brightness = np.stack([frame_luma(frame) for frame in frames])
    with VideoSource(str(path)) as source:
        shown = source.read(range(9))
        assert source.num_frames == len(frames) == 9
        assert np.array_equal(source.read([8, 2, 5]), shown[[8, 2, 5]])
    for pixels, luma in zip(shown, brightness, strict=True):
        expected = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
        blurred = [cv2.blur(values, (5, 5)) for values in (expected, luma)]
        assert np.abs(blurred[0] - blurred[1]).mean() < 2.5


def frame_luma(frame):
    """(H, W) float: brightness of studio range as full range."""
    grey = np.frombuffer(frame.planes[0], np.uint16 if "10le" in frame.format.name else np.uint8)
    grey = grey.reshape(frame.height, -1)[:, : frame.width].astype(float) / (4 if "10le" in frame.format.name else 1)
    return ((grey - 16) * 255 / 219).clip(0, 255)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p"])
def test_colours_of_every_bit_depth_are_those_of_the_definition(tmp_path, moving, pixel_format):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width = 96, 128
        stream.pix_fmt = pixel_format
        for index, pixels in enumerate(moving(3, 96, 128)):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
            frame.pts = index
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    with av.open(str(path)) as file:
        expected = np.stack([rgb_by_definition(frame) for frame in file.decode(video=0)])
    with VideoSource(str(path)) as source:
        got = source.read(range(3)).astype(float)
    assert np.abs(got - expected).mean() < 1.6


def rgb_by_definition(frame):
    """(H, W, 3) float RGB of BT.601 in studio range, chroma repeated."""
    scale = 4 if "10le" in frame.format.name else 1
    planes = []
    for plane in frame.planes:
        values = np.frombuffer(plane, np.uint16 if scale == 4 else np.uint8).reshape(plane.height, -1)
        values = values[:, : plane.width].astype(np.float32) / scale
        planes.append(cv2.resize(values, (frame.width, frame.height), interpolation=cv2.INTER_NEAREST))
    luma, blue, red = (planes[0] - 16) * 255 / 219, (planes[1] - 128) * 255 / 224, (planes[2] - 128) * 255 / 224
    rgb = [luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue]
    return np.stack(rgb, axis=-1).clip(0, 255)


@pytest.mark.parametrize("name", ["interlaced_h264.mp4", "interlaced_mpeg2.ts"])
def test_interlaced_files_from_the_field_are_read(case, name):
    with VideoSource(str(case(name))) as source:
        assert source.num_frames == 9
        assert np.allclose(source.read(range(9)).mean(axis=(0, 1, 2)), (92, 98, 63), atol=1)


def test_pixels_of_interlaced_frames_equal_those_of_the_same_progressive_frame():
    frame = yuv_frame()
    reader = PixelReader()
    plain = reader.plane(frame, "rgb24", channels=3).copy()
    for _ in range(2):
        assert np.array_equal(reader.plane(marked(frame), "rgb24", channels=3), plain)
    larger = yuv_frame(96, 32)  # the size may change on the way
    assert np.array_equal(
        reader.plane(marked(larger), "rgb24", channels=3), PixelReader().plane(larger, "rgb24", channels=3)
    )
    assert reader.orientation_of(marked(frame)) == 1


@pytest.mark.skipif(not hasattr(av.filter.Graph, "threads"), reason="PyAV 17 starts one")
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads of the process are counted in Linux's /proc")
def test_interlaced_frames_start_no_native_threads():
    reader, frame = PixelReader(), marked(yuv_frame())
    before = len(list(Path("/proc/self/task").iterdir()))
    reader.plane(frame, "rgb24", channels=3)
    assert len(list(Path("/proc/self/task").iterdir())) == before


@pytest.mark.parametrize(("number", "name"), [(8, "YCgCo"), (10, "BT.2020 constant luminance"), (14, "ICtCp")])
def test_a_matrix_that_cannot_be_converted_is_named(number, name):
    frame = yuv_frame()
    frame.colorspace = number
    for pixel_format, channels in (("rgb24", 3), ("gray", 1)):
        with pytest.raises(MediaError, match=rf"^colours in {name} are not supported$"):
            PixelReader().plane(frame, pixel_format, channels=channels)


def test_a_matrix_that_says_nothing_is_taken_as_unspecified():
    frame, reserved = yuv_frame(), yuv_frame()
    frame.colorspace, reserved.colorspace = 2, 3
    planes = [PixelReader().plane(one, "rgb24", channels=3) for one in (frame, reserved)]
    assert np.array_equal(*planes)


def test_a_matrix_from_the_field_is_named(case):
    with VideoSource(str(case("ycgco.mp4"))) as source, pytest.raises(MediaError, match="colours in YCgCo"):
        source.read([0])


def test_side_data_without_a_name_does_not_raise(case):
    assert sidedata.Type(9999).name == "TYPE_9999" and sidedata.Type(9999).value == 9999
    assert sidedata.Type(sidedata.Type.DISPLAYMATRIX.value) is sidedata.Type.DISPLAYMATRIX
    for name, num_frames in (("water_180_mvhevc_5frames.mov", 5), ("mjpeg_exif.avi", 3)):
        with VideoSource(str(case(name))) as source:
            assert source.read(range(source.num_frames), short_side=64).std() > 10
            assert source.num_frames == num_frames


def test_exif_in_the_frames_of_a_camera_is_passed_over(tmp_path, moving):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for index, pixels in enumerate(moving(4)):
            data = cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes()
            packet = av.Packet(data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:])
            packet.pts = packet.dts = index
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), stream, True
            file.mux(packet)
    with VideoSource(str(path)) as source:
        assert np.abs(source.read(range(4)).astype(int) - moving(4)).mean() < 12


def test_display_matrices_of_all_eight_orientations_are_told_apart():
    pixels = np.arange(6).reshape(2, 3)
    for orientation, (a, b, c, d) in MATRICES.items():
        shown = {}
        for y in range(2):
            for x in range(3):
                shown[a * x + c * y, b * x + d * y] = pixels[y, x]
        left, top = min(x for x, _ in shown), min(y for _, y in shown)
        turned = orient(np.repeat(pixels[..., None], 3, axis=2), orientation)[..., 0]
        for (x, y), value in shown.items():
            assert turned[y - top, x - left] == value, orientation
