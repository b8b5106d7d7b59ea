"""``omni inflate``: fit a motion, write recipes and pixels, and refuse what would do nothing."""

import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.media.image import read_image
from omnicli.media.source import open_media
from omnicli.motion.camera import inflate_image
from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion, read_motion, write_motion
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import ShardReader


def omni(*arguments):
    return CliRunner().invoke(app, ["inflate", *map(str, arguments)])


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Images of two classes, a broken one, a film, and a motion file that knows one of the classes."""
    root = tmp_path_factory.mktemp("place")
    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 400), np.uint8), (0, 0), 2)
    canvas = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    for name in ("rain/a.png", "rain/b.png", "snow/c.png"):
        (root / "web" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "web" / name), canvas)
    (root / "web" / "rain" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    film = root / "films" / "rain" / "film"
    film.mkdir(parents=True)
    for number in range(60):
        cv2.imwrite(str(film / f"{number:03d}.png"), canvas[50:230, 2 * number : 2 * number + 240])
    spread = Gaussian(STILL, np.diag([1e-3] * 8) ** 2)
    write_motion(root / "motion.json", Motion(agnostic=Fitted(spread, 1, 99), classes={"Rain": Fitted(spread, 1, 99)}))
    records = [{"id": "film", "path": str(film), "media": "frames", "class_name": "rain"},
               {"id": "gone", "path": str(root / "gone.mp4"), "media": "video"}]  # fmt: skip
    (root / "target.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return root


def test_a_fit_is_a_file_and_its_books_add_up(place, tmp_path):
    out, left, summary = tmp_path / "motion.json", tmp_path / "left.jsonl", tmp_path / "summary.json"
    done = omni("--fit", place / "target.jsonl", "-o", out, "--rejects", left, "--summary", summary, "--max-pairs", 55)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "inflate: 2 in = 1 used + 1 unreadable" in done.stderr
    assert "55 pairs of frames used, 0 left out; a motion of its own for 1 classes" in done.stderr
    motion = read_motion(out)
    expected = STILL - [0, 0, 2 / 90, 0, 0, 0, 0, 0]  # a window that slides right sees everything go left
    np.testing.assert_allclose(motion.agnostic.gaussian.mean, expected, atol=1e-3)
    np.testing.assert_array_equal(motion.classes["rain"].gaussian.mean, motion.agnostic.gaussian.mean)
    assert [record["id"] for record in lines_of(left)] == ["gone"]
    assert json.loads(summary.read_text())["result"] == {"pairs": 55, "left_out": {}, "classes": 1}


def test_more_unreadable_than_allowed_is_exit_3_with_the_file_written(place, tmp_path):
    done = omni("--fit", place / "target.jsonl", "-o", tmp_path / "m.json", "--max-bad", 0)
    assert done.exit_code == 3 and read_motion(tmp_path / "m.json").agnostic.num_pairs == 59


def test_recipes_and_pixels_agree(place, tmp_path):
    """The row of a shard holds the frames that the recipe of the same image makes."""
    recipes, clips = tmp_path / "recipes.jsonl", tmp_path / "clips.jsonl"
    shape = ["--num-frames", 3, "--frame-interval", 8, "--short-side", 90, "--quality", 95]
    assert omni("--motion", place / "motion.json", place / "web", "-o", recipes).exit_code == 0
    done = omni("--motion", place / "motion.json", place / "web", "-o", clips, "--shards", tmp_path / "px", *shape)
    assert done.exit_code == 0
    assert "inflate: 4 in = 3 kept + 0 rejected + 1 unreadable" in done.stderr
    assert "3 images inflated, 0 other media untouched" in done.stderr
    made = {record["id"]: record for record in lines_of(recipes)}
    for clip in lines_of(clips):
        recipe = Record(made[clip["id"].removesuffix("#0")])
        with ShardReader(clip["path"]) as shard, open_media(recipe) as source:
            frames = [read_image(frame) for frame in shard.frames(clip["row"])]
            expected = inflate_image(source, recipe, num_frames=3, frame_interval=8, short_side=90)
        assert (clip["media"], recipe["media"]) == ("clip", "image")
        assert np.abs(np.stack(frames).astype(int) - expected).mean() < 3


def test_other_media_pass_untouched(place):
    done = omni("--motion", place / "motion.json", place / "target.jsonl")
    assert done.stdout == (place / "target.jsonl").read_text().replace('": ', '":').replace('", ', '",')
    assert "0 images inflated, 2 other media untouched" in done.stderr


def test_still_needs_no_motion(place):
    done = omni("--mode", "still", place / "web" / "snow")
    assert json.loads(done.stdout)["inflation"] == {"mode": "still"}


def test_classes_that_were_not_fitted_are_counted_and_none_at_all_is_an_error(place):
    specific = ["--motion", place / "motion.json", "--mode", "perspective-specific"]
    done = omni(*specific, place / "web")
    assert {json.loads(line)["inflation"]["class"] for line in done.stdout.splitlines()} == {"Rain", None}
    assert "1 without a motion of their class, the agnostic one instead" in done.stderr
    done = omni(*specific, place / "web" / "snow")
    assert done.exit_code == 65
    assert "none of 1 images has a class with its own motion" in done.stderr


def test_draws_that_are_no_good_are_counted(place, tmp_path):
    zooming_out = Gaussian(STILL * [0.9, 1, 1, 1, 0.9, 1, 1, 1], np.zeros((8, 8)))
    write_motion(tmp_path / "m.json", Motion(agnostic=Fitted(zooming_out, 1, 9)))
    done = omni("--motion", tmp_path / "m.json", "--shards", tmp_path / "px", place / "web" / "snow")
    assert "19 motions drawn again" in done.stderr and "1 images stand still" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--mode perspective-agnostic needs --motion FILE; make one with omni inflate --fit target.jsonl"),
        (["--motion", "m", "--num-frames", 8], "--num-frames needs --shards: a recipe has no pixels"),
        (["--motion", "m", "--workers", 2], "--workers needs --fit or --shards: a recipe opens no files"),
        (["--motion", "m", "--max-pairs", 2], "--max-pairs needs --fit"),
        (["--fit", "--motion", "m", "-o", "x"], "--motion cannot be combined with --fit"),
        (["--fit", "--mode", "still", "-o", "x"], "--mode cannot be combined with --fit"),
        (["--fit", "--part", "0/2", "-o", "x"], "--part cannot be combined with --fit"),
        (["--fit"], "--fit writes one file: give -o motion.json"),
        (["--fit", "-o", "x/"], "--fit writes one file: give -o motion.json"),
        (["--fit", "-o", "m.json", "-0"], "-0 needs --files-from"),
    ],
)
def test_options_that_would_do_nothing_are_refused(arguments, message):
    done = omni(*arguments, "in.jsonl")
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr


def test_a_missing_folder_is_told_before_any_video_is_opened(place):
    done = omni("--fit", "gone.mp4", "-o", "nowhere/motion.json")
    assert (done.exit_code, done.stdout) == (73, "")
    assert done.stderr == "omni inflate: nowhere/motion.json: cannot write: no folder 'nowhere'; create it first\n"


def test_a_dry_run_prints_what_would_be_done(place):
    fit = json.loads(omni("--fit", "x.jsonl", "-n", "--max-pairs", 7).stdout)
    assert (fit["command"], fit["max_pairs"]) == ("inflate --fit", 7)
    apply = json.loads(omni("--motion", place / "motion.json", "x.jsonl", "-n").stdout)
    assert (apply["mode"], len(apply["motion"])) == ("perspective-agnostic", 64)


def test_recipes_come_out_of_a_pipe_line_by_line(sh, place):
    done = sh("omni index web --limit 3 | omni inflate --motion motion.json - | head -1", cwd=place)
    assert json.loads(done.stdout)["inflation"]["mode"] == "perspective-agnostic"
