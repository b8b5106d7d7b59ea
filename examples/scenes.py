"""The four invented actions of the rendered world, seen by a moving camera.

A ``Scene`` is a backdrop, clutter, one actor and one camera, all drawn from one ``rng``; ``scene.frame(time_sec,
height, width)`` renders it at a time and a size, so a short clip, a long shot and a large image show the same scene.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np
from backdrops import NOISE_IMAGES, Canvas, Colour, Image, backdrop, clutter, colour, shade

CLASSES = ("falling rain", "rolling wheel", "spinning fan", "swinging pendulum")
WARM, COOL, PINK = (
    (-0.03, 0.17),
    (0.4, 0.66),
    (0.72, 0.96),
)  # hues that hint at an action, as yellow hints at a school bus
MARGIN = 1.3  # the scene's image is larger than the camera's view by this factor

Actor = Callable[[Canvas, float], None]  # draws itself at a time in seconds


class Camera:
    """Camera motion as a smooth function of time: pan, zoom, roll and a little shake."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.pan = rng.uniform(-0.025, 0.025, 2)
        self.zoom = rng.uniform(0.92, 1.12)
        self.zoom_rate = rng.uniform(-0.03, 0.03)
        self.roll = rng.uniform(-0.07, 0.07)
        self.shake = rng.uniform(0, 0.006)
        self.phase = rng.uniform(0, 2 * math.pi, 4)
        self.gain = rng.uniform(0.75, 1.15)

    def see(self, image: Image, time_sec: float, height: int, width: int) -> Image:
        """The (height, width) image of the set ``image`` at ``time_sec``."""
        zoom = self.zoom * math.exp(self.zoom_rate * time_sec) * height * MARGIN / image.shape[0]
        roll = self.roll + 0.5 * self.shake * math.sin(5 * time_sec + self.phase[0])
        shift = self.pan * min(time_sec, 3.0) + self.shake * np.sin(np.array([11.0, 13.0]) * time_sec + self.phase[1:3])
        cosine, sine = zoom * math.cos(roll), zoom * math.sin(roll)
        centre = np.array([image.shape[1] / 2, image.shape[0] / 2]) + shift * image.shape[0]
        matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0]])
        matrix[:, 2] = np.array([width / 2, height / 2]) - matrix[:, :2] @ centre
        seen = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
        return cv2.convertScaleAbs(seen, alpha=self.gain)


