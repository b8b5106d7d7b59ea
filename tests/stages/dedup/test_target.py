"""The target: the same whitening and threshold in any order; holes in it are told, riddles are errors."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from made_frames import extract, reader, stored, target_records

from omnicli.errors import InputError, OutputError
from omnicli.stages.dedup import target as reference
from omnicli.stages.dedup.frame_sample import KeyedSample
from omnicli.stages.dedup.target import learn_target
from omnicli.stages.dedup.whitening import cosines, mean_pair_cosine
from omnicli.streams.record import Record


def learn(records, *, threshold=None, needs_threshold=True, seed=0, unreadable=None):
    return learn_target(
        records, reader=reader(), threshold=threshold, needs_threshold=needs_threshold, whiten_dim=256, seed=seed,
        device=torch.device("cpu"), precision=torch.float32, unreadable=[] if unreadable is None else unreadable,
    )  # fmt: skip


def test_order_and_block_size_change_nothing(monkeypatch):
    records = target_records()
    first = learn(records)
    monkeypatch.setattr(reference, "READ_FRAMES", 7)
    second = learn(records[::-1])
    assert first.threshold == second.threshold
    assert first.whitening.matrix.tobytes() == second.whitening.matrix.tobytes()
    assert len(first.database) == len(second.database) == 180


def test_a_large_target_is_sampled_by_key(monkeypatch):
    monkeypatch.setattr(reference, "MAX_FIT_FRAMES", 90)
    monkeypatch.setattr(reference, "MAX_CALIBRATION_FRAMES", 20)
    first, second, other = learn(target_records()), learn(target_records()[::-1]), learn(target_records(), seed=1)
    assert first.origin.endswith(" 20 target frames")
    assert first.threshold == second.threshold != other.threshold


def test_the_threshold_is_the_mean_similarity_of_crops():
    learnt = learn(target_records())
    crops = [features for _, features, _ in extract(target_records(), crop=True, on_drop=None)]
    units = learnt.whitening.unit_vectors(np.concatenate(crops).astype(np.float16)).reshape(180, 5, -1)
    slow = [cosines(five, five)[i, j] for five in units for i in range(5) for j in range(i)]
    assert learnt.threshold == pytest.approx(np.mean(slow), abs=1e-6)
    assert mean_pair_cosine(units).mean() == pytest.approx(np.mean(slow))
    assert learnt.origin == "mean similarity of five crops of the same frame, 180 target frames"


def test_the_crops_are_of_the_frames_that_were_drawn(monkeypatch):
    monkeypatch.setattr(reference, "MAX_CALIBRATION_FRAMES", 7)
    sample = KeyedSample(180, seed=0, stage="dedup")
    for owner, (record, features, _) in enumerate(extract(target_records(), on_drop=None)):
        sample.offer(record["id"], owner, features.astype(np.float16))
    learnt = learn(target_records())
    crops = [features for _, features, _ in extract(target_records(), crop=True, on_drop=None)]
    units = learnt.whitening.unit_vectors(np.concatenate(crops).astype(np.float16)).reshape(60, 3, 5, -1)
    drawn = [units[owner, number] for owner, number in sample.take(7)[1]]
    assert learnt.threshold == pytest.approx(mean_pair_cosine(np.array(drawn)).mean(), abs=1e-6)


def test_a_given_threshold_is_taken_as_it_is():
    learnt = learn(target_records(), threshold=0.25)
    assert (learnt.threshold, learnt.origin) == (0.25, "--threshold")


def test_stored_features_are_calibrated_on_the_media_they_were_made_of(tmp_path):
    assert learn(stored(tmp_path, target_records())).threshold == learn(target_records()).threshold


def test_without_media_the_threshold_must_be_given(tmp_path):
    gone = [record.derive(broken=True) for record in target_records()]
    rows = stored(tmp_path, gone)
    with pytest.raises(InputError, match=r"t0\.mp4: truncated JPEG\); give --threshold X, or --root DIR"):
        learn(rows)
    assert learn(rows, threshold=0.5).threshold == 0.5
    only_scores = learn(rows, needs_threshold=False)
    assert only_scores.threshold is None and "truncated JPEG" in only_scores.origin


def test_target_records_that_cannot_be_read_are_told():
    unreadable = []
    records = [*target_records(), Record({"id": "x.mp4", "frames": [1], "broken": True}, position=60)]
    assert learn(records, unreadable=unreadable).unreadable == [("x.mp4", "unreadable: truncated JPEG")]


def test_a_target_that_guards_nothing_is_an_error():
    with pytest.raises(InputError, match="no target record can be read: nothing to compare with"):
        learn([])
    with pytest.raises(InputError, match=r"the first of 1: x\.mp4: unreadable: truncated JPEG"):
        learn([Record({"id": "x.mp4", "frames": [1], "broken": True})])


def test_two_target_records_of_one_name_are_an_error():
    with pytest.raises(InputError, match=r"two records with id 't0\.mp4'"):
        learn([*target_records(), Record({"id": "t0.mp4", "frames": [5]})])


def test_a_full_folder_for_temporary_files_is_named(monkeypatch):
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("w+b"))
    with pytest.raises(OutputError, match=f"^{tempfile.gettempdir()}: cannot write temporary data: No space left"):
        learn(target_records())
