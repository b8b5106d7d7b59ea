import base64

import cv2
import numpy as np
import pytest

from omnicli.media.video import VideoSource
from omnicli.stages.report.thumbnails import SHORT_SIDE, make_thumbnail
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter


def decode(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def write_image(path, height, width):
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2] = (10, 20, 200)  # BGR
    cv2.imwrite(str(path), image)
    return Record({"id": path.name, "path": str(path), "media": "image"})


@pytest.mark.parametrize(
    ("height", "width", "aspect"),
    [(480, 640, 4 / 3), (600, 600, 1), (300, 3000, 2.2), (3000, 300, 1 / 1.6), (40, 50, 1.25)],
)
def test_an_image_becomes_a_small_jpeg_of_its_shape(tmp_path, height, width, aspect):
    thumbnail = make_thumbnail(write_image(tmp_path / "a.png", height, width))
    image = decode(thumbnail.uri)
    assert thumbnail.aspect == pytest.approx(aspect, rel=0.03)
    assert image.shape[0] <= SHORT_SIDE
    assert image.shape[1] / image.shape[0] == pytest.approx(thumbnail.aspect)
    assert image[0, 0, 2] > 150 > image[-1, 0, 2]  # red above, grey below


@pytest.mark.parametrize("decimals", [3, 6])  # of a match, of a segmented video
def test_a_rounded_time_shows_the_frame_that_it_names(tmp_path, decimals):
    (tmp_path / "v").mkdir()
    for index, level in enumerate((20, 120, 220)):
        cv2.imwrite(str(tmp_path / "v" / f"img_{index:05d}.png"), np.full((32, 32, 3), level, np.uint8))
    record = Record({"id": "v", "path": str(tmp_path / "v"), "media": "frames", "fps": 3.0})
    shown = [decode(make_thumbnail(record, at_sec=round(index / 3, decimals)).uri).mean() for index in range(3)]
    assert shown == pytest.approx([20, 120, 220], abs=2)


def test_a_video_becomes_three_frames_side_by_side(world):
    video = next((world / "target/val").rglob("*.mp4"))
    thumbnail = make_thumbnail(Record({"id": "v", "path": str(video), "media": "video"}))
    image = decode(thumbnail.uri)
    assert thumbnail.num_frames == 3
    assert 1.5 < thumbnail.duration_sec < 2.6
    assert image.shape[1] == pytest.approx(3 * image.shape[0] * thumbnail.aspect, abs=3)
    left, middle, right = np.array_split(image.astype(int), 3, axis=1)
    assert np.abs(left - middle).max() > 30 and np.abs(middle - right).max() > 30


def test_the_moment_shown_is_the_frame_on_screen_then(world):
    video = next((world / "target/val").rglob("*.mp4"))
    with VideoSource(str(video)) as source:
        frame = source.read([25], short_side=120)[0]
    for at_sec in (1.0, 1.039):
        shown = decode(make_thumbnail(Record({"id": "v", "path": str(video)}), at_sec=at_sec).uri)[..., ::-1]
        neighbour = decode(make_thumbnail(Record({"id": "v", "path": str(video)}), at_sec=at_sec + 0.04).uri)[..., ::-1]
        error = np.abs(shown.astype(int) - frame).mean()
        assert error < 4 and error < np.abs(neighbour.astype(int) - frame).mean()


def test_one_moment_of_a_video_can_be_asked_for(world):
    video = next((world / "target/val").rglob("*.mp4"))
    record = Record({"id": "v", "path": str(video), "media": "video"})
    moments = [make_thumbnail(record, at_sec=at) for at in (0.0, 1.0, 1e9)]
    assert [moment.num_frames for moment in moments] == [1, 1, 1]
    assert len({moment.uri for moment in moments}) == 3


def test_flow_is_shown_as_colour_by_its_direction(tmp_path):
    hues = []
    for x in (20, 235):
        folder = tmp_path / str(x)
        folder.mkdir()
        cv2.imwrite(str(folder / "flow_x_00001.png"), np.full((40, 60), x, np.uint8))
        cv2.imwrite(str(folder / "flow_y_00001.png"), np.full((40, 60), 128, np.uint8))
        image = decode(make_thumbnail(Record({"id": "f", "path": str(folder), "media": "flow"})).uri)
        hues.append(image.reshape(-1, 3).mean(axis=0)[::-1])
    (left_red, _, left_blue), (right_red, _, right_blue) = hues
    assert left_blue > left_red + 100, "left is cyan"
    assert right_red > right_blue + 100, "right is red"


@pytest.mark.parametrize(
    ("name", "why"),
    [("truncated.jpg", "truncated"), ("empty.jpg", "empty"), ("404.jpg", "HTML"), ("gone.jpg", "no such")],
)
def test_what_cannot_be_read_says_why(world, name, why):
    thumbnail = make_thumbnail(Record({"id": name, "path": f"web/image/falling rain/{name}"}), root=str(world))
    assert thumbnail.uri == "" and why in thumbnail.why_not


def test_records_without_pixels_are_placeholders():
    assert make_thumbnail(Record({"id": "a"})).why_not == "no path"
    row = Record({"id": "a", "path": "x.h5", "row": 0, "media": "features"})
    assert make_thumbnail(row).why_not == "x.h5: no such file"


def test_a_row_of_features_is_shown_as_what_it_was_made_of(world, tmp_path):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    writer = ShardWriter(tmp_path, stage="features", kind="features", provenance={"backbone": "made"})
    for path in (video, tmp_path / "gone.jpg"):
        record = Record({"id": path.name, "path": str(path)})
        record.arrays = {"features": np.zeros((1, 2)), "times": np.zeros(1)}
        writer.add(record)
    writer.close()
    row, gone = read_shard(str(tmp_path / "00000.h5"))
    assert row["media"] == "features"
    plain = Record({"id": "v", "path": str(video)})
    assert make_thumbnail(row) == make_thumbnail(plain) != make_thumbnail(plain, at_sec=0.6)
    assert make_thumbnail(row, at_sec=0.6) == make_thumbnail(plain, at_sec=0.6)
    assert make_thumbnail(gone).why_not == "no such file"