class Scene:
    """One scene with one action (or none), at any time and size.

    Args:
        action: one of ``CLASSES``, or "" for a scene without an action.
        rng: draws everything in the scene.
    """

    def __init__(self, action: str, rng: np.random.Generator) -> None:
        self._seed = int(rng.integers(2**62))
        self._actor = ACTORS[action](rng) if action else None
        self._camera = Camera(rng)
        self._noise = float(rng.uniform(1, 6))
        self._set: Image | None = None

    def frame(self, time_sec: float, height: int, width: int) -> Image:
        """(height, width, 3) uint8 RGB at ``time_sec`` from the start of the shot."""
        tall, wide = round(height * MARGIN), round(width * MARGIN)
        if self._set is None or self._set.shape[:2] != (tall, wide):
            rng = np.random.default_rng(self._seed)
            self._set = backdrop(rng, tall, wide)
            clutter(rng, Canvas(self._set))
        canvas = Canvas(self._set.copy())
        if self._actor is not None:
            self._actor(canvas, time_sec)
        seen = self._camera.see(canvas.image, time_sec, height, width)
        grain = np.random.default_rng([self._seed, round(time_sec * 1000)]).integers(0, 256, (64, 64), dtype=np.uint8)
        texture = np.tile(grain.astype(np.float32) / 255 - 0.5, (-(-height // 64), -(-width // 64)))[:height, :width]
        return np.clip(seen + texture[..., None] * self._noise, 0, 255).astype(np.uint8)


def rolling_wheel(rng: np.random.Generator) -> Actor:
    """A spoked wheel that rolls along the ground without slipping."""
    radius, floor = rng.uniform(0.2, 0.33), rng.uniform(0.7, 0.86)
    start, speed = rng.uniform(0, 1), rng.choice([-1, 1]) * rng.uniform(0.12, 0.4)
    tyre = colour(rng, saturation=(0, 0.5), value=(0.05, 0.4))
    metal = colour(rng, saturation=(0.5, 1.0), value=(0.65, 1.0), hue=WARM)
    spokes, thick = int(rng.integers(6, 13)), rng.uniform(0.006, 0.018)
    ground = colour(rng, saturation=(0.1, 0.5), value=(0.2, 0.6))

    def draw(canvas: Canvas, time_sec: float) -> None:
        path = 0.6 * canvas.aspect
        travelled = (start * path + speed * time_sec) % (2 * path)
        x = 0.2 * canvas.aspect + min(travelled, 2 * path - travelled)  # back and forth, always visible
        y, turn = floor - radius, x / radius
        canvas.box(-0.1, floor, canvas.aspect + 0.2, 0.03, ground)
        canvas.disk(x, y, radius * 0.95, tyre, thickness=radius * 0.2)
        canvas.disk(x, y, radius * 0.8, metal, thickness=radius * 0.08)
        for angle in turn + np.arange(spokes) * 2 * math.pi / spokes:
            end = (x + radius * 0.8 * math.cos(angle), y + radius * 0.8 * math.sin(angle))
            canvas.line((x, y), end, metal, thickness=thick)
        canvas.disk(x, y, radius * 0.16, shade(metal, 0.6))
        canvas.disk(x, y, radius * 0.07, metal)

    return draw


def spinning_fan(rng: np.random.Generator) -> Actor:
    """Broad blades behind a wire guard on a stand."""
    radius = rng.uniform(0.22, 0.34)
    x_part, y = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.5)
    blade = colour(rng, saturation=(0.5, 1.0), value=(0.5, 1.0), hue=COOL)
    body = colour(rng, saturation=(0, 0.4), value=(0.15, 0.9))
    blades, speed = int(rng.integers(3, 6)), rng.choice([-1, 1]) * rng.uniform(3, 14)
    rings, sway = int(rng.integers(1, 5)), rng.uniform(0, 0.06)
    outline = np.linspace(0, 1, 9)
    lean = rng.uniform(0.25, 0.6)

    def draw(canvas: Canvas, time_sec: float) -> None:
        x = x_part * canvas.aspect + sway * math.sin(1.3 * time_sec)
        canvas.box(x - 0.02, y, 0.04, 0.9 - y, body)
        canvas.polygon(np.array([[x - 0.13, 0.92], [x - 0.06, 0.88], [x + 0.06, 0.88], [x + 0.13, 0.92]]), body)
        for index in range(blades):
            angle = speed * time_sec + index * 2 * math.pi / blades
            width = 2.2 / blades * np.sin(outline * math.pi) ** 0.7
            turn = np.concatenate([angle + lean * outline + width, (angle + lean * outline - 0.2 * width)[::-1]])
            reach = radius * 0.92 * np.concatenate([outline, outline[::-1]])
            petal = np.stack([x + reach * np.cos(turn), y + reach * np.sin(turn)], axis=1)
            canvas.polygon(petal, shade(blade, 0.85 + 0.15 * math.cos(angle)))
        for ring in range(rings):
            canvas.disk(x, y, radius * (1 - 0.22 * ring), body, thickness=0.007)
        canvas.disk(x, y, radius * 0.17, body)

    return draw


def swinging_pendulum(rng: np.random.Generator) -> Actor:
    """One to three bobs on rods below a beam, swinging in and out of step."""
    count = int(rng.choice([1, 1, 2, 3]))
    length, beam = rng.uniform(0.4, 0.62), rng.uniform(0.1, 0.2)
    reach, rate = rng.uniform(0.35, 0.9), rng.uniform(2.2, 4.5)
    phases = rng.uniform(0, 2 * math.pi) + np.arange(count) * rng.uniform(0, 0.8)
    bob, size = colour(rng, saturation=(0.5, 1.0), value=(0.4, 0.9), hue=PINK), rng.uniform(0.07, 0.12)
    wood = colour(rng, saturation=(0.2, 0.7), value=(0.15, 0.6))
    rod = colour(rng, saturation=(0, 0.4), value=(0.1, 0.9))
    centre = rng.uniform(0.42, 0.58)

    def draw(canvas: Canvas, time_sec: float) -> None:
        middle = centre * canvas.aspect
        half = 0.15 + 0.12 * count
        widest = min(reach, math.asin(min(1.0, 0.3 * canvas.aspect / length)))  # stays visible in a portrait image
        canvas.box(middle - half, beam - 0.035, 2 * half, 0.035, wood)
        for index, phase in enumerate(phases):
            pivot = middle + (index - (count - 1) / 2) * 0.22
            angle = widest * math.sin(rate * time_sec + phase)
            x, y = pivot + length * math.sin(angle), beam + length * math.cos(angle)
            canvas.line((pivot, beam), (x, y), rod, thickness=0.012)
            canvas.disk(x, y, size, bob)
            canvas.disk(x, y, size * 0.98, shade(bob, 0.6), thickness=0.008)
            canvas.disk(x - size * 0.3, y - size * 0.3, size * 0.28, shade(bob, 1.5))
            canvas.disk(pivot, beam, 0.014, shade(wood, 1.4))

    return draw


def falling_rain(rng: np.random.Generator) -> Actor:
    """Slanted streaks at three depths over a darkened scene, with rings on the ground."""
    drops = rng.random((int(rng.integers(130, 260)), 3))  # x, y, depth in [0, 1)
    slant, speed = rng.uniform(-0.35, 0.35), rng.uniform(1.2, 2.4)
    tint = np.array(colour(rng, saturation=(0.05, 0.35), value=(0.3, 0.6)), np.float32)
    gloom = rng.uniform(0.25, 0.6)
    pale: Colour = shade(colour(rng, saturation=(0, 0.2), value=(0.75, 1.0)), 1.0)
    splashes = rng.random((14, 3))

    def draw(canvas: Canvas, time_sec: float) -> None:
        canvas.image[:] = cv2.addWeighted(canvas.image, 1 - gloom, np.full_like(canvas.image, tint), gloom, 0)
        for x, phase, offset in splashes:
            age = (time_sec * 1.6 + offset) % 1
            canvas.disk(x * canvas.aspect, 0.8 + 0.2 * phase, 0.005 + 0.04 * age, pale, thickness=0.004)
        for x, y, depth in drops:
            near = 0.5 + depth
            fall = (y + time_sec * speed * near) % 1.2 - 0.1
            left = (x * 1.4 - 0.2) * canvas.aspect + slant * fall
            end = (left + slant * 0.1 * near, fall + 0.1 * near)
            canvas.line((left, fall), end, shade(pale, 0.55 + 0.45 * depth), thickness=0.006 * near)

    return draw


ACTORS: dict[str, Callable[[np.random.Generator], Actor]] = {
    "falling rain": falling_rain,
    "rolling wheel": rolling_wheel,
    "spinning fan": spinning_fan,
    "swinging pendulum": swinging_pendulum,
}


def noise_image(rng: np.random.Generator, height: int, width: int) -> Image:
    """An image without an action: text, a chart, fabric, goods, an empty scene."""
    return NOISE_IMAGES[int(rng.integers(len(NOISE_IMAGES)))](rng, height, width)
