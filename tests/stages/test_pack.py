"""Packed frames are the frames of the media, at the times of the original file."""

import shutil

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import MediaError
from omnicli.media.frame_times import frames_at_rate
from omnicli.media.source import open_media
from omnicli.motion.camera import draw_path, make_recipe
from omnicli.motion.homography import STILL, Gaussian
from omnicli.stages.pack import PackOptions, pack_record, pack_records, packed_side, packed_stage
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def film(num_frames=50, height=48, width=64):
    """Smooth moving images: JPEG changes them little."""
    small = np.random.default_rng(0).integers(0, 256, (num_frames, 3, 4, 3), np.uint8)
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC) for frame in small])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fifty numbered images, 25 a second: every frame is known."""
    path = tmp_path_factory.mktemp("frames")
    for index, frame in enumerate(film()):
        cv2.imwrite(str(path / f"img_{index:05d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return path


def frames_record(folder, **fields):
    return Record({"id": "a", "path": str(folder), "media": "frames", **fields})


def through_shard(tmp_path, record):
    shards = ShardWriter(tmp_path, stage="pack", kind="frames", provenance={})
    row = shards.add(record)
    shards.close()
    return row


def test_every_frame_is_there_but_for_what_jpeg_takes(folder, tmp_path):
    row = through_shard(tmp_path, pack_record(frames_record(folder), PackOptions(quality=95)))
    with open_media(row) as source:
        read = source.read(range(50))
    assert np.abs(read.astype(int) - film()).mean() < 4
    facts = {name: row[name] for name in ("media", "width", "height", "num_frames", "fps", "duration_sec", "id")}
    assert facts == {
        "media": "clip", "width": 64, "height": 48, "num_frames": 50, "fps": 25.0, "duration_sec": 2.0, "id": "a",
    }  # fmt: skip


@pytest.mark.parametrize(("short_side", "size"), [(24, (24, 32)), (48, (48, 64)), (256, (48, 64))])
def test_frames_are_resized_and_never_enlarged(folder, tmp_path, short_side, size):
    row = through_shard(tmp_path, pack_record(frames_record(folder), PackOptions(short_side=short_side)))
    with open_media(row) as source:
        assert (source.height, source.width) == size == (row["height"], row["width"])


def test_quality_is_that_of_the_files(folder):
    sizes = [
        sum(map(len, pack_record(frames_record(folder), PackOptions(quality=quality)).arrays["frames"]))
        for quality in (30, 60, 95)
    ]
    assert sizes == sorted(sizes)
    assert sizes[2] > 1.5 * sizes[0]


@given(
    start=st.integers(0, 47),
    length=st.integers(1, 60),
    fps=st.sampled_from([None, 1.0, 3.0, 25.0, 60.0]),
    max_frames=st.sampled_from([None, 1, 4, 1000]),
)
def test_a_packed_part_opens_as_the_part_it_was(folder, tmp_path_factory, start, length, fps, max_frames):
    """start_sec and end_sec are still there and still mean the same; times are those of the original file."""
    start_sec, end_sec = (start + 0.3) / 25, (start + 0.3 + length * 0.7) / 25
    record = frames_record(folder, start_sec=start_sec, end_sec=end_sec)
    row = through_shard(
        tmp_path_factory.mktemp("part"), pack_record(record, PackOptions(fps=fps, max_frames=max_frames, short_side=8))
    )
    with open_media(record) as part, open_media(row) as packed:
        assert 1 <= packed.num_frames <= (max_frames or 50)
        if fps is None and max_frames is None:
            assert packed.num_frames == part.num_frames
        assert np.isin(packed.times, part.times).all()
        assert packed.duration_sec == pytest.approx(part.duration_sec, abs=1e-5)
        if fps is not None and max_frames is None:  # as segment and features look at it
            wanted = np.unique(frames_at_rate(part.times, part.duration_sec, fps=fps))
            np.testing.assert_array_equal(packed.times, part.times[wanted])


@given(positive=st.sets(st.integers(0, 49), min_size=1), negative=st.sets(st.integers(0, 49)))
def test_judged_frames_are_all_that_is_packed_and_are_found_by_their_times(
    folder, tmp_path_factory, positive, negative
):
    record = frames_record(
        folder, positive_sec=[i / 25 for i in positive], negative_sec=[i / 25 for i in negative - positive]
    )
    packing = PackOptions(fps=1.0, max_frames=1)
    row = through_shard(tmp_path_factory.mktemp("judged"), pack_record(record, packing))
    with open_media(row) as source:
        np.testing.assert_array_equal(np.round(source.times * 25), sorted(positive | negative))


@pytest.mark.parametrize("named", [{"media": "image"}, {}, {"media": "video"}])  # a crawl often says it wrong
def test_an_image_stays_an_image(tmp_path, named):
    cv2.imwrite(str(tmp_path / "a.jpg"), film(1, 300, 400)[0])
    row = through_shard(
        tmp_path / "shards", pack_record(Record({"path": str(tmp_path / "a.jpg"), **named}), PackOptions())
    )
    assert (row["media"], row["width"], row["height"]) == ("image", 341, 256)
    assert "fps" not in row
    with open_media(row) as source:
        assert (source.num_frames, source.duration_sec) == (1, 0.0)
    moving = pack_record(
        Record({"path": str(tmp_path / "a.jpg"), **named}), PackOptions(short_side=100, for_camera=True)
    )
    assert moving["height"] == 145


def test_a_row_can_be_packed_again(folder, tmp_path):
    row = through_shard(tmp_path / "one", pack_record(frames_record(folder), PackOptions()))
    again = through_shard(tmp_path / "two", pack_record(row, PackOptions(short_side=24, fps=5)))
    assert (again["id"], again["num_frames"], again["height"]) == ("a", 10, 24)
    with open_media(again) as source:
        np.testing.assert_allclose(source.times, np.arange(10) / 5, atol=0.0401)


def test_what_cannot_be_read_leaves_with_its_reason_in_its_place(folder, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    records = [
        frames_record(folder, id="good"),
        Record({"id": "empty", "path": str(tmp_path / "empty.mp4")}, position=1),
        Record({"id": "gone", "path": str(tmp_path / "gone.mp4")}, position=2),
        Record({**frames_record(folder), "id": "late", "start_sec": 99.0}, position=3),
    ]
    left = []
    kept = list(pack_records(records, packing=PackOptions(), workers=2, on_drop=lambda *leaving: left.append(leaving)))
    assert [record["id"] for record in kept] == ["good"]
    assert [(record["id"], reason) for record, reason in left] == [
        ("empty", "unreadable: empty file"),
        ("gone", "unreadable: no such file"),
        ("late", "unreadable: 99 s is not before the end at 2 s"),
    ]


def test_a_frame_too_wide_for_a_jpeg_is_bad_media(tmp_path):
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((1, 70_000, 3), np.uint8))
    with pytest.raises(MediaError, match="70000 x 1 pixels do not fit a JPEG"):
        pack_record(Record({"id": "wide", "path": str(tmp_path / "wide.png")}), PackOptions())


def cuts_in_two(records, on_drop):
    """A stage: "doubtful" leaves, an image passes, the rest becomes two pieces."""
    for record in records:
        if record.get("doubtful"):
            on_drop(record, "no positive")
        elif record.get("media") == "image":
            yield record
        else:
            for start in (0.0, 1.0):
                yield record.derive(id=f"{record['id']}#{start:g}", start_sec=start, end_sec=start + 1)


@given(kinds=st.lists(st.sampled_from(["good", "broken", "gone", "doubtful", "image"]), max_size=8))
def test_a_stage_and_its_packing_keep_the_order_and_lose_nobody(folder, broken, kinds):
    """A video one of whose pieces does not decode leaves whole, once, in its place."""
    fields: dict[str, dict] = {
        "good": {"path": str(folder), "media": "frames"},
        "broken": {"path": str(broken), "media": "frames"},
        "gone": {"path": "gone.mp4"},
        "doubtful": {"path": "gone.mp4", "doubtful": True},
        "image": {"path": "gone.jpg", "media": "image"},
    }
    records = [Record({"id": f"{kind}{n}", **fields[kind]}, position=n) for n, kind in enumerate(kinds)]
    events = []
    stage = packed_stage(
        cuts_in_two, packing=PackOptions(short_side=8), workers=2, passes=lambda record: record.get("media") == "image"
    )
    for record in stage(records, lambda record, reason: events.append((record.position, reason))):
        events.append((record.position, "packed" if record.arrays else "as it was"))
    outcomes = {
        "good": ["packed", "packed"],
        "broken": ["unreadable: PNG does not decode"],
        "gone": ["unreadable: no such file"],
        "doubtful": ["no positive"],
        "image": ["as it was"],
    }
    assert events == [(n, outcome) for n, kind in enumerate(kinds) for outcome in outcomes[kind]]


@pytest.fixture(scope="module")
def broken(folder, tmp_path_factory):
    """The folder of frames with one that does not decode, in its second half."""
    path = tmp_path_factory.mktemp("broken") / "frames"
    shutil.copytree(folder, path)
    data = bytearray((path / "img_00040.png").read_bytes())
    data[60:-30] = bytes(len(data) - 90)
    (path / "img_00040.png").write_bytes(data)
    return path


def test_of_a_video_with_positive_clips_only_these_are_packed(folder, tmp_path):
    record = frames_record(folder, fps=25.0, positive_clips=[[0.4, 0.6], [1.2, 1.6]])
    row = through_shard(tmp_path, pack_record(record, PackOptions()))
    with open_media(row) as source:
        assert source.times.tolist() == [index / 25 for index in (10, 11, 12, 13, 14, *range(30, 40))]
    with open_media(row.derive(start_sec=1.2, end_sec=1.6)) as clip:
        assert clip.num_frames == 10, "a clip is drawn from the packed row as from the video"


def test_images_under_a_moving_camera_keep_room_to_move(tmp_path):
    """No crop of any draw is enlarged by more than 1.15."""
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(film(1)[0], (900, 600)))
    strong = Gaussian(STILL.copy(), np.diag(np.full(8, 1.2e-4)))
    moving, still = make_recipe("perspective-agnostic", strong, seed=0), make_recipe("still", None, seed=0)
    image = Record({"id": "a", "path": str(tmp_path / "a.png"), "media": "image"})

    def side(*, for_camera=False, **fields):
        packing = PackOptions(short_side=128, for_camera=for_camera)
        folder = tmp_path / f"{for_camera}{fields.get('inflation', {}).get('mode')}"
        with open_media(through_shard(folder, pack_record(image.derive(**fields), packing))) as source:
            return source.height

    assert side() == side(inflation=still) == side(inflation=still, for_camera=True) == 128
    assert side(for_camera=True) == side(inflation=moving)
    shape = {"aspect": 1.5, "num_frames": 8, "frame_interval": 8}
    scales = [draw_path(image.derive(inflation=moving), **shape, epoch=epoch).scale for epoch in range(100)]
    assert min(scales) < 0.65, "a motion that is strong enough to test"
    assert max(int(128 / scale + 0.5) for scale in scales) <= 1.15 * side(inflation=moving)
    assert packed_side(image.derive(inflation=moving), PackOptions()) == 372
