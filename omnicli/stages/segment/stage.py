"""Untrimmed videos to snippets or clips (OmniSource Sec. 3.5).

    in    records; videos (files, folders of frames, packed clips, features of frames at the wanted rate) are
          segmented, other media pass untouched
    out   2D teacher: one record per video, with `positive_sec` and `negative_sec`, times of frames
          3D teacher: one record per positive clip, `PARENT#START-END` in milliseconds, with `start_sec` and `end_sec`;
          or one per video with `positive_clips`, a sample of which training draws one clip per visit
          both with `pseudo_label`, `pseudo_class` and `confidence`

Paper: 2D: "We first extract frames from the entire video at a low frame rate (1 FPS). A 2D teacher is used to get the
confidence score of each frame, which also divides frames into positive ones and negative ones." 3D: "We first cut
untrimmed videos into 10-second clips, then use a 3D teacher to obtain confidence scores. Only positive clips are
used for joint training."
Ours: the threshold (0.5), and instead of it, for a weak teacher and a video whose class is known, that the class is the
teacher's best one, because such a teacher's scores are low everywhere; the class of a video without label or query, the
one with the best mean score; the `confidence` of a video is the mean score of its positive frames (the best score if it
has none); scores rounded to 6 decimals before any decision, so that `frame_scores` decides again as at first; a video
without a positive frame is rejected.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np

from omnicli.data.labels import label_of
from omnicli.data.query_labels import Queries
from omnicli.errors import InputError
from omnicli.inference.metrics import DECIMALS
from omnicli.inference.protocols import ScoreVideos
from omnicli.inference.undecided import may_cross, may_lead
from omnicli.reasons import NO_CLASS, NO_POSITIVE, TOO_SHORT
from omnicli.streams.reading import why_unscored
from omnicli.streams.record import OnDrop, Record


@dataclass(frozen=True, kw_only=True)
class SegmentRule:
    """Which frames or clips are positive.

    Attributes:
        threshold: a frame or clip is positive if its score for the video's class >= threshold.
        best_class: instead, of videos with a label or a query, if that class has the best score.
        label_by: the class of a video. "known": its label, else its query's class, else the best mean score (Ours).
            "query": its label, else its query's class. "teacher": the best mean score. "stored": as an earlier run
            decided; only without a teacher.
        score_only: also keep videos without a positive frame, and clips that are not positive.
        per_video: 3D: one record per video with its positive clips, instead of one per clip.
    """

    threshold: float = 0.5
    best_class: bool = False
    label_by: Literal["known", "query", "teacher", "stored"] = "known"
    score_only: bool = False
    per_video: bool = False


def segment_records(
    records: Iterable[Record], *, score: ScoreVideos | None, queries: Queries | None, rule: SegmentRule, on_drop: OnDrop
) -> Iterator[Record]:
    """Find where untrimmed videos show their class.

    Args:
        records: videos; images pass.
        score: ``inference.video_scorer.score_videos`` with its teachers; None uses the stored scores of 2D records.
        queries: the class each record was searched for; None without ``score``.
        rule: which frames and clips are positive.
        on_drop: receives rejects: no positive, no class, too short, unreadable.

    Yields:
        Videos, or clips of them in ascending time; everything in the order of the input.

    Raises:
        InputError: without ``score``, a video has no stored scores; or its label is none of the teacher's.
    """
    if score is None or queries is None:
        for record in records:
            yield from [record] if is_untouched(record) else _decide_again(record, rule, on_drop)
        return
    queries.unknown.clear()  # of an earlier job of -o DIR/
    undecided = partial(undecided_frames, queries=queries, rule=rule)
    for record, scored in score(records, skip=is_untouched, undecided=undecided, on_drop=on_drop):
        if scored is None:
            yield record
            continue
        times_sec, scores = scored
        if not len(scores):
            on_drop(record, TOO_SHORT)
            continue
        record = _without_scores(record)
        candidates = _candidates(record, scores, queries, rule)
        found = _choose(candidates, rule)
        if found is None:
            on_drop(record, NO_CLASS)
        elif times_sec.ndim == 1:
            labelled = _labelled(record, found, candidates)
            yield from _divide_frames(labelled, times_sec, _positive(found, scores, candidates, rule), rule, on_drop)
        else:
            labelled = record.derive(pseudo_label=found.label, pseudo_class=found.name)
            labelled.scored = found.scores
            is_kept = _positive(found, scores, candidates, rule)
            yield from _cut_clips(labelled, times_sec, np.array(found.scores), is_kept, rule, on_drop)


def is_untouched(record: Record) -> bool:
    """True for what is no untrimmed video: images, images made into clips."""
    return record.get("media") == "image" or record.get("inflation") is not None


def undecided_frames(
    record: Record, scores: np.ndarray, errors: np.ndarray, *, queries: Queries, rule: SegmentRule
) -> np.ndarray:
    """(M,) bool: frames or clips that exact scores might divide otherwise.

    Where the mean over the video says its class, all frames decide. ``scores`` are (M, K); ``errors`` (M,) bound the
    error of a score's log-odds. Raises InputError: the label of the record is none of the teacher's.
    """
    known = None if rule.label_by == "teacher" else _known_class(record, queries, rule)
    if known is None:
        return np.full(len(scores), rule.label_by != "query")
    if rule.best_class:
        return may_lead(scores, known, errors)
    return may_cross(scores[:, known], rule.threshold, errors)


class ClassScores(NamedTuple):
    """A class that a video may show, and the scores of its frames or clips for it."""

    label: int
    name: str
    scores: list[float]


Candidates = dict[str, ClassScores | None]  # "query": of the label, else the query; "teacher": the best mean score


def _candidates(record: Record, scores: np.ndarray, queries: Queries, rule: SegmentRule) -> Candidates:
    """The classes among which ``--label-by`` chooses, from (M, K) scores. Raises InputError for an unknown label."""
    labels = {"query": _known_class(record, queries, rule), "teacher": int(scores.mean(axis=0).argmax())}
    return {
        by: None
        if label is None
        else ClassScores(label, queries.classes.names[label], np.round(scores[:, label], DECIMALS).tolist())
        for by, label in labels.items()
    }


def _known_class(record: Record, queries: Queries, rule: SegmentRule) -> int | None:
    """The class of the record's label, else of its query; None without. Raises InputError for an unknown label."""
    if record.get("class_name") is not None or record.get("label") is not None:
        with suppress(InputError) if rule.label_by == "teacher" else nullcontext():
            return label_of(record, queries.classes)
        return None
    found = queries.find(record)
    return None if found is None else found[0]


