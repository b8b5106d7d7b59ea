"""Licences of published weights: what may not be used commercially is said once."""

import re
import warnings
from pathlib import Path

# amlr: Apple's licence of machine learning research models, such as MobileCLIP 2
NON_COMMERCIAL = re.compile(r"(^|[-_ ])(nc|amlr)([-_ ]|$)|non-?commercial|research", re.IGNORECASE)
MAX_LINES, MAX_CHARACTERS = 200, 80  # of the front matter, of a licence
_said: set[tuple[str, str]] = set()


def say_licence(licence: str, *, path: object) -> None:
    """Warn, once per file and process, of weights that are not for commercial use.

    Args:
        licence: as their publisher states it; "" says nothing.
        path: of the weights.
    """
    key = (licence, str(path))
    if is_non_commercial(licence) and key not in _said:
        _said.add(key)
        warnings.warn(
            f"{path}: licence {licence}: these weights, and models trained from them, are not for commercial use",
            stacklevel=2,
        )


def licence_of(folder: Path) -> str:
    """The licence that the model card (README.md) in a folder names; "" if it names none.

    ``license_name`` comes before ``license``, which is ``other`` beside it.
    """
    try:
        lines = (folder / "README.md").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = {}
    for line in lines[1:MAX_LINES] if lines[:1] == ["---"] else ():
        if line.strip() == "---":
            break
        key, _, value = line.partition(":")
        fields[key.strip()] = value.strip().strip("\"'")[:MAX_CHARACTERS]
    return fields.get("license_name") or fields.get("license") or ""


def is_non_commercial(licence: str) -> bool:
    """Whether a licence excludes commercial use by its name.

    >>> is_non_commercial("cc-by-nc-4.0"), is_non_commercial("apache-2.0"), is_non_commercial("mit")
    (True, False, False)
    """
    return bool(NON_COMMERCIAL.search(licence))
