"""Flow of other programs opens like that of omni."""

import cv2
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.media.flow_pixels import to_levels
from omnicli.media.source import open_media, open_modality
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record


def levels(num_pairs=5, height=24, width=32):
    small = np.random.default_rng(0).integers(0, 256, (num_pairs, 2, 3, 4), np.uint8)
    return np.stack([[cv2.resize(axis, (width, height)) for axis in pair] for pair in small])  # (T, 2, H, W)


def write_images(folder, prefix, suffix=".png"):
    folder.mkdir()
    for index, pair in enumerate(levels(), start=1):
        for axis, image in zip("xy", pair, strict=True):
            cv2.imwrite(str(folder / f"{prefix}{axis}_{index:05d}{suffix}"), image)
    return folder


def never(record, reason):
    raise AssertionError(reason)


def read_all(record):
    with open_media(record, flow=True) as source:
        assert (source.height, source.width) == (24, 32)
        return source.read(range(source.num_frames))


@pytest.mark.parametrize("prefix", ["flow_", ""])
def test_a_folder_of_images_is_flow_without_being_told(tmp_path, prefix):
    [record] = read_records([str(write_images(tmp_path / "v", prefix))], frames=True, on_drop=never)
    assert (record["media"], record["num_frames"]) == ("flow", 5)
    frames = read_all(record)
    np.testing.assert_array_equal(frames[..., :2], levels().transpose(0, 2, 3, 1))
    assert (frames[..., 2] == 128).all()


def test_flow_beside_the_frames_is_found_by_its_name(tmp_path):
    """As mmaction2 extracts them; its lists count the frames, one more than the flow."""
    folder = write_images(tmp_path / "v", "flow_")
    for index in range(1, 7):
        cv2.imwrite(str(folder / f"img_{index:05d}.png"), np.zeros((24, 32, 3), np.uint8))
    assert len(read_all(Record({"path": str(folder), "media": "flow", "num_frames": 6}))) == 5
    assert read_all(Record({"path": str(folder), "media": "frames"})).max() == 0
    with pytest.raises(MediaError, match="flow of 7 frames expected, 5 found"):
        open_media(Record({"path": str(folder), "media": "flow", "num_frames": 7}), flow=True)


@pytest.mark.parametrize("layout", ["last", "first"])
@pytest.mark.parametrize("whole", [True, False])
def test_arrays_are_pixels(tmp_path, layout, whole):
    flow = np.random.default_rng(0).uniform(-25, 25, (5, 24, 32, 2)).astype(np.float32)
    stored = flow if layout == "last" else flow.transpose(0, 3, 1, 2)
    if whole:
        np.save(tmp_path / "a.npy", stored)
        [record] = read_records([str(tmp_path / "a.npy")], on_drop=never)
    else:
        for index, pair in enumerate(stored):
            np.save(tmp_path / f"flow_{index:04d}.npy", pair)
        record = Record({"path": str(tmp_path), "media": "flow"})
    assert record["media"] == "flow"
    np.testing.assert_array_equal(read_all(record)[..., :2], to_levels(flow))


def test_what_is_no_flow_is_bad_media(tmp_path):
    folder = write_images(tmp_path / "v", "flow_")
    (folder / "flow_y_00003.png").unlink()
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "features.npy", np.zeros((7, 512)))
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr'")
    (tmp_path / "empty").mkdir()
    for name, why in {
        "v": "flow 3 has only one axis", "objects.npy": "not an array of numbers", "features.npy": "not optical flow",
        "cut.npy": "not an array of numbers", "empty": "no optical flow", "gone": "no such file",
    }.items():  # fmt: skip
        with pytest.raises(MediaError, match=why):
            open_media(Record({"path": str(tmp_path / name), "media": "flow"}), flow=True)


def test_the_axes_must_have_one_size(tmp_path):
    folder = write_images(tmp_path / "v", "")
    cv2.imwrite(str(folder / "y_00001.png"), np.zeros((12, 16), np.uint8))
    with pytest.raises(MediaError, match="32 x 24 pixels in x and 16 x 12 in y"):
        read_all(Record({"path": str(folder), "media": "flow"}))


def test_a_model_of_flow_opens_the_flow_beside_frames_and_refuses_rgb(tmp_path):
    folder = write_images(tmp_path / "v", "flow_")
    cv2.imwrite(str(folder / "img_00001.png"), np.zeros((24, 32, 3), np.uint8))
    for record in ({"path": str(folder), "media": "frames"}, {"path": str(folder)}):
        with open_modality(Record(record), is_flow=True) as source:
            assert (source.read([0])[..., 2] == 128).all()
        with open_modality(Record(record), is_flow=False) as source:
            assert source.read([0]).max() == 0
    for media, why in (("video", "RGB, and the model takes optical flow"), (None, "no optical flow, such as flow_x_")):
        with pytest.raises(MediaError, match=why):
            open_modality(Record({"path": str(folder / "img_00001.png"), "media": media}), is_flow=True)


def test_flow_is_no_rgb(tmp_path):
    """A model of RGB frames scored flow as images, without a word."""
    with pytest.raises(MediaError, match="takes a model of flow"):
        open_media(Record({"path": str(tmp_path), "media": "flow"}))
