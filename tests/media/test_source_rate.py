"""Frame intervals mean source frames, also where frames were left out in packing."""

from functools import partial

import cv2
import numpy as np
import pytest

from omnicli.data.frame_sampling import clip_indices_test, clip_indices_train
from omnicli.data.training_clips import Augmentation, read_training_clip
from omnicli.errors import InputError
from omnicli.media.source import open_media
from omnicli.media.source_rate import clip_frames, consecutive_pairs, frame_spacing, source_rate
from omnicli.stages.inflate.fit import fit_motion
from omnicli.stages.pack import PackOptions, pack_record
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter

RATE, NUM_FRAMES = 25.0, 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """100 frames at 25 per second; the level of a frame is twice its number."""
    path = tmp_path_factory.mktemp("frames")
    for index in range(NUM_FRAMES):
        cv2.imwrite(str(path / f"img_{index:05d}.png"), np.full((32, 32, 3), 2 * index, np.uint8))
    return path


def packed(folder, tmp_path, packing, **fields):
    record = Record(
        {"id": "v", "path": str(folder), "media": "frames", "fps": RATE, **fields}, origin="w.jsonl", line=2
    )
    shards = ShardWriter(tmp_path, stage="pack", kind="frames", provenance={})
    row = shards.add(pack_record(record, packing))
    shards.close()
    return row


def shown(source, indices):
    """Numbers of the source's frames."""
    return np.round(np.asarray(source.times)[indices] * RATE).astype(int)


def test_complete_rows_do_not_say_a_rate_and_are_sampled_as_before(folder, tmp_path):
    row = packed(folder, tmp_path, PackOptions())
    assert "source_fps" not in row
    with open_media(row) as source:
        choose = partial(clip_indices_test, num_clips=3, clip_frames=4, frame_interval=8)
        assert (source_rate(source), frame_spacing(source), consecutive_pairs(source, where="")) == (None, 1.0, None)
        assert (clip_frames(source, choose, frame_interval=8, where="") == choose(NUM_FRAMES)).all()


@pytest.mark.parametrize("packing", [PackOptions(fps=12.5), PackOptions(fps=6.25), PackOptions(max_frames=25)])
def test_test_clips_show_the_source_frames_that_the_video_would_show(folder, tmp_path, packing):
    row = packed(folder, tmp_path, packing)
    assert row["source_fps"] == RATE
    choose = partial(clip_indices_test, num_clips=3, clip_frames=4, frame_interval=8)
    with open_media(row) as source:
        found = shown(source, clip_frames(source, choose, frame_interval=8, where=""))
        assert np.abs(found - choose(NUM_FRAMES)).max() < frame_spacing(source) + 1
        steps = np.diff(found, axis=1)
        assert (steps[1:] == 8).all(), "8 source frames apart"
        assert abs(steps[0] - 8).max() <= frame_spacing(source), "but for frames before the first that was kept"


def test_training_clips_span_as_much_time_as_those_of_the_video(folder, tmp_path):
    row = packed(folder, tmp_path, PackOptions(fps=12.5, quality=100))
    look = Augmentation(num_segments=1, num_frames=4, frame_interval=4, short_side=32, crop_size=32, min_area=1.0)
    for epoch in range(10):
        numbers = read_training_clip(row, look, epoch=epoch)[:, 0, 0, 0] / 2
        np.testing.assert_allclose(np.diff(numbers), 4, atol=1)


def test_frames_that_are_too_far_apart_are_refused_with_the_rate_to_pack_at(folder, tmp_path):
    row = packed(folder, tmp_path, PackOptions(fps=5))
    draw = partial(clip_indices_train, num_clips=1, clip_frames=4, frame_interval=2, rng=np.random.default_rng(0))
    with open_media(row) as source, pytest.raises(InputError) as caught:
        clip_frames(source, draw, frame_interval=2, where="w.jsonl:2")
    assert str(caught.value) == (
        "w.jsonl:2: packed at 5 of 25 frames per second, and the frames of a clip are 2 source frames apart; pack at "
        "--fps 12.5 or more, without --max-frames"
    )


def test_motion_is_fitted_to_steps_of_the_source_only(folder, tmp_path):
    row = packed(folder, tmp_path, PackOptions(fps=12.5))
    with pytest.raises(InputError, match=r"w\.jsonl:2: packed at 12\.5 of 25 frames per second, so that steps between"):
        fit_motion([row], on_drop=pytest.fail)
    clips = packed(folder, tmp_path, PackOptions(), positive_clips=[[0.4, 0.6], [1.2, 1.6]])
    with open_media(clips) as source:
        assert np.flatnonzero(~consecutive_pairs(source, where="")).tolist() == [4], "but for the cut between clips"


def test_a_part_of_a_row_and_a_row_packed_again_keep_the_rate(folder, tmp_path):
    row = packed(folder, tmp_path, PackOptions(fps=12.5))
    with open_media(row.derive(start_sec=1.0, end_sec=3.0)) as part:
        choose = partial(clip_indices_test, num_clips=1, clip_frames=4, frame_interval=8)
        assert np.diff(shown(part, clip_frames(part, choose, frame_interval=8, where=""))).tolist() == [[8, 8, 8]]
    again = pack_record(row, PackOptions(fps=6.25))
    assert again["source_fps"] == RATE
