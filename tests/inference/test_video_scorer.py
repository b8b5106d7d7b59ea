"""Every time has the score of the frame on screen, exact to a frame, in any file."""

import dataclasses
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import ModelError
from omnicli.inference.device import pick_device
from omnicli.inference.video_sampling import VideoSampling, clip_intervals, wanted_clips, wanted_frames
from omnicli.inference.video_scorer import check_same_kind, score_videos
from omnicli.media.source import open_media
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


class Meter(torch.nn.Module):
    """Scores encode the brightness of a view, which is the frame number in this file's videos."""

    def __init__(self, *, is_2d=True, is_framewise=True):
        super().__init__()
        self.is_2d, self.is_framewise = is_2d, is_framewise
        self.average_views = "logits" if is_2d else "scores"
        self.shapes = set()

    def forward(self, clips):
        self.shapes.add(tuple(clips.shape[1:]))
        levels = clips.float().mean(dim=(1, 2, 3, 4))
        return torch.stack([levels / 25, torch.zeros_like(levels)], dim=1)


def meter(**kinds):
    spec = ModelSpec(
        name="meter", classes=("bright", "dark"), mean=(0.0,) * 3, std=(1.0,) * 3, short_side=16, crop_size=16,
        num_segments=3, num_frames=1 if kinds.get("is_2d", True) else 4, frame_interval=1,
    )  # fmt: skip
    return LoadedModel(
        network=Meter(**kinds), spec=spec, temperature=1.0, sha256="", name="meter.pth", device=pick_device("cpu"),
        precision=torch.float32,
    )  # fmt: skip


def levels(scores):
    """The brightness that the scores encode."""
    return 25 * np.log(scores[:, 0] / scores[:, 1])


