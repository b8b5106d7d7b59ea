"""The motion file says what it holds, and a damaged one says what is wrong with it."""

import json
import re

import numpy as np
import pytest

from omnicli.errors import InputError
from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion, read_motion, write_motion


def fitted(seed=0):
    root = np.random.default_rng(seed).standard_normal((8, 8)) * 1e-3
    return Fitted(Gaussian(STILL + root[0], root @ root.T), 3, 200)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "motion.json"
    motion = Motion(
        agnostic=fitted(),
        classes={"Playing_Violin": fitted(1)},
        left_out={"shot cut": 2},
        too_few_pairs={"Surfing": 12},
        options={"max_pairs": 100},
    )
    write_motion(path, motion)
    return path, motion


def test_what_was_written_is_read(written):
    path, motion = written
    found = read_motion(path)
    assert (found.left_out, found.too_few_pairs, found.options) == (
        motion.left_out, motion.too_few_pairs, motion.options,
    )  # fmt: skip
    for ours, theirs in ((motion.agnostic, found.agnostic), (*motion.classes.values(), *found.classes.values())):
        assert (ours.num_videos, ours.num_pairs) == (theirs.num_videos, theirs.num_pairs)
        np.testing.assert_allclose(theirs.gaussian.mean, ours.gaussian.mean, rtol=1e-11)
        np.testing.assert_allclose(theirs.gaussian.covariance, ours.gaussian.covariance, rtol=1e-8)


def test_people_can_read_it(written):
    path, _ = written
    lines = path.read_text().splitlines()
    assert len(lines) < 60
    assert sum(bool(re.fullmatch(r"\s+\[[-0-9.e, ]+\],?", line)) for line in lines) == 16  # a row of Σ is a line


def test_a_class_is_found_in_any_spelling(written):
    _, motion = written
    assert motion.find_class("playing violin") == "Playing_Violin"
    assert motion.find_class("surfing") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="x"), "not a motion file; expected a file of omni inflate --fit"),
        (lambda c: c.update(version=2), "motion file of version 2, this omni reads 1"),
        (lambda c: c["parameters"].reverse(), "parameters are ['h32', "),
        (lambda c: c.pop("agnostic"), "missing required field agnostic"),
        (lambda c: c["agnostic"].update(mean=["x"]), "Expected float, got str - at $.agnostic.mean[0]"),
        (lambda c: c["agnostic"]["mean"].pop(), "agnostic: mean of 7 numbers, expected 8"),
        (lambda c: c["agnostic"]["covariance"][0].pop(), "agnostic: covariance is not 8 rows of 8 numbers"),
        (lambda c: c["classes"]["Playing_Violin"]["covariance"][0].__setitem__(1, 1.0),
         "class 'Playing_Violin': covariance is not symmetric"),
        (lambda c: c["agnostic"]["covariance"][2].__setitem__(2, -1.0), "covariance has a negative eigenvalue"),
    ],
)  # fmt: skip
def test_damage_is_named(written, change, message):
    path, _ = written
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        read_motion(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value)


@pytest.mark.parametrize(("text", "message"), [("{", "not JSON"), ("[1]", "not a motion file"), ("", "not JSON")])
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "motion.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_motion(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        read_motion(tmp_path / "gone.json")
