"""Positive spans as thumbnails: the frames and clips themselves, also of features, and one reason if all fail."""

from omnicli.stages.report.segments import SegmentCollector
from omnicli.stages.report.video_cards import MAX_SPANS, make_video_cards
from omnicli.streams.record import Record


def cards(*records, is_kept=True):
    collected = SegmentCollector(5)
    for record in records:
        collected.add(record, is_kept=is_kept)
    return make_video_cards(collected.videos(), threshold=0.5, root=None, workers=2)


def divided(path, scores, **more):
    times = [index / 5 for index in range(len(scores))]
    positive = [at for at, score in zip(times, scores, strict=True) if score >= 0.5]
    fields = {"negative_sec": sorted({*times} - {*positive}), "frame_scores": list(scores), **more}
    return Record({"id": "v", "path": str(path), "confidence": max(scores), "positive_sec": positive, **fields})


def test_positive_frames_are_shown_at_their_times(world):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    [card] = cards(divided(video, (0.2, 0.9, 0.1, 0.7, 0.8), pseudo_class="rain"))
    assert (card.class_name, card.summary, card.is_kept) == ("rain", "3 of 5 frames positive", True)
    assert [(span.id, span.confidence, span.outcome) for span in card.spans] == [
        ("0.2 s", 0.9, "kept"), ("0.6 s", 0.7, "kept"), ("0.8 s", 0.8, "kept")
    ]  # fmt: skip
    images = {span.thumbnail.uri for span in card.spans}
    assert len(images) == 3 and all(image.startswith("data:image/jpeg") for image in images)
    assert all(span.thumbnail.num_frames == 1 and not span.thumbnail.duration_sec for span in card.spans)


def test_a_video_without_positive_frames_shows_its_best_one(world):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    [card] = cards(divided(video, (0.2, 0.4, 0.1)), is_kept=False)
    assert [(span.id, span.outcome) for span in card.spans] == [("0.2 s", "rejected")]
    assert not card.is_kept and card.summary == "0 of 3 frames positive"


def test_clips_are_shown_as_their_frames(world):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    span = {"parent": "long.mp4", "path": str(video), "media": "video", "confidence": 0.8}
    [card] = cards(*[Record({"id": f"{at}", "start_sec": at, "end_sec": at + 0.4, **span}) for at in (0.0, 0.4)])
    assert (card.id, card.summary) == ("long.mp4", "2 positive clips")
    assert [span.id for span in card.spans] == ["0 s to 0.4 s", "0.4 s to 0.8 s"]
    assert card.spans[0].thumbnail.uri != card.spans[1].thumbnail.uri


def test_many_moments_are_spread_and_a_missing_file_is_named_once(world):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    [card] = cards(divided(video, [0.9] * 20))
    assert len(card.spans) == MAX_SPANS and card.spans[-1].id == "3.8 s"
    [gone] = cards(divided(world / "gone.mp4", [0.9] * 20))
    [span] = gone.spans
    assert span.thumbnail.why_not == "no such file"
