"""RandAugment of clips: random operations on pixels and geometry, the same for every frame of a clip.

The operations are timm's, with the meaning of its specifications: ``rand-m7-n4-mstd0.5-inc1`` is what VideoMAE, MViTv2
and the probes of V-JEPA 2 are trained with. As in their code, corners that a turn or shift uncovers are grey, pixels
are interpolated bicubically, and contrast and histograms are those of each frame alone.
"""

import math
import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from omnicli.errors import UsageError
from omnicli.models.libraries import library

NONE = "none"
GREY = (128, 128, 128)
OPERATIONS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast",
    "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel",
)  # fmt: skip
LARGEST = {"Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateXRel": 0.45, "TranslateYRel": 0.45}  # both ways
MAX_SPREAD = 100  # timm draws evenly from 0 to the magnitude for a larger mstd


@dataclass(frozen=True)
class RandAugment:
    """What is drawn for every clip; names and defaults are those of a specification.

    Attributes:
        m: magnitude of the operations.
        n: operations drawn, with replacement.
        p: probability that a drawn operation is applied.
        mstd: standard deviation of the magnitude; above 100, it is drawn evenly from 0 to ``m``.
        mmax: largest magnitude.
        inc: 1 for operations whose strength always grows with the magnitude.
    """

    m: float = 10.0
    n: int = 2
    p: float = 0.5
    mstd: float = 0.0
    mmax: float = 10.0
    inc: int = 0

    def __call__(self, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The clip (T, H, W, 3) uint8 after the operations that ``rng`` draws; the same array where it draws none."""
        for number in rng.integers(len(OPERATIONS), size=self.n).tolist():
            magnitude, sign = self._magnitude(rng), 1 if rng.random() < 0.5 else -1
            if rng.random() < self.p:
                frames = apply(OPERATIONS[number], frames, magnitude, sign=sign, increasing=bool(self.inc))
        return frames

    def _magnitude(self, rng: np.random.Generator) -> float:
        drawn = rng.uniform(0, self.m) if self.mstd > MAX_SPREAD else rng.normal(self.m, self.mstd)
        return min(max(float(drawn), 0.0), self.mmax)


def apply(name: str, frames: np.ndarray, magnitude: float, *, sign: int, increasing: bool) -> np.ndarray:
    """The clip (T, H, W, 3) uint8 after one operation of this strength; ``sign`` is its direction where it has two."""
    operation = library("timm.data.auto_augment").NAME_TO_OP[name]
    values = _arguments(name, magnitude / 10.0, sign, increasing)
    changed = np.empty_like(frames, order="C")
    for frame, target in zip(frames, changed, strict=True):
        image = Image.fromarray(np.ascontiguousarray(frame))
        target[:] = operation(image, *values, fillcolor=GREY, resample=Image.Resampling.BICUBIC)
    return changed


def _arguments(name: str, level: float, sign: int, increasing: bool) -> tuple[Any, ...]:
    """What timm's operation takes at a level, 1 being magnitude 10."""
    if name in LARGEST:
        return (sign * level * LARGEST[name],)
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return (max(0.1, 1 + sign * level * 0.9) if increasing else level * 1.8 + 0.1,)
    if name == "SolarizeAdd":
        return (min(128, int(level * 110)),)
    if name == "Solarize":
        threshold = min(256, int(level * 256))
        return (256 - threshold if increasing else threshold,)
    if name == "Posterize":
        bits = int(level * 4)
        return (max(1, 4 - bits if increasing else bits),)  # Ours: of 0 bits timm made black, which Pillow refuses now
    return ()


@cache
def parse_randaugment(text: str) -> RandAugment | None:
    """``none`` → None; ``rand-m7-n4-mstd0.5-inc1`` as timm reads it. Raises UsageError.

    >>> parse_randaugment("rand-m7-n4-mstd0.5-inc1")
    RandAugment(m=7.0, n=4, p=0.5, mstd=0.5, mmax=10.0, inc=1)
    """
    if text == NONE:
        return None
    kinds = {field.name: field.type for field in fields(RandAugment)}
    found: dict[str, Any] = {}
    start, *parts = text.split("-")
    for part in parts:
        word = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?)", part)
        if word is None or word[1] not in kinds or word[1] in found:
            raise _unreadable(text, part)
        value = float(word[2])
        found[word[1]] = value if kinds[word[1]] is float else math.floor(value)
    if start != "rand" or not 0 <= found.get("p", 0.5) <= 1:
        raise _unreadable(text, start if start != "rand" else f"p{found['p']:g}")
    return RandAugment(**found)


def _unreadable(text: str, part: str) -> UsageError:
    return UsageError(
        f"--randaugment {text}: {part!r} is not one of m, n, p, mstd, mmax or inc with a number; give none, or a "
        "specification such as rand-m7-n4-mstd0.5-inc1"
    )
