"""Flow is what the method computes, survives storage, and keeps the times of the video."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from made_damage import write_damaged_video
from moving_world import moving_frames, true_flow

from omnicli.errors import InputError
from omnicli.media.flow_pixels import mirror_flow, to_levels, to_pixels
from omnicli.media.source import open_media
from omnicli.stages.flow import FlowOptions, dis_flow, flow_record, flow_records
from omnicli.stages.pack import PackOptions, pack_record
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import open_shard
from omnicli.streams.shards.writer import ShardWriter

TURN = 1.0  # degrees a frame


def write_frames(folder, frames):
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"img_{index:05d}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    return Record({"id": folder.name, "path": str(folder), "media": "frames"})


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_frames(tmp_path_factory.mktemp("flow") / "a", moving_frames(6, turn=TURN))


def through_shard(folder, record, kind="flow"):
    shards = ShardWriter(folder, stage=kind, kind=kind, provenance={"bound": 20.0})
    row = shards.add(record)
    shards.close()
    return row


def never(record, reason):
    raise AssertionError(reason)


def computed(frames):
    return np.stack(list(dis_flow(iter(frames))))


def end_point_error(one, other):
    return float(np.linalg.norm(one - other, axis=-1).mean())


def test_known_motion_is_found_to_half_a_pixel_and_stored_to_a_tenth(video, tmp_path):
    row = through_shard(tmp_path, flow_record(video, dis_flow, FlowOptions()))
    frames = moving_frames(6, turn=TURN)
    truth = np.stack([true_flow(index, turn=TURN) for index in range(5)])
    inside = np.s_[:, 8:-8, 8:-8]
    with open_media(row, flow=True) as source:
        stored = to_pixels(source.read(range(5))[..., :2])
    assert end_point_error(stored, computed(frames)) < 0.1
    assert end_point_error(stored[inside], truth[inside]) < 0.5
    assert open_shard(row["path"]).attributes["bound"] == 20.0


def test_a_mirrored_video_has_the_mirrored_flow_with_x_negated():
    frames = moving_frames(3, turn=TURN)
    flow, mirrored = computed(frames), computed(frames[:, :, ::-1].copy())
    assert np.abs(flow[..., 0].mean()) > 2
    assert end_point_error(mirrored * [-1, 1], flow[:, :, ::-1]) < 0.2
    levels = np.concatenate([to_levels(flow), np.full((*flow.shape[:3], 1), 128, np.uint8)], axis=-1)
    assert end_point_error(to_pixels(mirror_flow(levels))[..., :2], mirrored) < 0.25


def test_a_pair_has_the_time_of_its_first_frame(video, tmp_path):
    part = Record({**video, "start_sec": 0.04, "end_sec": 0.2})
    row = through_shard(tmp_path, flow_record(part, dis_flow, FlowOptions(short_side=64)))
    shown = {name: row[name] for name in ("media", "width", "height", "num_frames", "fps", "duration_sec")}
    assert shown == {"media": "flow", "width": 80, "height": 64, "num_frames": 3, "fps": 25.0, "duration_sec": 0.12}
    with open_media(row, flow=True) as source:
        np.testing.assert_allclose(source.times, [0.04, 0.08, 0.12])
        assert (source.num_frames, source.height, source.width) == (3, 64, 80)
        assert source.read([2, 0], short_side=32).shape == (2, 32, 40, 3)


def test_packed_frames_have_the_flow_of_the_video_if_none_is_left_out(video, tmp_path):
    packed = through_shard(tmp_path / "p", pack_record(video, PackOptions(quality=100)), kind="frames")
    row = through_shard(tmp_path / "f", flow_record(packed, dis_flow, FlowOptions()))
    assert row["num_frames"] == 5
    sparse = through_shard(tmp_path / "s", pack_record(video, PackOptions(fps=5)), kind="frames")
    with pytest.raises(InputError, match=r"packed at .* of 25 frames per second"):
        flow_record(sparse, dis_flow, FlowOptions())


def test_frames_that_do_not_decode_leave_out_the_pairs_that_need_them(tmp_path):
    path = write_damaged_video(tmp_path / "damaged.mp4", num_frames=70, damaged=range(56, 58))  # and up to 60
    record = Record({"id": "a", "path": str(path), "media": "video"})
    row = through_shard(tmp_path / "shards", flow_record(record, dis_flow, FlowOptions(short_side=32)))
    assert (row["num_frames"], row["source_fps"], record.missing_frames) == (64, 25.0, 4)
    with open_media(row, flow=True) as source, open_media(record) as video:
        np.testing.assert_allclose(source.times, video.times[[*range(55), *range(60, 69)]])


def test_what_does_not_move_or_cannot_be_read_leaves_in_its_place(video, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((32, 32, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "b.jpg"), np.zeros((32, 32, 3), np.uint8))
    records = [
        Record({"id": "image", "path": str(tmp_path / "a.jpg"), "media": "image"}, position=0),
        Record({**video}, position=1),
        Record({"id": "empty", "path": str(tmp_path / "empty.mp4")}, position=2),
        Record({"id": "flow", "path": "x.h5", "row": 0, "media": "flow"}, position=3),
        Record({"id": "one", **video, "end_sec": 0.03}, position=4),
    ]
    left = []
    kept = flow_records(
        records, compute=dis_flow, options=FlowOptions(), workers=2, on_drop=lambda *one: left.append(one)
    )
    assert [record["id"] for record in kept] == ["a"]
    assert [(record.position, reason) for record, reason in left] == [
        (0, "unreadable: a single frame has no flow"),
        (2, "unreadable: empty file"),
        (3, "unreadable: optical flow already"),
        (4, "unreadable: a single frame has no flow"),
    ]


@pytest.mark.parametrize(("height", "width"), [(32, 42), (45, 41), (6, 200)])
def test_small_frames_have_the_same_flow_whatever_was_computed_before(height, width):
    frames = moving_frames(2, height=height, width=width)
    alone = run_in_new_thread(frames)
    other = moving_frames(3, height=height, width=width, shift=(-5.0, 4.0), turn=9.0)[::2]
    for _ in range(3):
        computed(other)
        np.testing.assert_array_equal(computed(frames), alone)


def run_in_new_thread(frames):
    """With an object of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(computed, frames).result()


def test_tiny_frames_are_no_crash(tmp_path):
    record = write_frames(tmp_path / "tiny", moving_frames(3)[:, :4, :6])
    [kept] = flow_records([record], compute=dis_flow, options=FlowOptions(), workers=1, on_drop=never)
    assert (kept["height"], kept["width"], kept["num_frames"]) == (4, 6, 2)
