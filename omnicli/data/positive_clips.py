"""A long video as one sample of a 3D model: one of its positive clips is drawn per visit (OmniSource Sec. 3.5).

``positive_clips`` of a record holds the numbers of clips in a folder (``media: clips``, see ``read.raw_videos``), or
intervals [start, end) of the video in seconds. Clips are equally likely, as in the released code.
"""

from typing import Any

import numpy as np

from omnicli.errors import InputError
from omnicli.streams.read.raw_videos import MEDIA, clip_path
from omnicli.streams.record import Record


def draw_clip(record: Record, rng: np.random.Generator) -> Record:
    """One positive clip of a long video as a record; the id stays that of the video."""
    clips = _clips(record)
    return _clip(record, clips[int(rng.integers(len(clips)))])


def first_clip(record: Record) -> Record:
    """The first positive clip; other records stay as they are."""
    return _clip(record, _clips(record)[0]) if record.get("positive_clips") is not None else record


def _clips(record: Record) -> list[Any]:
    """The positive clips of a record, at least one. Raises InputError."""
    clips: list[Any] = record["positive_clips"]
    if not clips:
        raise InputError(f"{record.where}: positive_clips is empty; such videos are left out")
    if record.get("media") == MEDIA and not all(type(clip) is int for clip in clips):
        raise InputError(f"{record.where}: positive_clips {clips[:3]}, expected numbers of clips in the folder")
    return clips


def _clip(record: Record, clip: Any) -> Record:
    if isinstance(clip, int):
        made = record.derive(path=clip_path(record.require("path"), clip))
        made.pop("media", None)
    else:
        made = record.derive(start_sec=clip[0], end_sec=clip[1])
    del made["positive_clips"]
    return made
