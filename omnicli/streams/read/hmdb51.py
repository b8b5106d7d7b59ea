"""Split files of HMDB51: ``CLASS_test_splitN.txt`` with lines ``VIDEO.avi FLAG``.

The flag is not a label: 1 is a training video of the split, 2 a test video, 0 neither. The class is in the name of the
file, and the videos are at ``CLASS/VIDEO.avi``.
"""

import os
import re
from collections.abc import Iterator, Sequence

from omnicli.errors import InputError
from omnicli.streams.record import Record, normalise_id

FLAGS = {"train": 1, "test": 2}
_FILE = re.compile(r"(.+)_test_split[1-9]\.txt")
_LINE = re.compile(r"(\S.*\.avi)\s+([012])")
# HMDB51 names say the part of the body, the camera's motion, the number of people, the view and the quality
_VIDEO = re.compile(r"[^/]+_[fhlu]_(cm|nm)_np\d_(ba|fr|le|ri)_(bad|goo|med)_\d+\.avi")

Line = tuple[int, str]


def is_hmdb51(ahead: Sequence[Line], name: str) -> bool:
    """Whether the first lines are of a split file, by its name and lines, or by the names of its videos."""
    matches = [_LINE.fullmatch(line.strip()) for _, line in ahead]
    if not all(matches):
        return False
    is_named = _FILE.fullmatch(os.path.basename(name)) is not None  # noqa: PTH119
    return is_named or all(match and _VIDEO.fullmatch(match[1]) for match in matches)


def read_hmdb51(rows: Iterator[Line], name: str, split: str | None) -> Iterator[Record]:
    """Yield the videos of one part of a split, with ``class_name``.

    Args:
        rows: numbered lines.
        name: path of the file.
        split: "train" or "test".

    Raises:
        InputError: no part is asked for, a file without a class in its name, or a line of another form.
    """
    if split not in FLAGS:
        what = "give omni index --split train or --split test" if split is None else f"and has no {split!r} videos"
        raise InputError(
            f"{name}: an HMDB51 split file: its numbers mean train (1), test (2), unused (0) and are not labels; {what}"
        )
    named = _FILE.fullmatch(os.path.basename(name))  # noqa: PTH119
    if named is None:
        raise InputError(f"{name}: an HMDB51 split file is named CLASS_test_splitN.txt, which gives the class")
    for number, line in rows:
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(f"{name}:{number}: expected 'VIDEO.avi' and 0, 1 or 2, got {line[:60]!r}")
        if int(match[2]) == FLAGS[split]:
            path = f"{named[1]}/{match[1]}"
            yield Record(
                {"id": normalise_id(path), "path": path, "class_name": named[1]}, origin=name, line=number
            )  # fmt: skip
