"""Annotation lists of other tools as records.

    mmaction   path label            or several labels: path label label
    frames     folder num_frames label
    kinetics   CSV: label,youtube_id,time_start,time_end,split
    ucf101     Class/v_Class_g01_c01.avi [number]    numbers from 1, in the order of classInd.txt
    hmdb51     CLASS_test_splitN.txt: video.avi flag    1 train, 2 test, 0 neither
    raw-video  folder label num_clips positive ...      or JSON; the long videos of OmniSource

The lines show the format of a list; ``--list-format`` decides if two formats fit.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice

from omnicli.errors import InputError
from omnicli.streams.files.sniff import MEDIA_SUFFIXES
from omnicli.streams.files.stored import read_file
from omnicli.streams.read.hmdb51 import is_hmdb51, read_hmdb51
from omnicli.streams.read.kinetics import is_kinetics, read_kinetics
from omnicli.streams.read.raw_videos import fits, holds_clips, video_records
from omnicli.streams.record import Record, normalise_id

LIST_FORMATS = ("mmaction", "frames", "kinetics", "ucf101", "hmdb51", "raw-video")
SPLIT_FORMATS = ("kinetics", "hmdb51")  # lists of several parts
_UCF_PATH = re.compile(r"[^/\s]+/v_[^/\s]+_g\d+_c\d+(\.\w+)?")
NUM_AHEAD = 200  # lines read to recognise the format

Line = tuple[int, str]
Parse = Callable[[Iterator[Line]], Iterator[Record]]


def read_annotations(
    lines: Iterable[tuple[int, bytes]],
    *,
    name: str,
    list_format: str | None = None,
    root: str | None = None,
    split: str | None = None,
    each_clip: bool = False,
    raw_videos: bool = False,
) -> Iterator[Record]:
    """Yield one record per line of an annotation list.

    Args:
        lines: numbered lines without their ends; blank ones are skipped.
        name: path of the list, for messages and classInd.txt; its folder contains the Kinetics videos if ``root`` is
            None.
        list_format: one of ``LIST_FORMATS``; None recognises it.
        root: folder of relative paths.
        split: "train", "val" or "test": read only this part of a list of several.
        each_clip: of raw videos, one record per positive clip.
        raw_videos: of Kinetics, whole videos with the labelled interval.

    Raises:
        InputError: a line of another form, or a list that fits two formats; names file, line and option.
    """
    decoded = _decode(lines, name)
    ahead = list(islice(decoded, NUM_AHEAD))
    if not ahead:
        return
    form = list_format or _recognise(ahead, name, root)
    rows = chain(ahead, decoded)
    _check_options(form, name, split, raw_videos=raw_videos)
    match form:
        case "mmaction":
            yield from (_mmaction(row, name, root) for row in rows)
        case "frames":
            yield from (_frames(row, name, root) for row in rows)
        case "kinetics":
            yield from read_kinetics(rows, name, root, split=split, raw_videos=raw_videos)
        case "hmdb51":
            yield from read_hmdb51(rows, name, split)
        case "raw-video":
            for number, line in rows:
                path, numbers = _split(line, root)
                yield from video_records(path, numbers, name, number, each_clip=each_clip)
        case "ucf101":
            class_names = _read_class_ind(name)
            yield from (_ucf101(row, name, class_names) for row in rows)
        case _:
            raise InputError(f"{name}: unknown list format {form!r}; expected one of {', '.join(LIST_FORMATS)}")


def _check_options(form: str, name: str, split: str | None, *, raw_videos: bool) -> None:
    """Raises InputError: an option without effect on a list of this form."""
    if split is not None and form not in SPLIT_FORMATS:
        raise InputError(f"{name}: --split {split}: a list of the form {form} is of one part; remove --split")
    if raw_videos and form != "kinetics":
        raise InputError(f"{name}: --raw-videos: a list of the form {form} does not say where labels begin and end")


def _decode(lines: Iterable[tuple[int, bytes]], name: str) -> Iterator[Line]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            yield number, line.decode("utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise InputError(f"{name}:{number}: not UTF-8: {line[:60]!r}") from None


def _recognise(ahead: Sequence[Line], name: str, root: str | None) -> str:
    """The format of a list by its first lines. Raises InputError."""
    number, first = ahead[0]
    if is_kinetics(first):
        return "kinetics"
    if is_hmdb51(ahead, name):
        return "hmdb51"
    if all(_UCF_PATH.fullmatch(_split_numbers(line)[0]) for _, line in ahead):
        return _recognise_ucf101(ahead, name)
    votes = {_vote(line, root) for _, line in ahead}
    if "none" in votes:
        number, line = next((number, line) for number, line in ahead if _vote(line, root) == "none")
        raise InputError(
            f"{name}:{number}: not a known list format: {line[:60]!r}; expected 'path label', "
            "'folder num_frames label', Kinetics CSV, UCF101 or HMDB51 lines (for plain paths use --files-from)"
        )
    decided = votes - {"unsure"}
    if len(decided) == 1:
        return decided.pop()
    numbers = [_split_numbers(line)[1] for _, line in ahead]
    is_raw = all(map(fits, numbers)) and any(len(some) > 2 for some in numbers)
    others, formats = (", 'folder label num_clips positive ...'", "raw-video, ") if is_raw else ("", "")
    raise InputError(
        f"{name}:{number}: could be 'path label label'{others} or 'folder num_frames label': {first[:60]!r}; "
        f"use --list-format {formats}mmaction or --list-format frames"
    )


def _recognise_ucf101(ahead: Sequence[Line], name: str) -> str:
    # lists of UCF101 count classes from 1, mmaction's lists of the same paths from 0
    numbered = [(_split_numbers(line)[0], _split_numbers(line)[1]) for _, line in ahead]
    if any(len(numbers) > 1 for _, numbers in numbered):
        return "frames"
    if not any(numbers for _, numbers in numbered):
        return "ucf101"
    if any(numbers == [0] for _, numbers in numbered):
        return "mmaction"
    class_names = _read_class_ind(name)
    if class_names:
        known = [(path.split("/")[0], numbers[0]) for path, numbers in numbered if numbers]
        from_one = all(0 < number <= len(class_names) and class_names[number - 1] == folder for folder, number in known)
        return "ucf101" if from_one else "mmaction"
    raise InputError(
        f"{name}:{ahead[0][0]}: labels may count from 1 (UCF101) or from 0 (mmaction); put classInd.txt beside "
        "the list, or use --list-format ucf101 or --list-format mmaction"
    )


def _vote(line: str, root: str | None) -> str:
    """The format that fits one line: "mmaction", "frames", "raw-video", "unsure" or "none"."""
    path, numbers = _split(line, root)
    if not numbers or not path:
        return "none"
    if len(numbers) == 1 or path.casefold().endswith(MEDIA_SUFFIXES):
        return "mmaction"
    folder = os.path.join(root or "", path)  # noqa: PTH118 (as given)
    if os.path.isdir(folder):  # noqa: PTH112
        return "raw-video" if fits(numbers) and holds_clips(folder, numbers) else "frames"
    return "mmaction" if _exists(path, root) else "unsure"


def _split(line: str, root: str | None) -> tuple[str, list[int]]:
    """The path and the integers after it; a path with a number ("holiday 2019 3") is recognised if it exists."""
    path, numbers = _split_numbers(line)
    if len(numbers) > 1 and not path.casefold().endswith(MEDIA_SUFFIXES) and not _exists(path, root):
        for keep in range(1, len(numbers)):
            longer = line.strip().rsplit(maxsplit=keep)[0]
            if _exists(longer, root):
                return longer, numbers[-keep:]
    return path, numbers


def _exists(path: str, root: str | None) -> bool:
    return os.path.exists(os.path.join(root or "", path))  # noqa: PTH110, PTH118 (as given)


def _split_numbers(line: str) -> tuple[str, list[int]]:
    """The path, which may contain spaces, and the integers after it."""
    rest = line.strip()
    numbers: list[int] = []
    while match := re.fullmatch(r"(.*\S)\s+(-?[0-9]+)", rest, re.DOTALL):
        rest = match[1]
        numbers.insert(0, int(match[2]))
    return rest, numbers


def _mmaction(row: Line, name: str, root: str | None) -> Record:
    number, line = row
    path, labels = _split(line, root)
    if not labels:
        raise InputError(f"{name}:{number}: expected 'path label', got {line[:60]!r}")
    if min(labels) < 0:
        raise InputError(f"{name}:{number}: label {min(labels)} is negative: {line[:60]!r}")
    fields = {"id": normalise_id(path), "path": path, "label": labels[0] if len(labels) == 1 else labels}
    return Record(fields, origin=name, line=number)


def _frames(row: Line, name: str, root: str | None) -> Record:
    number, line = row
    path, numbers = _split(line, root)
    if len(numbers) < 2 or min(numbers) < 0:
        raise InputError(f"{name}:{number}: expected 'folder num_frames label', got {line[:60]!r}")
    num_frames, *labels = numbers
    if num_frames == 0 and len(labels) > 1:
        raise InputError(
            f"{name}:{number}: a folder of 0 frames with {len(labels)} labels: lists with offsets ('folder offset "
            f"num_frames label') are not read: {line[:60]!r}"
        )
    fields = {
        "id": normalise_id(path),
        "path": path,
        "media": "frames",
        "label": labels[0] if len(labels) == 1 else labels,
        "num_frames": num_frames,
    }
    return Record(fields, origin=name, line=number)


def _ucf101(row: Line, name: str, class_names: list[str]) -> Record:
    number, line = row
    path, numbers = _split_numbers(line)
    folder, slash, _ = path.partition("/")
    if len(numbers) > 1 or not slash:
        raise InputError(
            f"{name}:{number}: expected 'Class/v_Class_g01_c01.avi' and its class number, got {line[:60]!r}"
        )
    fields: dict[str, object] = {"id": normalise_id(path), "path": path, "class_name": folder}
    label = class_names.index(folder) if folder in class_names else None
    if class_names and label is None:
        raise InputError(f"{name}:{number}: class {folder!r} is not in classInd.txt beside the list")
    if numbers and (numbers[0] < 1 or (label is not None and label != numbers[0] - 1)):
        raise InputError(
            f"{name}:{number}: class number {numbers[0]} of {folder!r}, expected "
            f"{'at least 1' if label is None else label + 1} (UCF101 counts from 1)"
        )
    if label is None and numbers:
        label = numbers[0] - 1
    if label is not None:
        fields["label"] = label
    return Record(fields, origin=name, line=number)


def _read_class_ind(name: str) -> list[str]:
    """The class names in ``classInd.txt`` beside the list, in order; [] without this file. Raises InputError."""
    path = os.path.join(os.path.dirname(name), "classInd.txt")  # noqa: PTH118, PTH120
    try:
        rows = [line.split() for line in read_file(path).decode().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return []
    for number, row in enumerate(rows, 1):
        if len(row) != 2 or row[0] != str(number):
            raise InputError(f"{path}:{number}: expected '{number} ClassName', got {' '.join(row)!r}")
    return [row[1] for row in rows]
