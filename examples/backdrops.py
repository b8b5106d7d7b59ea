"""Backdrops and clutter of the rendered world (rooms, walls, hills, streets, leaves), and images without an action.

Everything is RGB uint8 and drawn from an explicit ``rng``, so the same seed gives the same pixels.
"""

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

Colour = tuple[int, int, int]
Image = np.ndarray  # (H, W, 3) uint8 RGB
SUBPIXEL_BITS = 4


def colour(
    rng: np.random.Generator,
    *,
    saturation: tuple[float, float],
    value: tuple[float, float],
    hue: tuple[float, float] = (0.0, 1.0),
) -> Colour:
    """A random colour within the given ranges (HSV, [0, 1])."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue), rng.uniform(*saturation), rng.uniform(*value))
    return int(red * 255), int(green * 255), int(blue * 255)


def shade(base: Colour, factor: float) -> Colour:
    """``base`` made darker (< 1) or lighter (> 1)."""
    red, green, blue = (int(min(255, channel * factor)) for channel in base)
    return red, green, blue


class Canvas:
    """Draws on an image in units of its height, so that a thumbnail and a large image of one scene agree."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.height, self.width = image.shape[:2]
        self.aspect = self.width / self.height

    def points(self, xy: np.ndarray) -> np.ndarray:
        """(N, 2) x, y in heights → (N, 1, 2) int32 in 1/16 pixels."""
        scaled = np.asarray(xy, np.float64) * (self.height << SUBPIXEL_BITS)
        return np.rint(scaled).astype(np.int32).reshape(-1, 1, 2)

    def polygon(self, xy: np.ndarray, fill: Colour) -> None:
        """A filled polygon, corners (N, 2)."""
        cv2.fillPoly(self.image, [self.points(xy)], fill, cv2.LINE_AA, SUBPIXEL_BITS)

    def disk(self, x: float, y: float, radius: float, fill: Colour, *, thickness: float = 0) -> None:
        """A disk, or with ``thickness`` (in heights) a ring."""
        centre = self.points(np.array([[x, y]]))[0, 0]
        pixels = cv2.FILLED if thickness == 0 else max(1, round(thickness * self.height))
        scaled = round(radius * (self.height << SUBPIXEL_BITS))
        at = (int(centre[0]), int(centre[1]))
        cv2.circle(self.image, at, max(1, scaled), fill, pixels, cv2.LINE_AA, SUBPIXEL_BITS)

    def line(self, start: tuple[float, float], end: tuple[float, float], fill: Colour, *, thickness: float) -> None:
        """A straight line, ``thickness`` in heights, at least one pixel."""
        (first,), (last,) = self.points(np.array([start, end]))
        pixels = max(1, round(thickness * self.height))
        begin, finish = (int(first[0]), int(first[1])), (int(last[0]), int(last[1]))
        cv2.line(self.image, begin, finish, fill, pixels, cv2.LINE_AA, SUBPIXEL_BITS)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour) -> None:
        """A filled rectangle with its upper left corner at (x, y)."""
        self.polygon(np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]]), fill)


