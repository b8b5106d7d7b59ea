#!/usr/bin/env python3
"""Render a small world of media files: a labelled target dataset and web media as a crawl for its classes finds them.

    python examples/make_world.py OUT [--seed 0] [--scale small|full]

    OUT/classes.txt                        four invented actions, one name per line
    OUT/target/{train,val}/<class>/*.mp4   labelled clips, H.264, 25 fps
    OUT/web/image/<query>/*                search results for the class name: relevant images, images of another
                                           class or of none, copies of validation frames, broken files
    OUT/web/video/<query>/*.mp4            the same for short videos
    OUT/web/untrimmed/<query>/long_*.mp4   long videos: the action between other footage
    OUT/truth.jsonl                        the class that each web file shows, and its intervals (shots_sec), for
                                           evaluation only

The same seed and scale give the same bytes (with the same versions of OpenCV and FFmpeg).
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from scenes import CLASSES, Scene, noise_image

FPS = 25
HEIGHT, WIDTH = 120, 160
IMAGE_SIZES = ((160, 120), (240, 320), (360, 480), (600, 450), (450, 800), (768, 1024))  # height, width
HUGE_SIZE = (1800, 2400)
ODD_NAMES = ("{query} {n:02d}", "Übung_{n:02d}", "фото {n:02d}", "風景-{n:02d}", "IMG_{n:04d}", "{query}_{n:03d}")


@dataclass(frozen=True)
class Scale:
    """Number of files of each kind per class or query."""

    train: int
    val: int
    clip_sec: float
    relevant: int
    other_class: int
    noise: int
    copies: int
    web_relevant: int
    web_noise: int
    long_videos: int
    long_sec: int


SCALES = {
    "small": Scale(6, 3, 2.0, 7, 2, 5, 1, 3, 2, long_videos=1, long_sec=24),
    "full": Scale(6, 12, 2.4, 22, 6, 20, 2, 8, 6, long_videos=4, long_sec=40),
}


class World:
    """Writes files below ``root`` and records the class that each web file shows."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.seed = seed
        self.truth: list[dict[str, Any]] = []

    def rng(self, name: str) -> np.random.Generator:
        """The generator of one file, seeded by its name, so that adding a file changes no other."""
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return np.random.default_rng(int.from_bytes(digest, "big"))

    def path(self, name: str) -> Path:
        """Path of ``name`` below the root; its directory is created."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def tell(self, name: str, kind: str, class_name: str | None, **more: Any) -> None:
        """Add a line to truth.jsonl; ``class_name`` is None for a file that shows no class."""
        query = Path(name).parent.name
        self.truth.append({"path": name, "query": query, "kind": kind, "class_name": class_name, **more})

    def finish(self) -> None:
        """Write classes.txt and truth.jsonl."""
        (self.root / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
        lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.truth)
        (self.root / "truth.jsonl").write_text(lines, encoding="utf-8")


def write_video(path: Path, frames: Iterator[np.ndarray], *, crf: int = 23, gop: int = 24, bframes: int = 2) -> None:
    """Write RGB frames (HEIGHT, WIDTH, 3) uint8 as H.264 in MP4, index first; one thread, no dates: equal bytes."""
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": str(crf), "g": str(gop), "bf": str(bframes), "threads": "1"}
        stream.options |= {
            "x264-params": "no-mbtree=1"
        }  # mbtree reads beyond the image, so bytes would differ between runs
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def film(scene: Scene, seconds: float, *, start_sec: float = 0.0) -> Iterator[np.ndarray]:
    """The frames of one shot."""
    for index in range(round(seconds * FPS)):
        yield scene.frame(start_sec + index / FPS, HEIGHT, WIDTH)


def encode_image(image: np.ndarray, suffix: str, *, quality: int = 88) -> bytes:
    """RGB (H, W, 3) uint8 as the bytes of a ``.jpg`` or ``.png``."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    return cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), parameters)[1].tobytes()


def make_target(world: World, scale: Scale) -> None:
    """Labelled clips of each class."""
    for split, count in (("train", scale.train), ("val", scale.val)):
        for class_name in CLASSES:
            directory = class_name.replace(" ", "_")
            for index in range(count):
                name = f"target/{split}/{directory}/{directory}_{split}_{index:03d}.mp4"
                rng = world.rng(name)
                seconds = scale.clip_sec + round(float(rng.uniform(-0.4, 0.4)), 2)
                write_video(world.path(name), film(Scene(class_name, rng), seconds))


def make_images(world: World, scale: Scale) -> None:
    """Image search results for each class name."""
    for number, query in enumerate(CLASSES):
        others = [name for name in CLASSES if name != query]
        shown = [("relevant", query)] * scale.relevant + [("noise", None)] * scale.noise
        shown += [("other class", others[i % 3]) for i in range(scale.other_class)]
        order = world.rng(f"order/{query}").permutation(len(shown))
        for position, chosen in enumerate(order):
            kind, class_name = shown[chosen]
            key = f"web/image/{query}/{position}"
            rng = world.rng(key)
            suffix = ".png" if rng.random() < 0.15 else ".jpg"
            name = f"web/image/{query}/{ODD_NAMES[position % len(ODD_NAMES)].format(query=query, n=position)}{suffix}"
            size = HUGE_SIZE if position == number else IMAGE_SIZES[int(rng.integers(len(IMAGE_SIZES)))]
            image = Scene(class_name, rng).frame(1.0, *size) if class_name else noise_image(rng, *size)
            world.path(name).write_bytes(encode_image(image, suffix, quality=int(rng.integers(60, 95))))
            world.tell(name, kind, class_name)
        make_copies(world, scale, query)
        make_broken_images(world, query)


