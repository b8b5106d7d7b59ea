"""What segment says at its end."""

from collections.abc import Mapping

from omnicli.inference.metrics import rescored_lines, shares_at_thresholds
from omnicli.streams.record import Record

RESCORED = "segment: scored again in float32"


def count_scored(record: Record, counters: dict[str, int]) -> None:
    """How many frames have a score >= 0.1 ... 0.9 for the class of their video; of 3D teachers, how many clips.

    Positive ones and others, of kept and of rejected videos; the first clip of a video has the scores of all.
    """
    counters["segment: scored"] += len(record.scored)
    if record.rescored:
        counters[RESCORED] += record.rescored
    for tenth in range(1, 10):
        counters[f"segment: score >= 0.{tenth}"] += sum(score >= tenth / 10 for score in record.scored)


def score_curve(counters: Mapping[str, int]) -> list[str]:
    """The closing line with the keep curve; none if nothing was scored."""
    num_scored = counters.get("segment: scored", 0)
    if not num_scored:
        return []
    curve = shares_at_thresholds(counters, num_scored=num_scored, key="segment: score >= ")
    again = rescored_lines(counters.get(RESCORED, 0), num_scored=num_scored, what="frames or clips")
    return [f"{num_scored:,} frames or clips; share with a score at or above a threshold: {curve}", *again]