def mottle(rng: np.random.Generator, height: int, width: int, *, octaves: int = 4) -> np.ndarray:
    """(H, W) float32 in about [-1, 1]: noise summed over octaves, the same pattern at every size."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 4 << octave
        grid = rng.standard_normal((cells, cells + cells // 2)).astype(np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return total / 2


def paint(base: Colour, pattern: np.ndarray, strength: float) -> Image:
    """One colour, made lighter and darker by ``pattern`` (H, W); ``strength`` in grey levels."""
    return np.clip(np.array(base, np.float32) + pattern[..., None] * strength, 0, 255).astype(np.uint8)


def fade(top: Colour, bottom: Colour, height: int, width: int) -> Image:
    """A vertical gradient."""
    weight = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = np.array(top, np.float32) * (1 - weight) + np.array(bottom, np.float32) * weight
    return np.repeat(rows.astype(np.uint8), width, axis=1)


def hills(rng: np.random.Generator, height: int, width: int) -> Image:
    """Sky, two or three ridges and mottled ground."""
    sky = colour(rng, saturation=(0.1, 0.6), value=(0.5, 1.0))
    image = fade(sky, shade(sky, rng.uniform(1.1, 1.5)), height, width)
    canvas = Canvas(image)
    base = colour(rng, saturation=(0.2, 0.6), value=(0.25, 0.7))
    for ridge in range(int(rng.integers(2, 4))):
        x = np.linspace(-0.1, canvas.aspect + 0.1, 24)
        waves = 0.08 * np.sin(x * rng.uniform(2, 7) + rng.uniform(0, 6)) + 0.04 * np.sin(x * rng.uniform(8, 15))
        top = np.stack([x, 0.45 + 0.16 * ridge + waves], axis=1)
        outline = np.concatenate([top, [[canvas.aspect + 0.1, 1.1], [-0.1, 1.1]]])
        canvas.polygon(outline, shade(base, 1.25 - 0.25 * ridge))
    grain = (mottle(rng, height, width, octaves=5) * 18)[..., None]
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def wall(rng: np.random.Generator, height: int, width: int) -> Image:
    """Bricks, tiles or boards, with a floor now and then."""
    base = colour(rng, saturation=(0.05, 0.6), value=(0.3, 0.9))
    image = paint(base, mottle(rng, height, width), 28)
    canvas = Canvas(image)
    joint = shade(base, rng.choice([0.6, 1.35]))
    tall, wide = rng.uniform(0.05, 0.2), rng.uniform(0.12, 0.5)
    bond = rng.choice([0.0, 0.5])
    for row in range(int(1 / tall) + 2):
        y = row * tall
        canvas.line((-0.1, y), (canvas.aspect + 0.1, y), joint, thickness=0.006)
        for column in range(int(canvas.aspect / wide) + 2):
            x = (column - bond * (row % 2)) * wide
            canvas.line((x, y), (x, y + tall), joint, thickness=0.006)
    if rng.random() < 0.6:
        floor = colour(rng, saturation=(0.1, 0.5), value=(0.2, 0.6))
        canvas.box(-0.1, rng.uniform(0.72, 0.85), canvas.aspect + 0.2, 0.5, floor)
    return image


def room(rng: np.random.Generator, height: int, width: int) -> Image:
    """A painted room: window or image on the wall, skirting board, floor."""
    image = paint(colour(rng, saturation=(0.05, 0.45), value=(0.45, 0.95)), mottle(rng, height, width, octaves=3), 14)
    canvas = Canvas(image)
    horizon = rng.uniform(0.68, 0.82)
    floor = colour(rng, saturation=(0.2, 0.6), value=(0.25, 0.7))
    canvas.box(-0.1, horizon, canvas.aspect + 0.2, 0.5, floor)
    for x in np.arange(-0.6, canvas.aspect + 0.6, 0.17):
        spread = (x - canvas.aspect / 2) * 1.8 + canvas.aspect / 2
        canvas.line((x, horizon), (spread, 1.05), shade(floor, 0.75), thickness=0.006)
    canvas.box(-0.1, horizon - 0.03, canvas.aspect + 0.2, 0.03, colour(rng, saturation=(0, 0.2), value=(0.6, 1)))
    for _ in range(int(rng.integers(1, 3))):
        x, y, tall = rng.uniform(0, canvas.aspect - 0.3), rng.uniform(0.05, 0.25), rng.uniform(0.2, 0.38)
        canvas.box(x - 0.02, y - 0.02, tall * 0.9 + 0.04, tall + 0.04, colour(rng, saturation=(0, 0.5), value=(0.3, 1)))
        canvas.box(x, y, tall * 0.9, tall, colour(rng, saturation=(0.1, 0.6), value=(0.5, 1)))
    return image


def street(rng: np.random.Generator, height: int, width: int) -> Image:
    """House fronts with windows above a road."""
    sky = colour(rng, saturation=(0.1, 0.5), value=(0.3, 0.95))
    image = fade(sky, shade(sky, 1.3), height, width)
    canvas = Canvas(image)
    x = -0.05
    while x < canvas.aspect:
        wide, top = rng.uniform(0.2, 0.45), rng.uniform(0.05, 0.4)
        front = colour(rng, saturation=(0.05, 0.5), value=(0.25, 0.75))
        canvas.box(x, top, wide, 1 - top, front)
        pane = colour(rng, saturation=(0.1, 0.6), value=(0.2, 1.0))
        for row in np.arange(top + 0.04, 0.7, 0.11):
            for column in np.arange(x + 0.03, x + wide - 0.05, 0.09):
                canvas.box(column, row, 0.045, 0.06, pane)
        x += wide
    canvas.box(-0.1, 0.78, canvas.aspect + 0.2, 0.4, colour(rng, saturation=(0, 0.2), value=(0.2, 0.5)))
    grain = (mottle(rng, height, width, octaves=5) * 10)[..., None]
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def leaves(rng: np.random.Generator, height: int, width: int) -> Image:
    """A hedge: many overlapping blobs of related colours."""
    base = colour(rng, saturation=(0.3, 0.7), value=(0.25, 0.6))
    image = paint(base, mottle(rng, height, width), 30)
    canvas = Canvas(image)
    for _ in range(160):
        x, y, radius = rng.uniform(0, canvas.aspect), rng.uniform(0, 1), rng.uniform(0.01, 0.05)
        turn = rng.uniform(0, np.pi) + np.linspace(0, 2 * np.pi, 9)[:-1]
        outline = np.stack([x + radius * 1.6 * np.cos(turn), y + radius * np.sin(turn + 0.6)], axis=1)
        canvas.polygon(outline, shade(base, rng.uniform(0.6, 1.6)))
    return image


BACKDROPS: tuple[Callable[[np.random.Generator, int, int], Image], ...] = (hills, wall, room, street, leaves)


def backdrop(rng: np.random.Generator, height: int, width: int) -> Image:
    """One of the five backdrops, paler than the objects in front of it, sometimes out of focus."""
    image = BACKDROPS[int(rng.integers(len(BACKDROPS)))](rng, height, width)
    grey = image.mean(axis=2, keepdims=True)
    image = (grey + (image - grey) * rng.uniform(0.2, 0.7)).astype(np.uint8)
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), 0.008 * height * rng.uniform(0.5, 1.5))
    return image


def clutter(rng: np.random.Generator, canvas: Canvas) -> None:
    """Draw up to three distractors (balls, boxes, posts), so that a round shape alone does not indicate a wheel."""
    for _ in range(int(rng.integers(0, 4))):
        x, y, extent = rng.uniform(0, canvas.aspect), rng.uniform(0.45, 0.95), rng.uniform(0.04, 0.12)
        fill = colour(rng, saturation=(0.2, 0.9), value=(0.2, 0.95))
        kind = rng.integers(3)
        if kind == 0:
            canvas.disk(x, y, extent, fill)
            canvas.disk(x - extent / 3, y - extent / 3, extent / 3, shade(fill, 1.4))
        elif kind == 1:
            canvas.box(x, y - extent, extent * 1.6, extent * 1.4, fill)
            canvas.box(x, y - extent, extent * 1.6, extent * 0.2, shade(fill, 1.3))
        else:
            canvas.box(x, y - extent * 4, extent * 0.3, 1.2, fill)


def text_page(rng: np.random.Generator, height: int, width: int) -> Image:
    """A page of text: a slide, a receipt, a meme."""
    paper = colour(rng, saturation=(0, 0.25), value=(0.8, 1.0))
    ink = colour(rng, saturation=(0.2, 0.9), value=(0.05, 0.45))
    image = np.full((height, width, 3), paper, np.uint8)
    canvas = Canvas(image)
    y, size = 0.08, rng.uniform(0.02, 0.05)
    while y < 0.95:
        x = 0.08
        while x < canvas.aspect - 0.12:
            word = rng.uniform(0.03, 0.16)
            canvas.box(x, y, min(word, canvas.aspect - 0.08 - x), size, ink)
            x += word + 0.02
        y += size * rng.choice([1.7, 1.7, 3.0])
    return image


def chart(rng: np.random.Generator, height: int, width: int) -> Image:
    """A bar chart on a plain background, as on a slide."""
    image = np.full((height, width, 3), colour(rng, saturation=(0, 0.2), value=(0.85, 1)), np.uint8)
    canvas = Canvas(image)
    fill = colour(rng, saturation=(0.5, 0.9), value=(0.4, 0.9))
    for x in np.arange(0.1, canvas.aspect - 0.15, 0.12):
        tall = rng.uniform(0.1, 0.75)
        canvas.box(x, 0.9 - tall, 0.08, tall, fill)
    canvas.line((0.06, 0.9), (canvas.aspect - 0.06, 0.9), (40, 40, 40), thickness=0.008)
    return image


def stripes(rng: np.random.Generator, height: int, width: int) -> Image:
    """Fabric: crossing sine waves of two colours."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    turn, pitch = rng.uniform(0, np.pi), rng.uniform(15, 70)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * pitch)
    wave = wave * np.cos((y * np.cos(turn) - x * np.sin(turn)) * pitch * rng.uniform(0, 1))
    return paint(colour(rng, saturation=(0.2, 0.9), value=(0.3, 0.8)), wave, 70)


def product(rng: np.random.Generator, height: int, width: int) -> Image:
    """Goods on a studio background, as in a shop."""
    ground = colour(rng, saturation=(0, 0.3), value=(0.7, 1.0))
    image = fade(ground, shade(ground, 0.8), height, width)
    canvas = Canvas(image)
    for _ in range(3):
        clutter(rng, canvas)
    return image


NOISE_IMAGES: tuple[Callable[[np.random.Generator, int, int], Image], ...] = (
    text_page,
    chart,
    stripes,
    product,
    backdrop,
)