def make_copies(world: World, scale: Scale, query: str) -> None:
    """Copies of validation frames: resized, cropped, saved again."""
    directory = query.replace(" ", "_")
    for index in range(scale.copies):
        clip = f"target/val/{directory}/{directory}_val_{index:03d}.mp4"
        name = f"web/image/{query}/seen before {index}.jpg"
        rng = world.rng(name)
        frame = Scene(query, _after_duration(world.rng(clip))).frame(1.0, HEIGHT, WIDTH)
        top, left = (int(value) for value in rng.integers(0, 8, 2))
        crop = frame[top : HEIGHT - 6, left : WIDTH - 6]
        factor = rng.uniform(0.8, 2.5)
        copy = cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        world.path(name).write_bytes(encode_image(copy, ".jpg", quality=55))
        world.tell(name, "copy", query, copy_of=clip)


def _after_duration(rng: np.random.Generator) -> np.random.Generator:
    """The clip's generator after its duration was drawn, as its scene uses it."""
    rng.uniform(-0.4, 0.4)
    return rng


def make_broken_images(world: World, query: str) -> None:
    """A truncated JPEG, an empty file and an error page saved as an image."""
    whole = encode_image(Scene(query, world.rng(f"broken/{query}")).frame(0.5, 480, 640), ".jpg")
    page = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>Not Found</body></html>\n"
    for name, content in (("truncated.jpg", whole[: len(whole) * 2 // 3]), ("empty.jpg", b""), ("404.jpg", page)):
        path = f"web/image/{query}/{name}"
        world.path(path).write_bytes(content)
        world.tell(path, "broken", None)


def make_videos(world: World, scale: Scale) -> None:
    """Short video search results for each class name."""
    for query in CLASSES:
        others = [name for name in CLASSES if name != query]
        shown = [("relevant", query)] * scale.web_relevant + [("noise", None)] * (scale.web_noise - 1)
        shown.append(("other class", others[len(query) % 3]))
        for position, chosen in enumerate(world.rng(f"video order/{query}").permutation(len(shown))):
            kind, class_name = shown[chosen]
            name = f"web/video/{query}/clip {position:02d}.mp4"
            rng = world.rng(name)
            seconds = scale.clip_sec * 0.8
            frames = (
                slide_show(rng, seconds)
                if kind == "noise" and position % 2
                else film(Scene(class_name or "", rng), seconds)
            )
            write_video(world.path(name), frames, crf=int(rng.integers(22, 32)), gop=int(rng.choice([12, 50, 250])))
            world.tell(name, kind, class_name)
        # The index comes first in these files: half a file opens and fails later, a shorter one does not open.
        whole = world.path(f"web/video/{query}/clip 00.mp4").read_bytes()
        for name, size in (("half", len(whole) // 2), ("stub", 700)):
            path = f"web/video/{query}/{name}.mp4"
            world.path(path).write_bytes(whole[:size])
            world.tell(path, "broken", None)


def slide_show(rng: np.random.Generator, seconds: float) -> Iterator[np.ndarray]:
    """Two still images without an action, one after the other."""
    count = round(seconds * FPS)
    for length in (count // 2, count - count // 2):
        image = noise_image(rng, HEIGHT, WIDTH)
        for _ in range(length):
            yield image


def make_untrimmed(world: World, scale: Scale) -> None:
    """Long videos: shots of the action between footage without it."""
    for query in CLASSES[: scale.long_videos]:
        name = f"web/untrimmed/{query}/long_{query.replace(' ', '_')}.mp4"
        rng = world.rng(name)
        shots, clock = [], 0.0
        while clock < scale.long_sec:
            class_name = query if len(shots) % 2 else rng.choice(["", "", CLASSES[int(rng.integers(len(CLASSES)))]])
            end = min(clock + float(rng.integers(2, 6)), scale.long_sec)
            shots.append((clock, end, str(class_name)))
            clock = end
        write_video(world.path(name), _cut(rng, shots), gop=125)
        shown_sec = [[start, end] for start, end, shown in shots if shown == query]
        world.tell(name, "untrimmed", query, shots_sec=shown_sec, duration_sec=float(scale.long_sec))


def _cut(rng: np.random.Generator, shots: list[tuple[float, float, str]]) -> Iterator[np.ndarray]:
    for start, end, class_name in shots:
        yield from film(Scene(class_name, rng), end - start)


def make_world(root: Path, *, seed: int, scale: str) -> None:
    """Render everything below ``root``."""
    cv2.setNumThreads(1)
    world = World(root, seed)
    make_target(world, SCALES[scale])
    make_images(world, SCALES[scale])
    make_videos(world, SCALES[scale])
    make_untrimmed(world, SCALES[scale])
    world.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="directory to fill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", choices=SCALES, default="full")
    options = parser.parse_args()
    make_world(options.out, seed=options.seed, scale=options.scale)
