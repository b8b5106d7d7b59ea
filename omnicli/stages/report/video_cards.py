"""Videos that ``omni segment`` divided, on the page: their scores over time, and their positive frames or clips."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from markupsafe import Markup

from omnicli.stages.report.cards import RecordCard
from omnicli.stages.report.record_fields import class_of
from omnicli.stages.report.segments import DividedVideo, ScoredSpan, spread
from omnicli.stages.report.thumbnails import Thumbnail, make_thumbnail
from omnicli.stages.report.timeline import clock, draw_timeline
from omnicli.streams.record import Record

MAX_SPANS = 4  # thumbnails of one video


@dataclass(frozen=True)
class VideoCard:
    """One divided video on the page."""

    id: str
    class_name: str
    summary: str
    is_kept: bool
    timeline: Markup
    spans: list[RecordCard]


def make_video_cards(
    videos: Sequence[DividedVideo], *, threshold: float | None, root: str | None, workers: int
) -> list[VideoCard]:
    """The cards of divided videos; only the spans shown are decoded.

    Args:
        videos: from ``SegmentCollector.videos``.
        threshold: drawn across the timelines; None: unknown.
        root: folder that relative paths start from.
        workers: threads that decode.
    """
    spans = [(video, span, clip) for video in videos for span, clip in _spans(video)]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        made = pool.map(lambda span: _thumbnail(*span, root=root), spans)
        thumbnails = [(video, span, thumbnail) for (video, span, _), thumbnail in zip(spans, made, strict=True)]
    return [
        _card(video, [(span, thumbnail) for of, span, thumbnail in thumbnails if of is video], threshold)
        for video in videos
    ]


def _spans(video: DividedVideo) -> list[tuple[ScoredSpan, Record | None]]:
    """Positive frames or clips, evenly spread over the video; where there is none, the one with the best score."""
    chosen = [number for number, span in enumerate(video.spans) if span.is_positive]
    if not chosen:
        chosen = [max(range(len(video.spans)), key=lambda number: video.spans[number].score)]
    numbers = [chosen[place] for place in spread(len(chosen), MAX_SPANS)]
    return [(video.spans[number], video.clips[number] if video.clips else None) for number in numbers]


def _thumbnail(video: DividedVideo, span: ScoredSpan, clip: Record | None, *, root: str | None) -> Thumbnail:
    """The clip, or the frame on screen when its score was taken."""
    if clip is not None:
        return make_thumbnail(clip, root=root)
    return replace(make_thumbnail(video.record, root=root, at_sec=span.start_sec), duration_sec=0.0)


def _card(video: DividedVideo, spans: Sequence[tuple[ScoredSpan, Thumbnail]], threshold: float | None) -> VideoCard:
    record, num_positive = video.record, sum(span.is_positive for span in video.spans)
    name = str((record.get("parent") if video.clips else None) or record.get("id") or record.where)
    kind = "clips" if video.clips else "frames"
    summary = f"{num_positive:,} positive {kind}" if video.clips else f"{num_positive:,} of {len(video.spans):,} {kind}"
    failed = {thumbnail.why_not for _, thumbnail in spans if not thumbnail.uri}
    if len(failed) == 1 and not any(thumbnail.uri for _, thumbnail in spans):
        spans = spans[:1]  # one reason is enough
    return VideoCard(
        id=name,
        class_name=class_of(record) or "",
        summary=summary if video.clips else f"{summary} positive",
        is_kept=video.is_kept,
        timeline=draw_timeline(video.spans, threshold=threshold, label=f"scores along {name}: {summary}"),
        spans=[
            RecordCard(
                id=clock(span.start_sec) + (f" to {clock(span.end_sec)}" if video.clips else ""),
                outcome="kept" if span.is_positive else "rejected",
                confidence=span.score,
                note="",
                thumbnail=thumbnail,
            )
            for span, thumbnail in spans
        ],
    )
