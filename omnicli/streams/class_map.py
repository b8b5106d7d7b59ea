"""Maps from the classes of a list to the classes of a subset, such as Kinetics-400 to MiniKinetics-200.

Accepted are the JSON object of the released OmniSource data (``K400_to_MiniKinetics_classidx_mapping.json``: old label
→ new label), an array with the new label at the place of the old one (null or -1: none), and text lines ``old new``,
of integers or, with a tab between, of class names. A class that the file does not name is left out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from omnicli.errors import InputError
from omnicli.streams.class_names import normalise_class
from omnicli.streams.files.media_files import reason_of
from omnicli.streams.files.stored import read_file
from omnicli.streams.record import Record

Class = int | str  # a label, or a name


@dataclass(frozen=True)
class ClassMap:
    """New classes by old ones.

    Attributes:
        path: of the file, for messages.
        classes: by label, or by name as ``normalise_class`` spells it.
    """

    path: str
    classes: dict[Class, Class]

    def apply(self, record: Record) -> Record | None:
        """The record with its new class; None if it has none. A record without label and name stays.

        Raises:
            InputError: the map is of labels and the record has only a name, or the other way round.
        """
        names, labels = record.get("class_name"), record.get("label")
        if names is None and labels is None:
            return record
        by_name = isinstance(next(iter(self.classes)), str)
        old = names if by_name else labels
        if old is None:
            has, needs = ("label", "class names") if by_name else ("class_name", "labels")
            raise InputError(f"{record.where}: has a {has}, but {self.path} maps {needs}; give the map of the other")
        values = old if isinstance(old, list) else [old]
        keys = [normalise_class(value) if by_name else value for value in values]
        found = list(dict.fromkeys(self.classes[key] for key in keys if key in self.classes))
        if not found:
            return None
        made = record.derive()
        made.pop("class_name", None)
        made.pop("label", None)
        made["class_name" if isinstance(found[0], str) else "label"] = found if isinstance(old, list) else found[0]
        return made


def read_class_map(path: str | Path) -> ClassMap:
    """Read a class map.

    Raises:
        InputError: missing, not UTF-8, of another form, without a class, or with a class twice; names file and line.
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {reason_of(error)}; expected a class map") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start:,}; expected a class map") from None
    is_json = text.lstrip().startswith(("{", "["))
    return ClassMap(str(path), _checked(_json_pairs(text, path) if is_json else _line_pairs(text, path), path))


def _json_pairs(text: str, path: str | Path) -> Iterator[tuple[int, Any, Any]]:
    try:
        content = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); expected a class map") from None
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for number, (old, new) in enumerate(pairs, 1):
        if new is not None and new != -1:
            yield number, old, new


def _line_pairs(text: str, path: str | Path) -> Iterator[tuple[int, Any, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            pair = line.strip().split("\t") if "\t" in line.strip() else line.split()
            if len(pair) != 2:
                raise InputError(f"{path}:{number}: expected 'old new' (names with a tab between), got {line[:60]!r}")
            yield number, pair[0], pair[1]


def _checked(pairs: Iterable[tuple[int, Any, Any]], path: str | Path) -> dict[Class, Class]:
    classes: dict[Class, Class] = {}
    for number, old, new in pairs:
        key, value = _class(old), _class(new)
        if key is None or value is None:
            raise InputError(f"{path}:{number}: expected a label or a class name, got {old!r}: {new!r}")
        key = normalise_class(key) if isinstance(key, str) else key
        if key in classes:
            raise InputError(f"{path}:{number}: class {old!r} is mapped twice")
        classes[key] = value
    for kind, values in (("old", classes.keys()), ("new", classes.values())):
        if len({type(value) for value in values}) > 1:
            raise InputError(f"{path}: {kind} classes are labels in some lines and names in others")
    if not classes:
        raise InputError(f"{path}: maps no class; expected a class map")
    return classes


def _class(value: Any) -> Class | None:
    """A label or a name; None for anything else.

    >>> _class("17"), _class("abseiling"), _class(2.5), _class(-3)
    (17, 'abseiling', None, None)
    """
    if type(value) is int:
        return value if value >= 0 else None
    if not isinstance(value, str) or not value.strip():
        return None
    return int(value) if re.fullmatch(r"[0-9]+", value.strip()) else value.strip()
