"""Licences of published weights: what may not be used commercially is said once."""

import re
import warnings

NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial|research", re.IGNORECASE)
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


def is_non_commercial(licence: str) -> bool:
    """Whether a licence excludes commercial use by its name.

    >>> is_non_commercial("cc-by-nc-4.0"), is_non_commercial("apache-2.0"), is_non_commercial("mit")
    (True, False, False)
    """
    return bool(NON_COMMERCIAL.search(licence))