def write_video(path, num_frames, *, gop=12, fps=25, stamps=None, rotation=None, container_options=None):
    """Write a lossless video whose frame i is grey with brightness i; ``stamps`` in milliseconds."""
    time_base = Fraction(1, 1000) if stamps is not None else Fraction(1, fps)
    with av.open(str(path), "w", container_options=container_options or {}) as file:
        stream = file.add_stream("libx264rgb", rate=fps, options={"crf": "0", "x264-params": "scenecut=0"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "rgb24"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, 0
        stream.codec_context.time_base = time_base
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), index, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index if stamps is None else stamps[index], time_base
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def never(record):
    return False


def score(records, models=None, *, skip=never, workers=2, **look):
    """({id: scored}, [(id, reason)]), in order."""
    dropped = []
    records = [record.derive() for record in records]
    for position, record in enumerate(records):
        record.position = position
    made = score_videos(
        records, models=models or [meter()], sampling=VideoSampling(**look), batch_size=5, workers=workers,
        skip=skip,
        on_drop=lambda record, reason: dropped.append((record["id"], reason)),
    )  # fmt: skip
    return {record["id"]: scored for record, scored in made}, dropped


def video(path, **fields):
    return Record({"id": str(fields.pop("id", path)), "path": str(path), "media": "video", **fields})


@pytest.mark.parametrize("gop", [1, 12, 250])
@pytest.mark.parametrize("fps", [1.0, 3.0, 25.0])
def test_frames_and_times_are_exact(tmp_path, gop, fps):
    film = write_video(tmp_path / "film.mp4", 110, gop=gop)
    [scored] = score([video(film)], fps=fps)[0].values()
    wanted = np.floor(np.arange(np.ceil(110 / 25 * fps - 1e-9)) * 25 / fps + 1e-6)
    np.testing.assert_allclose(scored.times_sec, wanted / 25, atol=1e-6)
    np.testing.assert_allclose(levels(scored.scores), wanted, atol=1e-3)


@given(steps=st.lists(st.integers(1, 1500), min_size=1, max_size=40))
def test_a_variable_rate_gives_the_frame_on_screen_at_each_second(tmp_path_factory, steps):
    stamps = np.concatenate([[0], np.cumsum(steps)])
    film = write_video(tmp_path_factory.mktemp("film") / "film.mkv", len(stamps), stamps=stamps.tolist())
    [scored] = score([video(film)])[0].values()
    with open_media(video(film)) as source:
        seconds = range(int(np.ceil(source.duration_sec - 1e-9)))
    on_screen = np.unique([np.flatnonzero(stamps <= 1000 * second).max() for second in seconds])
    np.testing.assert_allclose(scored.times_sec, stamps[on_screen] / 1000, atol=1e-3)
    np.testing.assert_allclose(levels(scored.scores), on_screen, atol=1e-3)


def test_rotated_and_single_frame_videos_are_scored(tmp_path):
    turned = write_video(tmp_path / "turned.mp4", 60, rotation=90)
    single = write_video(tmp_path / "single.mp4", 1)
    scored, dropped = score([video(turned, id="turned"), video(single, id="single")])
    assert dropped == []
    np.testing.assert_allclose(levels(scored["turned"].scores), [0, 25, 50], atol=1e-3)
    assert scored["single"].times_sec.tolist() == [0.0]


def test_a_video_without_duration_is_read_to_its_end(tmp_path):
    film = write_video(tmp_path / "live.mkv", 60, container_options={"live": "1"})
    with av.open(str(film)) as file:
        assert file.duration is None
    [scored] = score([video(film)])[0].values()
    np.testing.assert_allclose(levels(scored.scores), [0, 25, 50], atol=1e-3)


def test_the_readable_part_of_a_truncated_video_is_scored(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", 200, gop=10).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    [scored] = score([video(tmp_path / "cut.mkv")])[0].values()
    assert 2 <= len(scored.scores) < 8
    np.testing.assert_allclose(levels(scored.scores), 25 * np.arange(len(scored.scores)), atol=1e-3)


def test_unreadable_videos_are_dropped_in_order_and_images_are_skipped(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    film = write_video(tmp_path / "film.mp4", 30)
    with av.open(str(tmp_path / "song.mp4"), "w") as song:
        sound = song.add_stream("aac", rate=44100)
        sound.layout = "mono"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        song.mux(sound.encode(silence))
        song.mux(sound.encode(None))
    cv2.imwrite(str(tmp_path / "still.jpg"), np.zeros((20, 20, 3), np.uint8))
    with av.open(str(tmp_path / "headers.mp4"), "w") as headers:  # a video without frames
        headers.add_stream("libx264", rate=25).width = 32
        headers.start_encoding()
    names = ["film.mp4", "empty.mp4", "song.mp4", "gone.mp4", "still.jpg", "torn.mp4", "headers.mp4"]
    (tmp_path / "torn.mp4").write_bytes(film.read_bytes()[:200])
    records = [Record({"id": name, "path": str(tmp_path / name)}) for name in names]
    scored, dropped = score(
        [*records, Record({"id": "asked", "path": "never opened"})], skip=lambda r: r["id"] == "asked"
    )
    assert list(scored) == ["film.mp4", "still.jpg", "asked"]
    assert scored["still.jpg"] is scored["asked"] is None
    assert [name for name, _ in dropped] == ["empty.mp4", "song.mp4", "gone.mp4", "torn.mp4", "headers.mp4"]
    assert dropped[:3] == [
        ("empty.mp4", "unreadable: empty file"),
        ("song.mp4", "unreadable: no video stream"),
        ("gone.mp4", "unreadable: no such file"),
    ]


def test_a_part_is_scored_in_the_clock_of_the_file(tmp_path):
    film = write_video(tmp_path / "film.mp4", 200)
    [scored] = score([video(film, start_sec=2.0, end_sec=5.0)])[0].values()
    assert scored.times_sec.tolist() == [2.0, 3.0, 4.0]
    np.testing.assert_allclose(levels(scored.scores), [50, 75, 100], atol=1e-3)
    [clips] = score([video(film, start_sec=2.0, end_sec=5.0)], [meter(is_2d=False)], clip_sec=2)[0].values()
    assert clips.times_sec.tolist() == [[2.0, 4.0], [4.0, 5.0]]


def test_keyframes_replace_the_nearest_wanted_times_and_keep_their_own(tmp_path):
    film = write_video(tmp_path / "film.mp4", 100, gop=40)
    [scored] = score([video(film)], frames="keyframe")[0].values()
    assert scored.times_sec.tolist() == [0.0, 1.6, 3.2]
    np.testing.assert_allclose(levels(scored.scores), [0, 40, 80], atol=1e-3)


def test_packed_frames_are_scored_like_the_video(tmp_path):
    shards = ShardWriter(tmp_path, stage="pack", kind="frames", provenance={})
    record = Record({"id": "a"})
    frames = [cv2.imencode(".png", np.full((16, 32, 3), level, np.uint8))[1].tobytes() for level in range(100)]
    record.arrays = {"frames": frames, "times": np.arange(100) / 25, "span_sec": (0, 4)}
    row = shards.add(record)
    shards.close()
    for frames_option in ("exact", "keyframe"):
        [scored] = score([row], frames=frames_option)[0].values()
        assert scored.times_sec.tolist() == [0, 1, 2, 3]
        np.testing.assert_allclose(levels(scored.scores), [0, 25, 50, 75], atol=1e-3)


def test_a_clip_is_scored_by_its_own_frames_only(tmp_path):
    """The brightness lies between its first and last frame, and clips share no frame."""
    film = write_video(tmp_path / "film.mp4", 200)
    [scored] = score([video(film)], [meter(is_2d=False)], clip_sec=2.0, num_clips=3)[0].values()
    np.testing.assert_allclose(scored.times_sec, [[0, 2], [2, 4], [4, 6], [6, 8]])
    for (start, end), level in zip(scored.times_sec, levels(scored.scores), strict=True):
        assert start * 25 <= level < end * 25


def test_a_tsm_sees_a_frame_as_a_still_clip(tmp_path):
    teacher = meter(is_framewise=False)
    [scored] = score([video(write_video(tmp_path / "film.mp4", 50))], [teacher])[0].values()
    assert teacher.network.shapes == {(3, 3, 16, 16)}  # three segments
    np.testing.assert_allclose(levels(scored.scores), [0, 25], atol=1e-3)


def test_models_are_averaged_and_may_have_different_input_sizes(tmp_path):
    film = video(write_video(tmp_path / "film.mp4", 50))
    small = meter()
    small = dataclasses.replace(small, spec=dataclasses.replace(small.spec, short_side=8, crop_size=8), temperature=2.0)
    [one], [other], [both] = (
        score([film], teachers)[0].values() for teachers in ([meter()], [small], [meter(), small])
    )
    np.testing.assert_allclose(both.scores, (one.scores + other.scores) / 2)
    assert not np.allclose(one.scores, other.scores)


@pytest.mark.parametrize("workers", [1, 4])
def test_many_videos_keep_their_order_and_scores(tmp_path, workers):
    """Short videos finish before a long one, and wait for it."""
    lengths = [240, 3, 70, 1, 130, 26, 51]
    records = [video(write_video(tmp_path / f"{length}.mp4", length), id=length) for length in lengths]
    scored, _ = score(records, workers=workers)
    assert list(scored) == list(map(str, lengths))
    for length in lengths:
        np.testing.assert_allclose(levels(scored[str(length)].scores), np.arange(0, length, 25), atol=1e-3)


def test_an_input_error_is_raised_after_the_videos_before_it(tmp_path):
    film = video(write_video(tmp_path / "film.mp4", 240))
    records = [film, film.derive(media="features", id="odd"), film]
    for position, record in enumerate(records):
        record.position = position
    running = score_videos(
        records, models=[meter()], sampling=VideoSampling(), batch_size=5, workers=2, skip=never, on_drop=print
    )
    assert len(next(running)[1].scores) == 10
    with pytest.raises(Exception, match=r"odd.*row"):
        next(running)


def test_scores_that_are_not_finite_stop_the_run(tmp_path):
    teacher = dataclasses.replace(meter(), temperature=float("nan"))
    with pytest.raises(ModelError, match=r"scores of .*film\.mp4 are not finite"):
        score([video(write_video(tmp_path / "film.mp4", 30))], [teacher])


def test_models_of_both_kinds_are_refused():
    assert check_same_kind([meter(), meter()])
    assert not check_same_kind([meter(is_2d=False)])
    with pytest.raises(ModelError, match=r"meter\.pth is 2D, meter\.pth 3D"):
        check_same_kind([meter(), meter(is_2d=False)])


@given(start=st.floats(0, 100), duration=st.floats(0.01, 100), clip_sec=st.floats(0.5, 20))
def test_clips_are_contiguous_and_only_a_short_tail_is_omitted(start, duration, clip_sec):
    clips = clip_intervals(start, duration, clip_sec=clip_sec)
    lengths = [last - first for first, last in clips]
    left_out = duration - sum(lengths)
    assert -1e-5 <= left_out <= clip_sec / 2 + 1e-5
    assert all(abs(length - clip_sec) < 1e-5 for length in lengths[:-1])
    assert all(clip_sec / 2 - 1e-5 <= length <= clip_sec + 1e-5 for length in lengths[-1:])
    assert [first for first, _ in clips] == [round(start, 6), *(last for _, last in clips[:-1])][: len(clips)]


def test_wanted_frames_do_not_repeat_where_the_video_is_slower_than_the_rate(tmp_path):
    film = write_video(tmp_path / "slow.mkv", 4, stamps=[0, 3000, 6000, 9000])
    with open_media(video(film)) as source:
        assert wanted_frames(source, VideoSampling(fps=2.0)).tolist() == [0, 1, 2, 3]


def test_few_frames_that_claim_hours_are_scored_where_one_begins(tmp_path):
    film = write_video(tmp_path / "slow.mkv", 4, stamps=[0, 30_000_000, 30_001_000, 90_000_000])
    with open_media(video(film)) as source:
        clips = wanted_clips(source, clip_sec=10.0)
        assert clips == [(0.0, 10.0), (30_000.0, 30_010.0), (90_000.0, 90_010.0)]
        assert wanted_frames(source, VideoSampling(fps=2.0)).tolist() == [0, 1, 2, 3]
        assert wanted_frames(source, VideoSampling(fps=2.0, frames="keyframe")).tolist() == [0]