def _choose(candidates: Candidates, rule: SegmentRule) -> ClassScores | None:
    """The class to look for; None if nothing says it."""
    if rule.label_by == "known":
        return candidates["query"] or candidates["teacher"]
    return candidates[rule.label_by]


def _positive(chosen: ClassScores, scores: np.ndarray, candidates: Candidates, rule: SegmentRule) -> np.ndarray:
    """(M,) bool: which frames or clips show the class, from (M, K) scores."""
    if rule.best_class and candidates["query"] == chosen:
        return scores.argmax(axis=1) == chosen.label  # type: ignore[no-any-return]
    return np.array(chosen.scores) >= rule.threshold


def _labelled(record: Record, chosen: ClassScores, candidates: Candidates) -> Record:
    """The record with its class; ``other_scores`` lets another ``--label-by`` choose again without a teacher."""
    others = {by: one and one._asdict() for by, one in candidates.items() if one != chosen}
    return record.derive(
        pseudo_label=chosen.label, pseudo_class=chosen.name, frame_scores=chosen.scores, other_scores=others
    )


def _without_scores(record: Record) -> Record:
    """The record without what an earlier run wrote, perhaps with a teacher of the other kind, and training reads."""
    made = record.derive()
    for field in ("frame_scores", "other_scores", "positive_sec", "negative_sec", "positive_clips"):
        made.pop(field, None)
    return made


