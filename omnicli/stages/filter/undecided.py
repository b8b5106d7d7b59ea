"""Which records the scores of bfloat16 do not decide: those of float32 might keep, drop or label them otherwise."""

import numpy as np

from omnicli.data.query_labels import Queries
from omnicli.inference.undecided import may_cross, may_lead, reaches
from omnicli.stages.filter.rules import FilterRule
from omnicli.streams.record import Record


def decides_alone(rule: FilterRule) -> bool:
    """True if a record's own scores decide about it: the rule is a threshold."""
    return rule.threshold is not None and not rule.needs_whole_stream and not rule.score_only


def is_undecided(record: Record, scores: np.ndarray, error: float, *, rule: FilterRule, queries: Queries) -> bool:
    """True if exact scores might keep the record where these do not, or give it another label.

    Args:
        record: with its query.
        scores: (K,).
        error: bound of the error of a score's log-odds.
        rule: a threshold decides.
        queries: the class each record was searched for.
    """
    best = int(scores.argmax())
    query = queries.find(record) if rule.label_by == "query" else None
    label = best if query is None else query[0]
    threshold = rule.threshold or 0.0
    if may_cross(scores[label], threshold, error):
        return True
    if not reaches(scores[label], threshold, error) or (query is not None and not rule.agree):
        return False
    return len(scores) > 1 and bool(may_lead(scores, best, error))
