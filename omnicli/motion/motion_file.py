"""The motion file: the result of ``omni inflate --fit``, as readable JSON.

format and version: "omni-motion", 1. parameters: their order; coordinates: their meaning in words. options: of the fit.
left_out: pairs of frames without a homography, by reason. agnostic: of all classes, the numbers of videos and of
pairs of frames, mean (8) and covariance (8 x 8). classes: the same for each class; too_few_pairs: the pairs of classes
without a distribution.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from omnicli import __version__
from omnicli.errors import InputError
from omnicli.motion.homography import NUM_PARAMETERS, PARAMETERS, Gaussian
from omnicli.streams.class_names import normalise_class
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.stored import read_file
from omnicli.streams.write.atomic import open_atomic

FORMAT = "omni-motion"
VERSION = 1
COORDINATES = "x' ~ Hx from a frame to the next, h33 = 1; short side of the frame [-1, 1], centre 0, y down"
MEAN_DIGITS, COVARIANCE_DIGITS = 12, 9  # significant digits
EXPECTED = "expected a file of omni inflate --fit"


@dataclass(frozen=True)
class Fitted:
    """A distribution, and the numbers of videos and of pairs of frames that it was fitted on."""

    gaussian: Gaussian
    num_videos: int
    num_pairs: int


@dataclass(frozen=True, kw_only=True)
class Motion:
    """The content of a motion file.

    Attributes:
        agnostic: of all classes together.
        classes: by class name, as written.
        left_out: pairs of frames without a homography, by reason.
        too_few_pairs: pairs of classes without a distribution.
        options: of the fit.
    """

    agnostic: Fitted
    classes: Mapping[str, Fitted] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    too_few_pairs: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def find_class(self, name: str) -> str | None:
        """The class with that name, in any spelling, or None."""
        return self._spelled.get(normalise_class(name))

    @cached_property
    def _spelled(self) -> dict[str, str]:
        return {normalise_class(name): name for name in self.classes}


class _Distribution(msgspec.Struct):
    videos: int
    pairs: int
    mean: list[float]
    covariance: list[list[float]]


class _File(msgspec.Struct):
    agnostic: _Distribution
    classes: dict[str, _Distribution]
    left_out: dict[str, int]
    too_few_pairs: dict[str, int]
    options: dict[str, Any]


def write_motion(path: Path, motion: Motion) -> None:
    """Write the motion file atomically. Raises OutputError."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "omni": __version__,
        "parameters": PARAMETERS,
        "coordinates": COORDINATES,
        "options": motion.options,
        "left_out": motion.left_out,
        "agnostic": _plain(motion.agnostic),
        "classes": {name: _plain(fitted) for name, fitted in motion.classes.items()},
        "too_few_pairs": motion.too_few_pairs,
    }
    text = json.dumps(content, ensure_ascii=False, indent=2, allow_nan=False)
    with open_atomic(path) as file:
        file.write(re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", _one_line, text).encode() + b"\n")


def read_motion(path: Path) -> Motion:
    """Read a motion file.

    Raises:
        InputError: missing, not a motion file, of another version, or not a distribution; names the file.
    """
    try:
        content = msgspec.json.decode(read_file(path))
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}; {EXPECTED}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InputError(f"{path}: not JSON; {EXPECTED}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a motion file; {EXPECTED}")
    if content.get("version") != VERSION:
        raise InputError(f"{path}: motion file of version {content.get('version')!r}, this omni reads {VERSION}")
    if content.get("parameters") != list(PARAMETERS):
        raise InputError(f"{path}: parameters are {content.get('parameters')!r}, expected {', '.join(PARAMETERS)}")
    try:
        found = msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {str(error).replace('`', '')}; {EXPECTED}") from None
    return Motion(
        agnostic=_fitted(found.agnostic, f"{path}: agnostic"),
        classes={name: _fitted(part, f"{path}: class {name!r}") for name, part in found.classes.items()},
        left_out=found.left_out,
        too_few_pairs=found.too_few_pairs,
        options=found.options,
    )


def round_digits(numbers: np.ndarray, digits: int) -> list[float]:
    """The numbers, rounded to ``digits`` significant digits.

    >>> round_digits(np.array([1.00012345678901, 1.23456789e-7]), 6)
    [1.00012, 1.23457e-07]
    """
    return [float(f"{number:.{digits - 1}e}") for number in numbers.tolist()]


def _plain(fitted: Fitted) -> dict[str, Any]:
    gaussian = fitted.gaussian
    return {
        "videos": fitted.num_videos,
        "pairs": fitted.num_pairs,
        "mean": round_digits(gaussian.mean, MEAN_DIGITS),
        "covariance": [round_digits(row, COVARIANCE_DIGITS) for row in gaussian.covariance],
    }


def _fitted(part: _Distribution, where: str) -> Fitted:
    """Raises InputError: not 8 and 8 x 8 numbers, or a matrix that is not a covariance."""
    size = NUM_PARAMETERS
    if len(part.mean) != size:
        raise InputError(f"{where}: mean of {len(part.mean)} numbers, expected {size}")
    if [len(row) for row in part.covariance] != [size] * size:
        raise InputError(f"{where}: covariance is not {size} rows of {size} numbers")
    covariance = np.array(part.covariance, np.float64)
    if not np.allclose(covariance, covariance.T, rtol=1e-6, atol=0):
        raise InputError(f"{where}: covariance is not symmetric")
    values = np.linalg.eigvalsh(covariance)
    if values[0] < -1e-6 * max(values[-1], 0.0):
        raise InputError(f"{where}: covariance has a negative eigenvalue, {values[0]:.3g}")
    return Fitted(Gaussian(np.array(part.mean, np.float64), covariance), part.videos, part.pairs)


def _one_line(numbers: re.Match[str]) -> str:
    return "[" + re.sub(r"\s+", " ", numbers[1]) + "]"
