"""Which frames of a segmented video training takes: positive ones, and negative ones that make it harder (Sec. 3.5)."""

from collections.abc import Sequence

import numpy as np


def draw_snippets(
    positive_sec: Sequence[float],
    negative_sec: Sequence[float],
    rng: np.random.Generator,
    *,
    num_positive: int = 1,
    num_negative: int = 2,
) -> np.ndarray:
    """Times of the snippets of one input; ``media.video.frames_at`` finds their frames.

    Paper: "we use 1 positive frame and 2 negative frames to construct a 3-snippet input".
    Ours: frames are drawn evenly and without repeats; where there are fewer than wanted, all of them are taken and the
    rest is drawn again; a video without negative frames gives positive ones in their place; snippets are in the order
    of time, as those of TSN are.

    Args:
        positive_sec: (P,) times of frames that the teacher believes, P >= 1.
        negative_sec: (Q,) times of the others; Q may be 0.
        rng: draws.
        num_positive: snippets of the first kind.
        num_negative: snippets of the second kind.

    Returns:
        (num_positive + num_negative,) float64 seconds, ascending.

    Raises:
        ValueError: no positive time.

    >>> draw_snippets([7.0], [1.0, 9.0], np.random.default_rng(0))
    array([1., 7., 9.])
    """
    if not len(positive_sec):
        raise ValueError("a video without positive frames has no snippets")
    if not len(negative_sec):
        return np.sort(_draw(positive_sec, num_positive + num_negative, rng))
    return np.sort(np.concatenate([_draw(positive_sec, num_positive, rng), _draw(negative_sec, num_negative, rng)]))


def _draw(times_sec: Sequence[float], count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of the times: no time again before every time has been taken."""
    rounds = -(-count // len(times_sec))
    drawn = [rng.permutation(np.asarray(times_sec, np.float64)) for _ in range(rounds)]
    return np.concatenate([np.empty(0), *drawn])[:count]
