"""Camera motion for people: numbers in words, outlines of what clips see, and clips as strips of frames that play."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from omnicli.errors import MediaError
from omnicli.media.source import MediaSource
from omnicli.motion.camera import draw_path, image_aspect, make_recipe, render_path
from omnicli.motion.homography import PARAMETERS, STILL, Gaussian
from omnicli.streams.record import Record

NUM_FRAMES, FRAME_INTERVAL = 17, 4  # 64 steps, as in a 4x16 clip, fine enough to play
SHORT_SIDE = 132  # pixels
JPEG_QUALITY = 80
NUM_OUTLINES = 16
MEANINGS = {
    "h11": "stretch across",
    "h12": "shear across",
    "h13": "shift to the right",
    "h21": "shear down",
    "h22": "stretch down",
    "h23": "shift down",
    "h31": "tilt about the vertical",
    "h32": "tilt about the horizontal",
}


@dataclass(frozen=True)
class ClipAnimation:
    """A clip as one image of frames side by side.

    Attributes:
        uri: ``data:`` URI of a JPEG.
        aspect: width / height of a frame.
        scale: sides of its crop as a share of the image's.
    """

    uri: str
    aspect: float
    scale: float


def make_animation(source: MediaSource, record: Record) -> ClipAnimation:
    """The clip of an image as its recipe says, 17 frames 4 steps apart. Raises MediaError."""
    aspect = image_aspect(source)
    path = draw_path(record, aspect=aspect, num_frames=NUM_FRAMES, frame_interval=FRAME_INTERVAL)
    frames = render_path(source, path, short_side=SHORT_SIDE)  # (T, H, W, 3)
    strip = cv2.cvtColor(np.hstack(list(frames)), cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise MediaError("too long for a strip of frames")
    uri = "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
    return ClipAnimation(uri, frames.shape[2] / frames.shape[1], path.scale)


def checkered_image() -> bytes:
    """A checkered image with a cross, 4:3, as PNG: on it every motion is seen."""
    rows, columns = np.mgrid[0:240, 0:320]
    squares = ((rows // 24 + columns // 32) % 2)[..., None] * np.array([36, 28, 20]) + np.array([196, 204, 212])
    squares[117:123], squares[:, 157:163] = (60, 80, 190), (60, 80, 190)
    return cv2.imencode(".png", squares.astype(np.uint8))[1].tobytes()


def parameter_rows(gaussian: Gaussian) -> list[Mapping[str, Any]]:
    """Name, meaning, mean (less standing still) and standard deviation of each parameter, and a bar of the latter."""
    spread = np.sqrt(np.diag(gaussian.covariance).clip(0))
    most = max(float(spread.max()), 1e-12)
    return [
        {
            "name": name,
            "meaning": MEANINGS[name],
            "mean": float(gaussian.mean[index] - STILL[index]),
            "spread": float(spread[index]),
            "share": float(spread[index]) / most,
        }
        for index, name in enumerate(PARAMETERS)
    ]


def outlines(gaussian: Gaussian, mode: str, *, aspect: float = 4 / 3) -> Markup:
    """What the last frame of 16 clips sees of the image, drawn over it, and the first of each as dashes (SVG)."""
    half = np.array([max(aspect, 1.0), max(1 / aspect, 1.0)])
    corners = np.array([[-half[0], half[0], half[0], -half[0]], [-half[1], -half[1], half[1], half[1]], [1, 1, 1, 1]])
    parts = []
    for number in range(NUM_OUTLINES):
        record = Record({"id": f"outline {number}", "inflation": make_recipe(mode, gaussian, seed=0)})
        path = draw_path(record, aspect=aspect, num_frames=4, frame_interval=16)
        for style, view in (("first", path.views[0]), ("last", path.views[-1])):
            seen = view @ corners
            points = " ".join(f"{x:.3f},{y:.3f}" for x, y in (seen[:2] / seen[2]).T)
            parts.append(f'<polygon class="{style}" points="{points}"/>')
    edge = f'x="{-half[0]:.3f}" y="{-half[1]:.3f}" width="{2 * half[0]:.3f}" height="{2 * half[1]:.3f}"'
    view_box = f"{-half[0] - 0.03:.3f} {-half[1] - 0.03:.3f} {2 * half[0] + 0.06:.3f} {2 * half[1] + 0.06:.3f}"
    return Markup(
        f'<svg class="outlines" role="img" aria-label="what 16 clips see" viewBox="{view_box}">'
        f'<rect class="image" {edge}/>{"".join(parts)}</svg>'
    )
