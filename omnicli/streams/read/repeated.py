"""INPUTs that lie below others: ``omni index web web/archery`` would read the files of ``archery`` twice."""

import os
from collections.abc import Callable, Sequence

from omnicli.streams.read.dispatch import LIST_SUFFIXES
from omnicli.streams.read.folder import is_hidden


def warn_of_repeated(names: Sequence[str], say: Callable[[str], None]) -> None:
    """Say one line about INPUTs whose records are read more than once; nothing if there are none.

    Ours: only names are compared, so this costs no reading and no memory of IDs. Names in a ``--files-from`` file and
    links are not followed. What a folder leaves out, hidden files and annotation lists, repeats nothing.
    """
    where: dict[str, str] = {}
    repeated: list[tuple[str, str]] = []
    named = [(name, os.path.abspath(name)) for name in names if name != "-"]  # noqa: PTH100 (links are not followed)
    for name, path in named:
        if path in where:
            repeated.append((name, "is given twice"))
        where.setdefault(path, name)
    for name, path in named:
        if (above := _above(path, where)) is not None:
            repeated.append((name, f"is below {above}"))
    if not repeated:
        return
    first, how = repeated[0]
    more = f", and so are those of {len(repeated) - 1:,} more INPUTs" if len(repeated) > 1 else ""
    say(f"warning: {first} {how}: its records are read twice, with the same IDs{more}")


def _above(path: str, where: dict[str, str]) -> str | None:
    """The INPUT that is a folder above and reads the path, too; ``where`` holds INPUTs by path."""
    below, name = os.path.split(path)
    if name.lower().endswith(LIST_SUFFIXES):
        return None
    while name and not is_hidden(os.fsencode(name)):
        if below in where:
            return where[below]
        below, name = os.path.split(below)
    return None
