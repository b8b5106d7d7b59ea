"""Class names: the classes file that fixes their order, and the rule that matches their spellings."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from omnicli.errors import InputError
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.sniff import LFS_MAGIC, LFS_POINTER
from omnicli.streams.files.stored import read_file


def read_classes(path: str | Path) -> list[str]:
    """Read the classes file: one name per line; the label is the line number minus one.

    Raises:
        InputError: missing, empty, not UTF-8, or with a blank line or a name that occurs twice (in any spelling).
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}; expected a classes file with one name per line") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}; expected one class name per line") from None
    if text.startswith(LFS_MAGIC.decode()):
        raise InputError(f"{path}: {LFS_POINTER}")
    names = [line.strip() for line in text.split("\n")]
    if names[-1] == "":
        names.pop()
    if not names:
        raise InputError(f"{path}: no classes; expected one class name per line")
    first_lines: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise InputError(f"{path}:{number}: a blank line; expected one class name per line")
        first = first_lines.setdefault(normalise_class(name), number)
        if first != number:
            raise InputError(f"{path}:{number}: class {name!r} is already on line {first}")
    return names


def normalise_class(name: str) -> str:
    """The form that all spellings of a class have in common.

    >>> normalise_class("Playing_Violin") == normalise_class("playing  violin") == normalise_class("playing-violin")
    True
    """
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def bare_name(name: str) -> str:
    """The class name as a person would type it.

    >>> bare_name("Playing_Violin"), bare_name("PlayingPiano"), bare_name("shooting goal (soccer)")
    ('Playing Violin', 'Playing Piano', 'shooting goal (soccer)')
    """
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("_", " ")).split())


class ClassIndex:
    """Labels by class name, in any spelling.

    Attributes:
        names: as given; the label is the index.

    >>> ClassIndex(["archery", "Playing_Violin"]).find("playing violin")
    1
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._labels = {normalise_class(name): label for label, name in enumerate(names)}

    def __len__(self) -> int:
        return len(self.names)

    def find(self, name: str) -> int | None:
        """The label of a class, or None."""
        return self._labels.get(normalise_class(name))

    def nearest(self, name: str) -> list[str]:
        """Up to three names with the most similar spelling, the most similar first; spaces do not count.

        >>> ClassIndex(["archery", "Playing_Violin"]).nearest("PlayingViolin")
        ['Playing_Violin']
        """
        spaceless = {key.replace(" ", ""): label for key, label in self._labels.items()}
        wanted = normalise_class(name).replace(" ", "")
        return [self.names[spaceless[key]] for key in difflib.get_close_matches(wanted, spaceless, n=3, cutoff=0.5)]
