"""Records as they appear on the report page: a thumbnail with a caption, per group and per suspected duplicate."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from omnicli.stages.report.collector import RecordCollector, RecordGroup
from omnicli.stages.report.record_fields import class_of, confidence_of, query_of, similarity_of
from omnicli.stages.report.thumbnails import Thumbnail, make_thumbnail
from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import Record
from omnicli.streams.verdicts import Drawn


@dataclass(frozen=True)
class RecordCard:
    """One record on the page: its thumbnail and caption, and what a verdict would be about.

    Attributes:
        id: of the record.
        outcome: ``kept``, ``rejected``, ``mistake``, ``target``.
        confidence: of the record; None without.
        note: caption.
        thumbnail: its image.
        about: ``record`` or ``duplicate``: the question; "" if there is none.
        asked: the class that the question is about.
        seen: what is shown, in words; "" for the thumbnail as it is.
        target: ID of what it resembles, and ``similarity``.
        drawn: its place in the random sample.
    """

    id: str
    outcome: str
    confidence: float | None
    note: str
    thumbnail: Thumbnail
    about: str = ""
    asked: str = ""
    seen: str = ""
    target: str = ""
    similarity: float | None = None
    drawn: Drawn | None = None

    @property
    def what_is_seen(self) -> str:
        """What a person sees of the record, in words."""
        if self.seen or not self.thumbnail.uri:
            return self.seen if self.thumbnail.uri else "nothing"
        frames = self.thumbnail.num_frames
        return f"{frames} frames" if frames > 1 else "frame" if self.thumbnail.duration_sec else "image"


@dataclass(frozen=True)
class GroupGallery:
    """The images of one query or class."""

    name: str
    group: RecordGroup
    rows: list[tuple[str, str, list[RecordCard]]]  # (outcome, heading, images)


@dataclass(frozen=True)
class DuplicatePair:
    """A suspected duplicate and the target record that it resembles."""

    record: RecordCard
    target: RecordCard
    similarity: float | None
    verified: bool | None  # None: not compared again
    inliers: int | None


class CardMaker:
    """Makes the cards of all records on the page; each record is decoded once."""

    def __init__(
        self, collected: RecordCollector, groups: Sequence[RecordGroup], *, root: str | None, workers: int
    ) -> None:
        self.root = root
        self.sample = collected.sample.drawn()
        heaps: list[TopRecords] = [
            collected.just_kept,
            collected.just_rejected,
            collected.mistakes,
            collected.duplicates,
        ]
        heaps += [
            heap for group in groups for heap in (group.most_confident, group.least_confident, group.top_rejected)
        ]
        records = {id(record): record for heap in heaps for record in heap.records()}
        records |= {id(one.record): one.record for one in self.sample}
        with ThreadPoolExecutor(max_workers=workers) as pool:
            made = pool.map(lambda record: make_thumbnail(record, root=root), records.values())
            self._thumbnails = dict(zip(records, made, strict=True))

    def show(self, records: Iterable[Record], outcome: str) -> list[RecordCard]:
        """The cards of some records."""
        return [self._one(record, outcome) for record in records]

    def show_sample(self) -> list[RecordCard]:
        """The cards of the random sample."""
        return [replace(self._one(one.record, one.outcome), drawn=one.drawn) for one in self.sample]

    def _one(self, record: Record, outcome: str) -> RecordCard:
        return make_card(record, outcome, self._thumbnails[id(record)])


def make_card(record: Record, outcome: str, thumbnail: Thumbnail) -> RecordCard:
    """The card of a record; only one with an ID can have a verdict."""
    return RecordCard(
        id=str(record.get("id") or record.get("path") or record.where),
        outcome=outcome,
        confidence=confidence_of(record),
        note=_note(record, outcome),
        thumbnail=thumbnail,
        about="record" if record.get("id") else "",
        asked=class_of(record) or query_of(record) or "",
    )


def _note(record: Record, outcome: str) -> str:
    """The caption: the class if it is not the query, and the reject reason."""
    query, class_name = query_of(record), class_of(record)
    if outcome == "mistake":
        truth = record.get("class_name") or f"class {record['label']}"
        return f"{truth}, taken for {record.get('pseudo_class') or record['pseudo_label']}"
    parts = []
    if class_name and (query is None or normalise_class(query) != normalise_class(class_name)):
        parts.append(class_name if query is None else f"→ {class_name}")
    reason = record.verdict.get("reason")
    if isinstance(reason, str) and reason != "low confidence":
        parts.append(reason)
    return " · ".join(parts)


def make_gallery(group: RecordGroup, cards: CardMaker) -> GroupGallery:
    """Kept, borderline and rejected records of one group; no record twice."""
    most_confident = group.most_confident.records()
    seen = {id(record) for record in most_confident}
    least_confident = [record for record in group.least_confident.records() if id(record) not in seen]
    scored = any(confidence_of(record) is not None for record in most_confident)
    rows = [
        ("kept", "kept, most confident" if scored else "kept", cards.show(most_confident, "kept")),
        ("kept", "kept, least confident", cards.show(least_confident, "kept")),
        (
            "rejected",
            "rejected, most confident" if scored else "rejected",
            cards.show(group.top_rejected.records(), "rejected"),
        ),
    ]
    return GroupGallery(name=group.name, group=group, rows=[row for row in rows if row[2]])


def find_duplicates(collected: RecordCollector, cards: CardMaker) -> list[DuplicatePair]:
    """Suspected duplicates beside their target records, verified copies first; videos show the matching frames.

    OmniSource Sec. 3.3: most suspicions are false.
    """
    pairs = []
    for record in collected.duplicates.records():
        match = record.verdict["match"]
        name = str(match.get("id") or match.get("path") or match.get("target") or "")
        its_sec = _number(match.get("time_sec", match.get("start_sec")))
        at_sec = _number(match.get("target_time_sec", match.get("target_start_sec")))
        shown_fields = {"id": name, "path": match.get("path") or name, "media": match.get("media")}
        target = make_thumbnail(Record({**shown_fields, "row": match.get("row")}), root=cards.root, at_sec=at_sec)
        where = "earlier in the stream" if record.verdict.get("reason") == "repeat" else "in the target set"
        (shown,) = cards.show([record], "rejected")
        if its_sec is not None:
            thumbnail = make_thumbnail(record, root=cards.root, at_sec=its_sec)
            shown = replace(shown, note=_at(its_sec).strip(), thumbnail=thumbnail)
        similarity = similarity_of(match)
        seen = f"{f'frame{_at(its_sec)}' if its_sec is not None else shown.what_is_seen} beside {name}{_at(at_sec)}"
        about = "duplicate" if shown.about else ""
        shown = replace(shown, about=about, asked="", seen=seen, target=name, similarity=similarity)
        beside = RecordCard(id=name, outcome="target", confidence=None, note=where + _at(at_sec), thumbnail=target)
        verified = bool(match["verified"]) if "verified" in match else None
        pairs.append(DuplicatePair(shown, beside, similarity, verified, match.get("inliers")))
    return pairs


def _number(value: object) -> float | None:
    """None for what another program wrote."""
    return float(value) if isinstance(value, int | float) else None


def _at(seconds: float | None) -> str:
    """The time of a frame as text; "" for the first frame.

    >>> _at(7.0), _at(0.0)
    (' at 7 s', '')
    """
    return f" at {seconds:g} s" if seconds else ""
