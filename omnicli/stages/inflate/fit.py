"""Camera motion of the target videos: μ and Σ of OmniSource Eq. 2, by maximum likelihood (OmniSource Sec. 3.5).

    in    videos of the target dataset, with `class_name` where motion is wanted for each class
    out   one ``Motion``: all classes together ("agnostic") and each ("specific")

Ours: of each video at most ``max_pairs`` pairs of consecutive frames are measured, a keyed choice, so that a long
video costs and counts no more than a short one; a class has a motion of its own from 50 pairs on. A record without a
class name is of the class it was searched for.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from omnicli.errors import InputError, MediaError
from omnicli.media.record_map import map_records
from omnicli.media.source import MediaSource, open_media
from omnicli.media.source_rate import consecutive_pairs
from omnicli.motion.homography import MomentSums, to_parameters
from omnicli.motion.motion_file import Fitted, Motion
from omnicli.rng import keyed_rng
from omnicli.stages.inflate.tracking import track_motion
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import OnDrop, Record

STAGE = "inflate-fit"
MIN_PAIRS = 50


@dataclass
class MotionStatistics:
    """Steps of the videos of one class, or of all."""

    moments: MomentSums = field(default_factory=MomentSums)
    num_videos: int = 0

    def add(self, parameters: np.ndarray) -> None:
        """Take in the (P, 8) steps of one video."""
        self.moments.add(parameters)
        self.num_videos += len(parameters) > 0

    def fitted(self) -> Fitted:
        """The distribution."""
        return Fitted(self.moments.gaussian(), self.num_videos, self.moments.num_steps)


def fit_motion(
    records: Iterable[Record],
    *,
    max_pairs: int = 100,
    seed: int = 0,
    workers: int = 1,
    root: str | None = None,
    on_drop: OnDrop,
    on_pairs: Callable[[int], None] = lambda count: None,
) -> Motion:
    """Fit N(μ, Σ) to the steps between consecutive frames.

    Args:
        records: videos; ``class_name``, else ``query`` names the class.
        max_pairs: pairs of frames of one video.
        seed: of their choice.
        workers: threads that decode and track.
        root: folder that relative paths start from.
        on_drop: called for videos that cannot be read.
        on_pairs: called with the number of pairs per video.

    Raises:
        InputError: not one pair of frames shows a motion.
    """
    together, classes, names = MotionStatistics(), dict[str, MotionStatistics](), dict[str, str]()
    left_out = Counter[str]()
    measure = partial(_measure_steps, max_pairs=max_pairs, seed=seed, root=root)
    for record, parameters, skipped in map_records(measure, records, workers=workers, on_drop=on_drop):
        left_out += skipped
        together.add(parameters)
        for name in _classes_of(record):
            key = names.setdefault(normalise_class(name), name)
            classes.setdefault(key, MotionStatistics()).add(parameters)
        on_pairs(len(parameters))
    if not together.moments.num_steps:
        why = ", ".join(f"{reason} {count:,}" for reason, count in left_out.most_common()) or "no video could be read"
        raise InputError(f"no pair of consecutive frames shows a motion ({why}); expected videos")
    enough = {name: seen for name, seen in classes.items() if seen.moments.num_steps >= MIN_PAIRS}
    return Motion(
        agnostic=together.fitted(),
        classes={name: enough[name].fitted() for name in sorted(enough)},
        left_out=dict(left_out.most_common()),
        too_few_pairs={name: classes[name].moments.num_steps for name in sorted(classes.keys() - enough.keys())},
        options={"max_pairs": max_pairs, "seed": seed},
    )


def choose_pairs(num_frames: int, *, max_pairs: int, rng: np.random.Generator) -> list[int]:
    """First frames of at most ``max_pairs`` pairs of consecutive frames, ascending, each pair equally likely."""
    num_pairs = num_frames - 1
    if num_pairs <= max_pairs:
        return list(range(num_pairs))
    chosen: list[int] = np.sort(rng.choice(num_pairs, size=max_pairs, replace=False)).tolist()
    return chosen


def _measure_steps(
    record: Record, *, max_pairs: int, seed: int, root: str | None
) -> tuple[Record, np.ndarray, Counter[str]]:
    """The record, (P, 8) parameters of its steps, and the number of skipped pairs per reason. Raises MediaError."""
    with open_media(record, root=root) as source:
        homographies, skipped = track_motion(source, _pairs_of(source, record, max_pairs, seed))
    return record, to_parameters(homographies), skipped


def _pairs_of(source: MediaSource, record: Record, max_pairs: int, seed: int) -> list[int]:
    if source.num_frames < 2:
        raise MediaError("a single frame, which shows no motion")
    rng = keyed_rng(seed, STAGE, str(record.get("id")))
    is_next = consecutive_pairs(source, where=record.where)
    if is_next is None:
        return choose_pairs(source.num_frames, max_pairs=max_pairs, rng=rng)
    first_frames = np.flatnonzero(is_next)
    chosen: list[int] = first_frames[choose_pairs(len(first_frames) + 1, max_pairs=max_pairs, rng=rng)].tolist()
    return chosen


def _classes_of(record: Record) -> list[str]:
    """The classes a video counts for, each once."""
    named = record.get("class_name") or record.get("query") or []
    return list(dict.fromkeys(named if isinstance(named, list) else [named]))
