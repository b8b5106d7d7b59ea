"""Images become recipes or pixels; nothing else is touched."""

import cv2
import numpy as np
import pytest

from omnicli.media.image import read_image
from omnicli.media.source import open_media
from omnicli.motion.camera import class_names, inflate_image, make_recipe
from omnicli.motion.homography import STILL, Gaussian
from omnicli.motion.motion_file import Fitted, Motion
from omnicli.stages.inflate.stage import Camera, ClipShape, inflate_records
from omnicli.streams.record import Record, format_record


def gaussian(size):
    return Gaussian(STILL, size**2 * np.eye(8))


MOTION = Motion(
    agnostic=Fitted(gaussian(0.002), 9, 900),
    classes={"Playing_Violin": Fitted(gaussian(0.001), 3, 300), "archery": Fitted(gaussian(0.003), 3, 300)},
)
AGNOSTIC = Camera(mode="perspective-agnostic", motion=MOTION)
SPECIFIC = Camera(mode="perspective-specific", motion=MOTION)
SMALL = ClipShape(num_frames=3, frame_interval=4, short_side=48, workers=2)


def inflate(records, camera=AGNOSTIC, **options):
    dropped = []
    made = list(
        inflate_records(records, camera=camera, on_drop=lambda r, why: dropped.append((r["id"], why)), **options)
    )
    return made, dropped


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Two images, a broken one, a film of frames, and an image that does not say what it is."""
    root = tmp_path_factory.mktemp("media")
    for seed, name in enumerate(("a", "b", "c")):
        noise = np.random.default_rng(seed).integers(0, 256, (120, 160, 3), np.uint8)
        cv2.imwrite(str(root / f"{name}.png"), cv2.GaussianBlur(noise, (0, 0), 3))
    (root / "bad.png").write_bytes((root / "a.png").read_bytes()[:2000])
    (root / "film").mkdir()
    for number in range(3):
        (root / "film" / f"{number}.png").write_bytes((root / "a.png").read_bytes())
    fields = [
        {"id": "a", "path": "a.png", "media": "image", "width": 160, "height": 120, "extra": [1]},
        {"id": "film", "path": "film", "media": "frames"},
        {"id": "bad", "path": "bad.png", "media": "image"},
        {"id": "c", "path": "c.png", "parent": "album"},
        {"id": "old", "path": "x.h5", "row": 3, "media": "clip", "inflation": {"mode": "still"}},
        {"id": "b", "path": "b.png", "media": "image"},
    ]
    return root, [Record(some, position=place) for place, some in enumerate(fields)]


def test_images_gain_a_recipe_and_lose_nothing(media):
    root, records = media
    made, dropped = inflate(records, root=str(root))
    assert not dropped  # a recipe opens only what does not say that it is an image
    assert [record["id"] for record in made] == ["a", "film", "bad", "c", "old", "b"]
    recipe = make_recipe("perspective-agnostic", MOTION.agnostic.gaussian, seed=0)
    assert made[0] == {**records[0], "inflation": recipe}
    assert made[3] == {**records[3], "media": "image", "inflation": recipe}
    assert made[1] == records[1] and made[4] == records[4]
    assert records[0].get("inflation") is None


def test_a_recipe_written_again_replaces_the_first(media):
    _, records = media
    once, _ = inflate(records[:1])
    again, _ = inflate(once, Camera(mode="still"))
    assert again[0]["inflation"] == {"mode": "still"}


def test_pixels_are_the_recipe_of_epoch_0(media):
    root, records = media
    recipes, _ = inflate(records, root=str(root))
    clips, dropped = inflate(records, root=str(root), shape=SMALL)
    assert dropped == [("bad", "unreadable: truncated PNG")]
    assert [record["id"] for record in clips] == ["a#0", "film", "c#0", "old", "b#0"]
    for name, parent in (("a", "a"), ("c", "album"), ("b", "b")):
        recipe = next(record for record in recipes if record["id"] == name)
        clip = next(record for record in clips if record["id"] == f"{name}#0")
        assert (clip["parent"], clip["media"]) == (parent, "clip")
        assert (clip["num_frames"], clip["width"], clip["height"]) == (3, 64, 48)
        assert clip["inflation"] == {**recipe["inflation"], "frame_interval": 4}
        with open_media(recipe, root=str(root)) as source:
            expected = inflate_image(source, recipe, num_frames=3, frame_interval=4, short_side=48)
        frames = np.stack([read_image(frame) for frame in clip.arrays["frames"]])
        assert np.abs(frames.astype(int) - expected).mean() < 4  # JPEG
    assert all(record.arrays is None for record in clips if record["id"] in ("film", "old"))


def test_order_batch_and_workers_change_no_byte(media):
    root, records = media
    images = [records[0], records[3], records[5]]
    one, _ = inflate(images, root=str(root), shape=SMALL)
    for some in (images[::-1], images[2:]):
        for clip in inflate(some, root=str(root), shape=ClipShape(**{**vars(SMALL), "workers": 1}))[0]:
            same = next(other for other in one if other["id"] == clip["id"])
            assert format_record(clip) == format_record(same) and clip.arrays == same.arrays


def test_a_video_that_calls_itself_an_image_is_unreadable(world):
    video = next((world / "web" / "video").rglob("*.mp4"))
    made, dropped = inflate([Record({"id": "v", "path": str(video), "media": "image"})], shape=SMALL)
    assert not made and dropped == [("v", "unreadable: a video, not an image to inflate")]


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"query": "playing violin"}, "Playing_Violin"),
        ({"pseudo_class": "archery", "query": "playing violin"}, "archery"),
        ({"class_name": ["surfing", "Archery"]}, "archery"),
        ({"queries": ["surfing", "playing-violin"]}, "Playing_Violin"),
        ({"pseudo_class": "surfing", "class_name": "archery"}, "archery"),
        ({"query": "surfing"}, None),
        ({}, None),
    ],
)
def test_the_motion_is_that_of_the_class_or_of_all(fields, found):
    [made], _ = inflate([Record({"id": "a", "path": "a.png", "media": "image", **fields})], SPECIFIC)
    expected = MOTION.classes[found] if found else MOTION.agnostic
    assert made["inflation"] == {**make_recipe("perspective-specific", expected.gaussian, seed=0), "class": found}


def test_classes_are_asked_surest_first():
    record = Record({"query": "d", "class_name": ["b", "c"], "pseudo_class": "a"})
    assert list(class_names(record)) == ["a", "b", "c", "d"]


def test_empty_in_is_empty_out():
    assert inflate([]) == ([], [])
    assert inflate([], shape=SMALL) == ([], [])
