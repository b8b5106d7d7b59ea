"""Which frames and clips of a video are scored."""

import numpy as np
import pytest

from omnicli.errors import InputError
from omnicli.inference.video_sampling import VideoSampling, wanted_clips, wanted_frames
from omnicli.streams.record import Record


class Film:
    """A video of 25 frames per second."""

    def __init__(self, seconds: float):
        self.num_frames = int(seconds * 25)
        self.times = np.arange(self.num_frames) / 25
        self.start_sec, self.duration_sec = 0.0, seconds
        self.keyframes = np.arange(0, self.num_frames, 50)


def test_without_the_labelled_seconds_the_rest_is_cut_on_its_own():
    film = Film(95.0)
    clips = wanted_clips(film, clip_sec=10.0, without=(23.0, 33.0))
    assert clips[:3] == [(0.0, 10.0), (10.0, 20.0), (33.0, 43.0)], "3 s before the label are under half a clip"
    assert clips[-1] == (83.0, 93.0)
    assert wanted_clips(film, clip_sec=10.0, without=(0.0, 10.0))[0] == (10.0, 20.0)
    assert wanted_clips(film, clip_sec=10.0, without=(85.0, 200.0))[-1] == (80.0, 85.0)
    assert wanted_clips(film, clip_sec=10.0, without=(0.0, 99.0)) == []
    assert wanted_clips(film, clip_sec=10.0) == [(10.0 * i, 10.0 * i + 10) for i in range(9)] + [(90.0, 95.0)]


@pytest.mark.parametrize("frames", ["exact", "keyframe"])
def test_without_the_labelled_seconds_no_frame_is_from_there(frames):
    film, sampling = Film(40.0), VideoSampling(frames=frames)
    seconds = film.times[wanted_frames(film, sampling, (10.0, 20.0))]
    assert not ((seconds >= 10) & (seconds < 20)).any()
    every = film.times[wanted_frames(film, sampling)]
    assert seconds.tolist() == [second for second in every if not 10 <= second < 20]
    assert len(wanted_frames(film, sampling, (0.0, 50.0))) == 0


def test_only_records_that_know_their_labelled_seconds_can_be_cut():
    record = Record({"id": "v"}, origin="raw.jsonl", line=3)
    assert VideoSampling().left_out(record) is None
    cutting = VideoSampling(cut_labelled=True)
    assert cutting.left_out(record.derive(labelled_sec=[2.0, 12.0])) == (2.0, 12.0)
    with pytest.raises(InputError, match=r"raw\.jsonl:3: no field 'labelled_sec', which --cut-labelled leaves out"):
        cutting.left_out(record)
