"""Testing (OmniSource Sec. 5): mean score of several views, accuracies, mAP, confusion, and changes against a baseline.

    in    labelled records: images, videos, folders of frames; or scores that were stored
    out   the same records in the same order, each with `pseudo_label`, `pseudo_class`, `confidence` and `top_scores`;
          then one summary record

Unreadable media are counted rejects and do not count in the accuracy; the summary says how many were seen.
"""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from omnicli.data.labels import class_name_of, labels_of
from omnicli.errors import InputError
from omnicli.inference.metrics import best_scores
from omnicli.inference.protocols import ScoreRecords
from omnicli.inference.view_names import SeenViews
from omnicli.stages.eval.baseline import open_baseline
from omnicli.stages.eval.confusion import class_accs, exact_p_value, fallen_pairs, most_confused
from omnicli.stages.eval.evaluator import Evaluator
from omnicli.stages.eval.fusion import ScoreSet
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import OnDrop, Record

MAX_SHOWN_CLASSES = 50  # a summary line with more than 50 x 50 counts is no line to read

Changes = Counter[tuple[bool, bool]]  # records by (baseline was right, this model is right)


def evaluate(
    records: Iterable[Record],
    *,
    score: ScoreRecords,
    classes: Sequence[str],
    baseline: ScoreSet | None = None,
    seen: SeenViews | None = None,
    on_drop: OnDrop,
) -> Iterator[Record | dict[str, Any]]:
    """Score every record, then sum up.

    Ours: scores are rounded to float32, as ``--shards`` stores them, so that stored scores give the same metrics.

    Args:
        records: each with ``class_name`` or ``label``, one or several, or in a folder named after its class.
        score: ``inference.scorer.score_records`` with a model and views: (record, scores (K,) in [0, 1]) in order.
        classes: (K,) names, in the order of the scores.
        baseline: another model's scores of the same records.
        seen: says what the model was shown, for the summary; None for stored scores.
        on_drop: takes what cannot be read, as ``unreadable: why``.

    Yields:
        Every readable record with its predicted class and ``arrays["scores"]`` (K,) float32; then the summary, a plain
        dict with ``confusion`` rows = true, columns = predicted, for up to 50 classes.

    Raises:
        InputError: no readable record, one without a label or of an unknown class, an id that occurs twice, or one that
            the baseline lacks.
    """
    predicted = predict(records, score=score, classes=classes, seen=seen, on_drop=on_drop)
    return sum_up(predicted, classes=classes, baseline=baseline, view=seen)


def predict(
    records: Iterable[Record],
    *,
    score: ScoreRecords,
    classes: Sequence[str],
    seen: SeenViews | None = None,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """The records of ``evaluate`` alone, with its arguments: each by itself, so that parts of a test can be jobs."""
    index = ClassIndex(classes)
    for record, scores in score(_checked(records, index), on_drop=on_drop):
        if scores is None:
            continue
        if seen is not None:
            seen.note(record)
        yield _with_prediction(record, scores.astype(np.float32), labels_of(record, index), classes)


def sum_up(
    predicted: Iterable[Record], *, classes: Sequence[str], baseline: ScoreSet | None, view: object | None
) -> Iterator[Record | dict[str, Any]]:
    """The records of ``predict``, then the summary of ``evaluate``.

    Args:
        predicted: with ``arrays["scores"]``.
        classes: (K,) names.
        baseline: as of ``evaluate``.
        view: what the model was shown, as text that is asked for at the end; None for stored scores.

    Raises:
        InputError: as ``evaluate``.
    """
    with contextlib.ExitStack() as stack:
        ours = Evaluator(len(classes))
        theirs = Evaluator(len(classes))
        find = stack.enter_context(open_baseline(baseline)) if baseline is not None else None
        changes: Changes = Counter()
        for record in predicted:
            labels = label if isinstance(label := record["label"], list) else [label]
            is_right = ours.add(_scores_of(record), labels)
            if find is not None:
                changes[theirs.add(find(record), labels), is_right] += 1
            yield record
        if not ours.num_records:
            raise InputError("no readable record: eval needs labelled media")
        summary = {**_summary(ours, classes), **({} if view is None else {"view": str(view)})}
        if baseline is not None:
            num_left_out = len(baseline.rows) - theirs.num_records
            summary["baseline"] = {**_compared(theirs, ours, changes, classes), "num_left_out": num_left_out}
        yield summary


def _scores_of(record: Record) -> np.ndarray:
    assert record.arrays is not None
    return np.asarray(record.arrays["scores"])


def _checked(records: Iterable[Record], index: ClassIndex) -> Iterator[Record]:
    """The records, each with a label and an id of its own; checked before it is read."""
    seen: dict[str, str] = {}
    for record in records:
        name = str(record.require("id"))
        if name in seen:
            raise InputError(f"{record.where}: id {name!r} is already at {seen[name]}; each record counts once")
        seen[name] = record.where
        labels_of(record, index)
        yield record


def _with_prediction(record: Record, scores: np.ndarray, labels: Sequence[int], classes: Sequence[str]) -> Record:
    top = best_scores(scores)
    label: int | list[int] = labels[0]
    name = record.get("class_name")
    if isinstance(record.get("label"), list) or isinstance(name, list):  # what may be several stays a list
        names_fit = isinstance(name, list) and len(name) == len(labels)  # not where one class was named twice
        label, name = list(labels), name if names_fit else [classes[own] for own in labels]
    predicted = record.derive(
        label=label,
        class_name=name or class_name_of(record) or classes[labels[0]],
        pseudo_label=top[0][0],
        pseudo_class=classes[int(top[0][0])],
        confidence=top[0][1],
        top_scores=top,
    )
    predicted.arrays = {"scores": scores}
    return predicted


def _summary(evaluator: Evaluator, classes: Sequence[str]) -> dict[str, Any]:
    """The metric record of one model."""
    made: dict[str, Any] = {**evaluator.metrics(), "num_videos": evaluator.num_records}
    if evaluator.is_multi_label:
        return made
    counts = evaluator.counts
    made["confused"] = [
        {
            "classes": [classes[i], classes[j]],
            "score": score,
            "confused": [counts[i, j], counts[j, i]],
            "right": [counts[i, i], counts[j, j]],
        }
        for (i, j), score in most_confused(counts)
    ]
    if len(classes) <= MAX_SHOWN_CLASSES:
        made["confusion"] = evaluator.confusion()
    return made


def _compared(before: Evaluator, after: Evaluator, changes: Changes, classes: Sequence[str]) -> dict[str, Any]:
    """What the baseline reaches on the same records, and what is different now (Fig. 5)."""
    earlier, later = before.metrics(), after.metrics()
    made: dict[str, Any] = {**earlier, "change": {name: later[name] - earlier[name] for name in later}}
    if after.is_multi_label:
        return made
    became_right, became_wrong = changes[False, True], changes[True, False]
    made |= {
        "became_right": became_right,
        "became_wrong": became_wrong,
        "p_value": exact_p_value(became_right, became_wrong),
    }
    made["improved"] = [
        {"classes": [classes[i], classes[j]], "before": was, "after": now}
        for (i, j), was, now in fallen_pairs(before.counts, after.counts)
    ]
    made["worsened"] = [
        {"classes": [classes[i], classes[j]], "before": was, "after": now}
        for (i, j), now, was in fallen_pairs(after.counts, before.counts)
    ]
    if len(classes) <= MAX_SHOWN_CLASSES:
        old_accs, new_accs = class_accs(before.counts), class_accs(after.counts)
        made["class_acc_change"] = {classes[label]: acc - old_accs[label] for label, acc in new_accs.items()}
    return made
