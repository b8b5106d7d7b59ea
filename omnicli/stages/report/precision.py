"""Precision of thresholds, estimated from verdicts about a stratified random sample.

Each record of the sample stands for size / n records of its stratum, of which n have a verdict. The precision of the
records at or above a threshold is the weighted share of accepted ones among those of the sample that reach it (a ratio
estimate). Its 95 % interval is Wilson's, for Kish's effective number of records, (Σw)² / Σw²: with equal weights that
is Wilson's interval of a simple random sample.

Ours: this combination. It ignores what stratifying gains, and has an answer where all verdicts agree. A person who
picks one of several thresholds by their intervals is a little too optimistic.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.959963984540054  # of a two-sided 95 % interval


class SeenRecord(NamedTuple):
    """A record of the sample with a verdict.

    Attributes:
        confidence: of the record.
        is_kept: as the stream has it.
        is_right: accepted.
        stratum: its number.
        size: records of the stratum.
    """

    confidence: float
    is_kept: bool
    is_right: bool
    stratum: int
    size: int


class Precision(NamedTuple):
    """An estimate.

    Attributes:
        num_seen: records of the sample that it is made from.
        share: the estimate in [0, 1]; NaN without records.
        low, high: 95 % interval.
    """

    num_seen: int
    share: float
    low: float
    high: float

    def __str__(self) -> str:
        if not self.num_seen:
            return "unknown"
        share, low, high = (int(100 * value + 0.5) for value in (self.share, self.low, self.high))
        return f"{share} % ({low} to {high})"


def wilson(share: float, num: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion.

    >>> [round(end, 4) for end in wilson(0.9, 10)]
    [0.5958, 0.9821]
    """
    centre, spread = share + Z * Z / (2 * num), Z * math.sqrt(share * (1 - share) / num + (Z / (2 * num)) ** 2)
    low, high = ((centre + sign * spread) / (1 + Z * Z / num) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def precision_at(seen: Sequence[SeenRecord], threshold: float | None) -> Precision:
    """The precision of the records with at least this confidence; None: of those that were kept."""
    numbers = Counter(one.stratum for one in seen)
    own = [one for one in seen if (one.is_kept if threshold is None else one.confidence >= threshold)]
    if not own:
        return Precision(0, math.nan, 0.0, 1.0)
    weights = [one.size / numbers[one.stratum] for one in own]
    share = sum(weight for weight, one in zip(weights, own, strict=True) if one.is_right) / sum(weights)
    effective = sum(weights) ** 2 / sum(weight * weight for weight in weights)
    return Precision(len(own), share, *wilson(min(share, 1.0), effective))
