import cv2
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media.frames import FramesSource, ImageSource, list_frames
from omnicli.media.resizing import resize_short_side, shrink


def write_frames(directory, frames, pattern="img_{:05d}.png", first=1):
    directory.mkdir(exist_ok=True)
    for number, frame in enumerate(frames, first):
        cv2.imwrite(str(directory / pattern.format(number)), frame[..., ::-1])
    return str(directory)


def test_frames_are_read_by_their_numbers_and_in_the_order_given(tmp_path, moving):
    frames = moving(12)
    directory = write_frames(tmp_path / "v", frames, pattern="{}.png")  # 10.png sorts before 2.png by name
    with FramesSource(list_frames(directory), fps=10) as source:
        assert (source.num_frames, source.fps, source.duration_sec) == (12, 10, 1.2)
        assert np.allclose(source.times, np.arange(12) / 10)
        assert (source.height, source.width) == (48, 64)
        assert np.array_equal(source.read([11, 0, 9, 0]), frames[[11, 0, 9, 0]])
        assert np.array_equal(source.read([3], short_side=20), resize_short_side(frames[[3]], 20))
        grey = [shrink(cv2.cvtColor(frames[index], cv2.COLOR_RGB2GRAY), 48) for index in (3, 9)]
        np.testing.assert_allclose(list(source.walk_grey([3, 9], size=48)), grey, atol=1)
        assert source.read([]).shape == (0, 0, 0, 3)
        with pytest.raises(IndexError, match="of 12"):
            source.read([12])


def test_flow_beside_the_frames_is_left_alone(tmp_path, moving):
    frames = moving(4)
    for pattern in ("flow_x_{:05d}.jpg", "flow_y_{:05d}.jpg", "img_{:05d}.png"):
        directory = write_frames(tmp_path / "v", frames, pattern)
    (tmp_path / "v" / "notes.txt").write_text("1")
    assert [path[-13:] for path in list_frames(directory)] == [f"img_0000{i}.png" for i in (1, 2, 3, 4)]
    flow = write_frames(tmp_path / "flow", frames, "flow_x_{:05d}.jpg")
    assert len(list_frames(flow)) == 4
    write_frames(tmp_path / "flow", frames, "flow_y_{:05d}.jpg")
    with pytest.raises(MediaError, match="several series of frames: flow_x_, flow_y_"):
        list_frames(flow)


def test_a_directory_without_frames_is_refused(tmp_path):
    with pytest.raises(MediaError, match="no numbered images"):
        FramesSource(list_frames(str(tmp_path)), fps=25)
    with pytest.raises(MediaError, match="no such file"):
        list_frames(str(tmp_path / "missing"))


def test_frames_of_another_size_are_stretched_to_the_first(tmp_path, moving):
    directory = write_frames(tmp_path / "v", moving(2))
    write_frames(tmp_path / "v", moving(1, 96, 80), first=3)
    with FramesSource(list_frames(directory), fps=25) as source:
        assert source.read([0, 2]).shape == (2, 48, 64, 3)


def test_a_broken_frame_is_a_media_error_only_when_it_is_read(tmp_path, moving):
    directory = write_frames(tmp_path / "v", moving(3))
    (tmp_path / "v" / "img_00002.png").write_bytes(b"")
    with FramesSource(list_frames(directory), fps=25) as source:
        assert source.read([0, 2]).shape == (2, 48, 64, 3)
        with pytest.raises(MediaError, match="empty file"):
            source.read([0, 1])


def test_an_image_is_a_video_of_one_frame(moving):
    frame = moving(1)[0]
    source = ImageSource(cv2.imencode(".png", frame[..., ::-1])[1].tobytes())
    assert (source.num_frames, source.fps, source.duration_sec, source.times.tolist()) == (1, 0, 0, [0])
    assert (source.height, source.width) == (48, 64)
    assert np.array_equal(source.read([0, 0]), [frame, frame])


def test_walking_gives_the_frames_one_by_one_in_the_size_of_the_first(tmp_path, moving):
    frames = moving(5)
    for index, frame in enumerate([*frames[:4], moving(1, 96, 128)[0]]):
        cv2.imwrite(str(tmp_path / f"img_{index}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    with FramesSource(list_frames(str(tmp_path)), fps=25) as source:
        assert source.keyframes.tolist() == [0, 1, 2, 3, 4]
        walked = list(source.walk([1, 3, 4]))
        np.testing.assert_array_equal(np.stack([pixels for _, pixels in walked]), source.read([1, 3, 4]))
        assert [index for index, _ in walked] == [1, 3, 4]
        assert [pixels.shape for _, pixels in source.walk([0, 4], short_side=24)] == [(24, 32, 3)] * 2
        with pytest.raises(IndexError, match="frames 5 to 5 of 5"):
            next(source.walk([5]))
