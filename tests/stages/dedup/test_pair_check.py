"""Suspects are decoded again: copies are verified, look-alikes are not, and what cannot be read says why."""

from collections import Counter
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from omnicli.errors import MediaError
from omnicli.stages.dedup import pair_check
from omnicli.stages.dedup.pair_check import PairCheck, Suspicion, count_checks, describe_checks
from omnicli.streams.record import Record


def scene(seed):
    """(240, 320, 3) uint8: random shapes."""
    rng = np.random.default_rng(seed)
    image = np.full((240, 320, 3), 120, np.uint8)
    for _ in range(60):
        centre = (int(rng.integers(320)), int(rng.integers(240)))
        cv2.circle(image, centre, int(rng.integers(4, 25)), [int(value) for value in rng.integers(0, 256, 3)], -1)
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """a.jpg and b.jpg; half.jpg is a.jpg at half size; video.mp4 shows b for a second, then a."""
    root = tmp_path_factory.mktemp("pairs")
    first, second = scene(1), scene(2)
    for name, image in (("a", first), ("b", second), ("half", cv2.resize(first, (160, 120)))):
        cv2.imwrite(str(root / f"{name}.jpg"), image[:, :, ::-1])
    with av.open(str(root / "video.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(10), options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in [second] * 10 + [first] * 10:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        file.mux(stream.encode(None))
    return root


def suspicion(record, target, *times):
    return Suspicion(Record({"id": record, "path": record}), Record({"id": target, "path": target}), times or [(0, 0)])


def test_copies_and_look_alikes_are_told_apart_in_order(folder):
    check = PairCheck(str(folder), workers=2).check
    copy, other = check([suspicion("half.jpg", "a.jpg"), suspicion("b.jpg", "a.jpg")])
    assert copy["verified"] is True and copy["inliers"] >= 10 and copy["correlation"] > 0.9
    assert other["verified"] is False and other["inliers"] < 10
    assert check([]) == []


def test_the_frames_of_the_match_are_compared(folder):
    early, late = PairCheck(str(folder)).check(
        [suspicion("a.jpg", "video.mp4", (0, 0.4)), suspicion("a.jpg", "video.mp4", (0, 1.4))]
    )
    assert (early["verified"], late["verified"]) == (False, True)


def test_the_best_of_several_times_counts(folder):
    [found] = PairCheck(str(folder)).check([suspicion("a.jpg", "video.mp4", (0, 0.4), (0, 1.4), (0, 0.2))])
    assert found["verified"]


def test_a_file_that_is_gone_or_broken_stops_nothing_and_says_why(folder, monkeypatch):
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    gone, broken, fine = PairCheck(str(folder)).check(
        [suspicion("a.jpg", "gone.mp4"), suspicion("broken.jpg", "a.jpg"), suspicion("a.jpg", "half.jpg")]
    )
    assert set(gone) == set(broken) == {"not_compared"}
    assert gone["not_compared"] == "target: no such file"
    assert not broken["not_compared"].startswith("target: ")
    assert fine["verified"]

    def crash(*images):
        raise IndexError("bug")

    monkeypatch.setattr(pair_check, "compare_images", crash)
    [found] = PairCheck(str(folder)).check([suspicion("a.jpg", "half.jpg")])
    assert found == {"not_compared": "internal error: IndexError: bug"}


def test_one_readable_moment_is_enough(folder, monkeypatch):
    frame = PairCheck._frame

    def fail_at_first(self, record, at_sec, **options):
        if record["path"] == "video.mp4" and at_sec < 1:
            raise MediaError("decode error")
        return frame(self, record, at_sec, **options)

    monkeypatch.setattr(PairCheck, "_frame", fail_at_first)
    [found] = PairCheck(str(folder)).check([suspicion("a.jpg", "video.mp4", (0, 0.4), (0, 1.4))])
    assert found["verified"]


def test_pair_checks_are_counted_and_described():
    counters = Counter()
    for match in ({"verified": True}, {"verified": False}, {"verified": False}, {"not_compared": "gone"}, {}, None):
        count_checks(Record({"id": "a", "match": match}), counters)
    count_checks(Record({"id": "kept"}), counters)
    assert describe_checks(counters) == [
        "suspects compared again: 1 verified copies, 2 only similar, 1 cannot be read again (`match.not_compared` "
        "says why)"
    ]
    assert describe_checks(Counter()) == []
