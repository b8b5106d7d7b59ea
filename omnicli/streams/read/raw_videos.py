"""Lists of raw videos as OmniSource released them (mmaction2 ``RawVideoDataset``): one record per long video.

    text    DIR LABEL NUM_CLIPS POS0 POS1 ...
    JSON    an array of {"video_dir", "label", "num_clips", "positive_clip_inds"}

The videos are cut into clips of ten seconds, ``DIR/part_0.mp4``, ``DIR/part_1.mp4``, ...; a teacher found those at
POS0, POS1, ... positive. A video is one sample: training draws one of its positive clips per visit.

Ours: with ``each_clip`` every positive clip is a record with its video as ``parent``, for stages that read media.
"""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from omnicli.errors import InputError
from omnicli.reasons import NO_POSITIVE
from omnicli.streams.read.file_records import Rejected
from omnicli.streams.record import JSON_KINDS, Fields, Record, normalise_id

_ARRAY = re.compile(rb'\[\s*([]["{]|$)')
MEDIA = "clips"  # a folder of numbered clips
CLIP_NAME = "part_{}.mp4"
JSON_KEYS = ("video_dir", "label", "num_clips", "positive_clip_inds")
EXPECTED = "expected 'DIR label num_clips positive positive ...' with positive clips below num_clips"


def read_json_list(data: bytes, name: str, *, each_clip: bool = False) -> Iterator[Record]:
    """Yield the records of a JSON array of raw videos; they are numbered from 1.

    Raises:
        InputError: not JSON, or an array of something else; names file and entry.
    """
    try:
        entries = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{name}: not JSON ({error})") from None
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not set(JSON_KEYS) <= set(entry):
            kind = JSON_KINDS.get(type(entry), "a number")
            has = f"an object of {', '.join(entry) or 'nothing'}" if isinstance(entry, dict) else kind
            raise InputError(
                f"{name}:{number}: in a JSON array, {has}; a list of raw videos has {', '.join(JSON_KEYS)}; of "
                f"records, expected one object per line: jq -c '.[]' {name}"
            )
        label = entry["label"]
        numbers = [label[0] if isinstance(label, list) and len(label) == 1 else label, entry["num_clips"]]
        positive = entry["positive_clip_inds"]
        if not isinstance(positive, list) or not all(type(value) is int for value in [*numbers, *positive]):
            raise InputError(f"{name}:{number}: label, num_clips and positive_clip_inds must be whole numbers: {entry}")
        yield from video_records(str(entry["video_dir"]), [*numbers, *positive], name, number, each_clip=each_clip)


def is_array(start: bytes) -> bool:
    """Whether a list begins as a JSON array, and not with a path.

    >>> [is_array(line) for line in (b"[", b'[{"label": 3}', b"[]", b"[2019] a.mp4 3")]
    [True, True, True, False]
    """
    return _ARRAY.match(start) is not None


def refuse_other_json(line: bytes, name: str) -> None:
    """Refuse a ``.json`` file whose first object has no field of a record, such as a class map, and an indented object.

    Raises:
        InputError: says what its keys are.
    """
    if line == b"{":
        raise InputError(f"{name}:1: a JSON object over several lines; expected one record per line: jq -c . {name}")
    if not name.lower().endswith(".json"):
        return
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # parsing says what is wrong
    if isinstance(fields, dict) and fields and not set(fields) & set(Fields.__struct_fields__):
        keys = ", ".join(map(repr, list(fields)[:3]))
        raise InputError(
            f"{name}:1: a JSON object of {len(fields):,} keys such as {keys}, not a record; a class map goes to index "
            "--class-map, and of Kinetics the CSV is read"
        )


def video_records(
    path: str, numbers: Sequence[int], name: str, number: int, *, each_clip: bool = False
) -> Iterator[Record]:
    """Yield the record of one raw video, or with ``each_clip`` one per positive clip; a reject if it has none.

    Args:
        path: its folder.
        numbers: label, number of clips, positive clips.
        name: of the list.
        number: of the line.
        each_clip: one record per positive clip.

    Raises:
        InputError: numbers that do not fit; names file and line.
    """
    if not fits(numbers):
        raise InputError(f"{name}:{number}: {path[:60]!r} {' '.join(map(str, numbers[:8]))}: {EXPECTED}")
    label, num_clips, *positive = numbers
    fields: dict[str, Any] = {"id": normalise_id(path), "path": path, "media": MEDIA, "label": label}
    fields |= {"num_clips": num_clips, "positive_clips": positive}
    if not positive:
        rejected = Rejected(fields, origin=name, line=number)
        rejected.reason = NO_POSITIVE
        yield rejected
    elif not each_clip:
        yield Record(fields, origin=name, line=number)
    else:
        for index in positive:
            clip = clip_path(path, index)
            yield Record(
                {"id": normalise_id(clip), "parent": fields["id"], "path": clip, "label": label},
                origin=name, line=number,
            )  # fmt: skip


def fits(numbers: Sequence[int]) -> bool:
    """Whether these can be label, number of clips and positive clips.

    >>> fits([66, 10, 0, 1, 2]), fits([66, 10]), fits([120, 3, 7]), fits([5, 9, 2, 2])
    (True, True, False, False)
    """
    if len(numbers) < 2 or min(numbers) < 0:
        return False
    positive = numbers[2:]
    return len(set(positive)) == len(positive) and all(index < numbers[1] for index in positive)


def holds_clips(path: str, numbers: Sequence[int]) -> bool:
    """Whether a folder has the first clip, or the first positive one."""
    return any(os.path.exists(clip_path(path, index)) for index in {0, *numbers[2:3]})  # noqa: PTH110 (as given)


def clip_path(path: str, index: int) -> str:
    """The file of one clip of a raw video."""
    return os.path.join(path, CLIP_NAME.format(index))  # noqa: PTH118 (as given)
