"""Copies are found where they are, on both sides; everything else stays, in order."""

import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from omnicli.errors import InputError
from omnicli.reasons import DUPLICATE
from omnicli.stages.dedup.census import Census, Framing
from omnicli.stages.dedup.census_stage import (
    NUM_FRAMES,
    NUM_IMAGES,
    NUM_SHORT,
    NUM_TEXTURELESS,
    CensusTargets,
    census_targets,
    dedup_census_records,
)
from omnicli.stages.dedup.pair_check import PairCheck
from omnicli.streams.record import Record
from omnicli.streams.verdicts import NO_VERDICTS, Verdict, Verdicts

REPOSITORY = Path(__file__).resolve().parents[3]
ACTIONS6 = REPOSITORY / ".." / "shared" / "data" / "actions6"
HEIGHT, WIDTH = 96, 128


def footage(seed, seconds=4.0, fps=24):
    """(T, 96, 128, 3) uint8: a window that wanders over a random scene, as nothing else does."""
    rng = np.random.default_rng(seed)
    height, width = 2 * HEIGHT, 3 * WIDTH
    layers = [
        cv2.resize(rng.normal(0, scale, (height // scale, width // scale)), (width, height)) for scale in (4, 8, 16)
    ]
    scene = (sum(layers) * 2 + 128).clip(0, 255).astype(np.uint8)
    times = np.arange(round(seconds * fps)) / fps
    tops = (HEIGHT / 2 * (1 + np.sin(times + seed))).astype(int)
    lefts = (WIDTH * (1 + np.cos(times * 1.3 + seed))).astype(int)
    windows = [scene[top : top + HEIGHT, left : left + WIDTH] for top, left in zip(tops, lefts, strict=True)]
    return np.repeat(np.stack(windows)[..., None], 3, axis=3)


def film(path, frames, fps=24, size=None):
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(fps), options={"crf": "24", "preset": "veryfast"})
        stream.width, stream.height = size or (frames.shape[2], frames.shape[1])
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        for frame in frames:
            pixels = cv2.resize(frame, (stream.width, stream.height), interpolation=cv2.INTER_AREA)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        file.mux(stream.encode(None))
    return path


def records(*paths):
    return [Record({"id": path.name, "path": str(path)}, position=place) for place, path in enumerate(paths)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two targets, three copies, what is none."""
    root = tmp_path_factory.mktemp("census")
    first, second = footage(1), footage(2)
    film(root / "a.mp4", first)
    film(root / "b.mp4", second)
    film(root / "slow.mp4", first[::2], fps=12, size=(80, 96))
    film(root / "flipped.mp4", second[:, :, ::-1], size=(160, 120))
    framed = [cv2.copyMakeBorder(frame, 0, 0, 24, 24, cv2.BORDER_REFLECT) for frame in second]
    film(root / "framed.mp4", np.stack(framed))
    pasted = np.concatenate([footage(3, 5.5), first[24:72], footage(4, 3)])  # seconds 1 to 3 of a.mp4, at 5.5 s
    film(root / "pasted.mp4", pasted)
    film(root / "both.mp4", np.concatenate([first[:48], second[:72]]))
    film(root / "other.mp4", footage(5))
    film(root / "glimpse.mp4", np.concatenate([footage(6), second[:18]]))  # three quarters of a second
    film(root / "black.mp4", np.zeros((48, HEIGHT, WIDTH, 3), np.uint8))
    film(root / "short.mp4", first[:12])
    cv2.imwrite(str(root / "image.jpg"), first[0])
    (root / "broken.mp4").write_bytes((root / "a.mp4").read_bytes()[:300])
    return root


@pytest.fixture(scope="module")
def targets(folder):
    return census_targets(
        records(folder / "a.mp4", folder / "b.mp4"), workers=1, on_drop=lambda *drop: pytest.fail(drop)
    )


def run(folder, targets, *names, within=False, workers=2, verdicts=NO_VERDICTS):
    """Ids that stay, (id, reason) and matches of those that leave, counts."""
    dropped, matches, counts = [], {}, Counter()

    def on_drop(record, reason):
        dropped.append((record["id"], reason))
        if "match" in record:
            matches[record["id"]] = record["match"]

    stream = records(*(folder / name for name in names))
    kept = dedup_census_records(
        stream, targets=targets, within=within, workers=workers, counts=counts, verdicts=verdicts, on_drop=on_drop
    )
    return [record["id"] for record in kept], dropped, matches, counts


def assert_times(match, copy_sec, target_sec):
    found = [match[name] for name in ("start_sec", "end_sec", "target_start_sec", "target_end_sec")]
    assert found == pytest.approx([*copy_sec, *target_sec], abs=0.15)


def test_copies_leave_with_the_times_of_both_and_the_rest_stays_in_order(folder, targets):
    names = [
        "other.mp4",
        "slow.mp4",
        "image.jpg",
        "pasted.mp4",
        "framed.mp4",
        "glimpse.mp4",
        "flipped.mp4",
        "black.mp4",
    ]
    kept, dropped, matches, _ = run(folder, targets, *names)
    assert kept == ["other.mp4", "image.jpg", "glimpse.mp4", "black.mp4"]
    assert dropped == [(name, DUPLICATE) for name in ("slow.mp4", "pasted.mp4", "framed.mp4", "flipped.mp4")]
    assert [match["id"] for match in matches.values()] == ["a.mp4", "a.mp4", "b.mp4", "b.mp4"]
    assert [match["flipped"] for match in matches.values()] == [False, False, False, True]
    assert_times(matches["slow.mp4"], (0, 4), (0, 4))
    assert_times(matches["pasted.mp4"], (5.5, 7.5), (1, 3))
    assert_times(matches["framed.mp4"], (0, 4), (0, 4))
    assert_times(matches["flipped.mp4"], (0, 4), (0, 4))
    assert matches["slow.mp4"]["overlap"] == 1
    assert matches["pasted.mp4"]["overlap"] == pytest.approx(2 / 10.5, abs=0.02)
    assert matches["pasted.mp4"]["matched_sec"] == pytest.approx(2, abs=0.15)


def test_people_overrule_what_was_found(folder, targets):
    lines = [Verdict(id="slow.mp4", verdict="accept"), Verdict(id="other.mp4", verdict="reject")]
    kept, dropped, _, _ = run(folder, targets, "slow.mp4", "other.mp4", verdicts=Verdicts(lines, "duplicate"))
    assert (kept, dropped) == (["slow.mp4"], [("other.mp4", "verdict")])


def test_of_two_targets_the_one_with_more_is_named_and_measured(folder, targets):
    _, _, matches, _ = run(folder, targets, "both.mp4")
    assert matches["both.mp4"]["id"] == "b.mp4"
    assert_times(matches["both.mp4"], (2, 5), (0, 3))
    assert matches["both.mp4"]["matched_sec"] == pytest.approx(3, abs=0.15)


def test_a_part_of_a_video_has_the_times_of_the_file(folder):
    part = [record.derive(start_sec=1.0, end_sec=3.5) for record in records(folder / "a.mp4")]
    parts = census_targets(part, workers=1, on_drop=lambda *drop: pytest.fail(drop))
    _, _, matches, _ = run(folder, parts, "pasted.mp4")
    assert_times(matches["pasted.mp4"], (5.5, 7.5), (1, 3))
    piece = [record.derive(start_sec=4.0, end_sec=9.0) for record in records(folder / "pasted.mp4")]
    dropped = []
    assert not list(
        dedup_census_records(
            piece, targets=parts, workers=1, counts=Counter(), on_drop=lambda record, _: dropped.append(record)
        )
    )
    assert_times(dropped[0]["match"], (5.5, 7.5), (1, 3))


def test_number_of_workers_and_order_of_targets_change_nothing(folder, targets):
    names = ["slow.mp4", "other.mp4", "flipped.mp4"]
    turned = census_targets(records(folder / "b.mp4", folder / "a.mp4"), workers=3, on_drop=pytest.fail)
    assert run(folder, turned, *names, workers=3) == run(folder, targets, *names, workers=1)


def test_what_cannot_vote_or_match_is_counted(folder, targets):
    _, dropped, _, counts = run(folder, targets, "black.mp4", "image.jpg", "short.mp4", "broken.mp4")
    assert counts == {NUM_FRAMES: 32 + 8, NUM_TEXTURELESS: 32, NUM_IMAGES: 1, NUM_SHORT: 1}
    assert [(name, reason.partition(":")[0]) for name, reason in dropped] == [("broken.mp4", "unreadable")]


def test_within_a_stream_the_first_stays(folder):
    nothing = census_targets([], on_drop=pytest.fail)
    names = ["other.mp4", "slow.mp4", "a.mp4", "pasted.mp4", "image.jpg", "b.mp4"]
    kept, dropped, matches, _ = run(folder, nothing, *names, within=True)
    assert kept == ["other.mp4", "slow.mp4", "image.jpg", "b.mp4"]
    assert dropped == [("a.mp4", "repeat"), ("pasted.mp4", "repeat")]
    assert {name: match["id"] for name, match in matches.items()} == {"a.mp4": "slow.mp4", "pasted.mp4": "slow.mp4"}
    assert run(folder, census_targets([], on_drop=pytest.fail), *names)[0] == names


def test_a_copy_of_a_target_is_no_repeat_whatever_it_shares_with_the_stream(folder):
    targets = census_targets(records(folder / "a.mp4"), workers=1, on_drop=pytest.fail)
    _, dropped, matches, _ = run(folder, targets, "b.mp4", "both.mp4", "flipped.mp4", within=True)
    assert dropped == [("both.mp4", "duplicate"), ("flipped.mp4", "repeat")]  # both.mp4 has more of b.mp4
    assert [matches[name]["id"] for name, _ in dropped] == ["a.mp4", "b.mp4"]


def test_two_targets_of_one_id_are_refused(folder):
    with pytest.raises(InputError, match=r"id 'a\.mp4' is that of a\.mp4 too; targets need ids of their own"):
        census_targets(records(folder / "a.mp4", folder / "a.mp4"), on_drop=pytest.fail)


def test_a_target_that_cannot_be_read_is_told(folder):
    told = []
    census_targets(records(folder / "broken.mp4"), on_drop=lambda record, reason: told.append((record["id"], reason)))
    assert told == [("broken.mp4", "unreadable: truncated MP4 does not open")]


@pytest.mark.slow
@pytest.mark.skipif(not ACTIONS6.exists(), reason="no ../shared/data/actions6")
def test_real_copies_are_found_and_other_footage_is_not():
    """A sample of ``bench_census_actions6``: the bars it prints, on every fifth target."""
    script = REPOSITORY / "benchmarks" / "bench_census_actions6.py"
    kinds = ["smaller", "mirrored sides", "mirrored all", "excerpt"]
    done = subprocess.run(
        [sys.executable, str(script), "--every", "5", "--kinds", *kinds], capture_output=True, check=True, timeout=900
    )
    found = json.loads(done.stdout)
    for kind in kinds:
        row = found["kinds"][kind]
        assert row["found"] == row["right_target"] == row["made"] > 0, kind
        assert row["worst_error_sec"] <= found["bars"]["worst_error_sec"], kind
    assert found["others"]["true_flags"] == 2
    assert found["others"]["false_flags"] <= found["bars"]["false_flags"]


def test_a_scene_that_another_clip_shows_again_is_found_and_verified(tmp_path):
    """Recorded once, uploaded twice: cut elsewhere, cropped, at another size and rate."""
    whole = footage(11, 8.0)
    film(tmp_path / "g04.mp4", whole[24:144])
    film(tmp_path / "g23.mp4", whole[61:185:2, 1:-1, 1:-1], fps=12, size=(160, 120))
    film(tmp_path / "g24.mp4", footage(12, 5.0))
    targets = census_targets(records(tmp_path / "g04.mp4"), on_drop=None)
    left = []
    kept = dedup_census_records(
        records(tmp_path / "g23.mp4", tmp_path / "g24.mp4"), targets=targets, check=PairCheck(), counts=Counter(),
        on_drop=lambda record, reason: left.append((record["match"], reason)),
    )  # fmt: skip
    assert [record["id"] for record in kept] == ["g24.mp4"]
    [(match, reason)] = left
    assert reason == DUPLICATE and match["id"] == "g04.mp4" and match["path"] == str(tmp_path / "g04.mp4")
    assert match["target_start_sec"] - match["start_sec"] == pytest.approx((61 - 24) / 24, abs=0.2)
    assert match["verified"] and match["inliers"] >= 10


@pytest.mark.parametrize(("differing", "is_found"), [(2, True), (9, False)])
def test_a_match_without_margins_on_either_side_needs_more_bits_in_common(differing, is_found):
    """Waves pass for mirrored margins, and a few bands of water are left on both sides."""
    rng = np.random.default_rng(0)
    waves, other, shared = (rng.integers(0, 2**63, 24, dtype=np.uint64) for _ in range(3))
    alike = shared ^ np.uint64((1 << differing) - 1)
    votes = np.ones(24, bool)

    def census(*bits):
        return Census([Framing(one, rng.integers(0, 2**63, 24, dtype=np.uint64), votes) for one in bits], 0.0)

    targets = CensusTargets()
    targets.add(Record({"id": "t"}), census(waves, shared))
    assert (targets.find(census(other, alike)) is not None) == is_found
    assert targets.find(census(alike)) is not None  # where one side has no margins, as ever