def _divide_frames(
    record: Record, times_sec: np.ndarray, is_positive: np.ndarray, rule: SegmentRule, on_drop: OnDrop
) -> Iterator[Record]:
    """2D: one record per video, its frames divided into positive and negative ones."""
    confidences = np.array(record["frame_scores"], np.float64)
    confidence = confidences[is_positive].mean() if is_positive.any() else confidences.max()
    divided = record.derive(
        confidence=round(float(confidence), DECIMALS),
        positive_sec=times_sec[is_positive].tolist(),
        negative_sec=times_sec[~is_positive].tolist(),
    )
    divided.scored = record["frame_scores"]
    if is_positive.any() or rule.score_only:
        yield divided
    else:
        on_drop(divided, NO_POSITIVE)


def _decide_again(record: Record, rule: SegmentRule, on_drop: OnDrop) -> Iterator[Record]:
    """2D, from what an earlier run wrote; what it rejected unscored is rejected again for the same reason."""
    if record.get("frame_scores") is None:
        if why := why_unscored(record):
            on_drop(record, why)
            return
        raise InputError(
            f"{record.where}: no field 'frame_scores' of an earlier run; give --teacher "
            "(clips that a 3D teacher scored are decided again by omni filter --threshold)"
        )
    confidences = np.array(record["frame_scores"], np.float64)
    times_sec = np.sort([*record.require("positive_sec"), *record.require("negative_sec")])
    record.require("pseudo_label")
    if len(times_sec) != len(confidences) or not len(confidences):
        raise InputError(
            f"{record.where}: {len(confidences)} frame_scores, but {len(times_sec)} times in positive_sec, negative_sec"
        )
    if rule.label_by != "stored":
        candidates = _stored_candidates(record)
        chosen = _choose(candidates, rule)
        if chosen is None:
            on_drop(record, NO_CLASS)
            return
        record = _labelled(record, chosen, candidates)
    is_positive = np.array(record["frame_scores"]) >= rule.threshold
    yield from _divide_frames(record, times_sec, is_positive, rule, on_drop)


def _stored_candidates(record: Record) -> Candidates:
    """The classes that an earlier run could choose from. Raises InputError if it stored one class only."""
    others = record.get("other_scores")
    if others is None:
        raise InputError(f"{record.where}: no field 'other_scores', which --label-by needs; give --teacher")
    chosen = ClassScores(record["pseudo_label"], record["pseudo_class"], record["frame_scores"])
    try:
        stored = {by: one and ClassScores(**one) for by, one in others.items()}
    except TypeError:
        raise InputError(f"{record.where}: other_scores is not what omni segment writes; give --teacher") from None
    return {by: stored.get(by, chosen) for by in ("query", "teacher")}


def _cut_clips(
    record: Record,
    spans_sec: np.ndarray,
    confidences: np.ndarray,
    is_kept: np.ndarray,
    rule: SegmentRule,
    on_drop: OnDrop,
) -> Iterator[Record]:
    """3D: one record per positive clip, or per video; nothing is encoded, clips refer to the file."""
    if not is_kept.any() and not rule.score_only:
        on_drop(record.derive(confidence=float(confidences.max())), NO_POSITIVE)
        return
    if rule.per_video:
        yield record.derive(
            confidence=round(float(confidences[is_kept].mean()), DECIMALS), positive_clips=spans_sec[is_kept].tolist()
        )
        return
    clips = zip(spans_sec.tolist(), confidences.tolist(), is_kept.tolist(), strict=True)
    for (start_sec, end_sec), confidence, is_positive in clips:
        if is_positive or rule.score_only:
            yield _clip(record, start_sec, end_sec, confidence)
            record.rescored, record.scored = 0, ()  # counted with the first clip


def _clip(record: Record, start_sec: float, end_sec: float, confidence: float) -> Record:
    facts: dict[str, Any] = {"duration_sec": round(end_sec - start_sec, DECIMALS)} if "duration_sec" in record else {}
    clip = record.derive(
        id=f"{record.get('id')}#{round(start_sec * 1000)}-{round(end_sec * 1000)}",
        parent=record.get("parent") or record.get("id"),
        start_sec=start_sec,
        end_sec=end_sec,
        confidence=confidence,
        **facts,
    )
    if record.get("media") != "frames":  # there it says how many the folder holds
        clip.pop("num_frames", None)
    return clip
