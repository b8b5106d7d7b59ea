"""The curve over scores, from the counters of a run."""

from collections import Counter

from omnicli.stages.segment.closing import count_scored, score_curve
from omnicli.streams.record import Record


def test_the_curve_says_how_many_scores_reach_each_threshold():
    counters = Counter()
    for scores in ([0.25, 0.55, 0.95], [0.75]):
        record = Record({"confidence": 0.3})
        record.scored = scores
        count_scored(record, counters)
    count_scored(Record({"media": "image", "parent": "v", "confidence": 0.75}), counters)
    assert score_curve(counters) == [
        "4 frames or clips; share with a score at or above a threshold: 100% at 0.1, 100% at 0.2, 75% at 0.3, "
        "75% at 0.4, 75% at 0.5, 50% at 0.6, 50% at 0.7, 25% at 0.8, 25% at 0.9"
    ]
    assert score_curve({}) == []
