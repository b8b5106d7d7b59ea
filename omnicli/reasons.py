"""Reasons why a record is rejected, each spelled once: users filter ``--rejects`` by them.

The part before the first colon is the category that is counted; ``unreadable`` is counted apart from rejections.
"""

import re
from collections import Counter
from collections.abc import Mapping

UNREADABLE = "unreadable"  # the file cannot be opened or decoded
INTERNAL_ERROR = "internal error"  # an exception that nobody expected; its traceback is in the log
DAMAGED_TAR = "damaged tar"  # detail of unreadable: the rest of a tar, whose members nobody knows
LOW_CONFIDENCE = "low confidence"  # filter: below the threshold
LOW_RANK = "low rank"  # filter: outside --keep-fraction or --top
NO_CLASS = "no class"  # no label, or no query that names a class
DISAGREES = "teacher disagrees"  # filter --agree: the best class is not the query's
NO_POSITIVE = "no positive"  # segment: no frame or clip reaches the threshold
TOO_SHORT = "too short"  # segment: shorter than half a clip; --min-sec
TOO_LONG = "too long"  # --max-sec
OVER_BUDGET = "over budget"  # --max-minutes
DUPLICATE = "duplicate"  # dedup: resembles a target record
REPEAT = "repeat"  # dedup --within: resembles an earlier record of the stream
BY_VERDICT = "verdict"  # --verdicts: a person rejected the record
SMALL_CLASS = "small class"  # balance --min-per-class
HEAD_CLASS = "head class"  # balance --keep-tail
NOT_DRAWN = "not drawn"  # balance --resample; index --label-share
NO_SCORES = "no scores"  # eval --fuse: not in every set of scores
BEFORE_SCORING = (UNREADABLE, INTERNAL_ERROR, NO_CLASS, TOO_SHORT, TOO_LONG)  # such rejects may lack scores

MAX_KINDS = 100  # kinds of unreadable records that are counted apart
_NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)\d[\d,.]*(?:e[+-]?\d+)?(?![\w-])")  # not those in HDF5, UTF-8, 16-bit


def unreadable(why: object) -> str:
    """The reason of a record whose media cannot be read; that of a ``RecordError`` is complete already.

    >>> unreadable("truncated JPEG")
    'unreadable: truncated JPEG'
    >>> unreadable("internal error: IndexError: list index out of range")
    'internal error: IndexError: list index out of range'
    """
    return str(why) if category_of(str(why)) == INTERNAL_ERROR else f"{UNREADABLE}: {why}"


def count_reject(counters: Counter[str], reason: str) -> str:
    """Count a rejected record; returns the key of the kind of an unreadable one, else "".

    Kinds are counted too, without the numbers in them: "unreadable: decode error at N s".

    >>> counters = Counter()
    >>> count_reject(counters, "unreadable: decode error at 12.3 s"), counters["unreadable"]
    ('unreadable: decode error at N s', 1)
    """
    counters[counter_of(reason)] += 1
    if category_of(reason) != UNREADABLE:
        return ""
    kind = f"{UNREADABLE}: {_NUMBER.sub('N', detail_of(reason)) or 'unknown'}"
    if kind not in counters and sum(key.startswith(f"{UNREADABLE}: ") for key in counters) >= MAX_KINDS:
        kind = f"{UNREADABLE}: other reasons"
    counters[kind] += 1
    return kind


def unreadable_by_kind(counters: Mapping[str, int]) -> dict[str, int]:
    """Counts of the kinds of unreadable records, most frequent first."""
    prefix = f"{UNREADABLE}: "
    kinds = Counter({key.removeprefix(prefix): count for key, count in counters.items() if key.startswith(prefix)})
    return dict(kinds.most_common())


def num_failed(counters: Mapping[str, int]) -> int:
    """Number of records that nothing could be done with, for ``--max-bad``: unreadable, or an internal error."""
    return counters.get(UNREADABLE, 0) + counters.get(counter_of(INTERNAL_ERROR), 0)


def category_of(reason: str) -> str:
    """What a reason is counted as.

    >>> category_of("unreadable: truncated JPEG"), category_of("low rank")
    ('unreadable', 'low rank')
    """
    return reason.partition(":")[0]


def counter_of(reason: str) -> str:
    """Key of the counter that a reject with this reason increments.

    >>> counter_of("unreadable: truncated JPEG"), counter_of("low rank")
    ('unreadable', 'rejected: low rank')
    """
    category = category_of(reason)
    return category if category == UNREADABLE else f"rejected: {category}"


def detail_of(reason: str) -> str:
    """What follows the category; empty for a bare one.

    >>> detail_of("unreadable: not an image: HTML"), detail_of("low rank")
    ('not an image: HTML', '')
    """
    return reason.partition(": ")[2]
