"""One page that shows what a stage kept and what it rejected (Fig. 3).

    in    any records: kept ones, rejects with their reason, lines of training and of evaluation
    out   one self-contained HTML page: counts, classes before and after, confidence and its threshold, reasons,
          images of the surest, the borderline and the rejected, suspected duplicates, curves, confusion

Nothing on the page comes from elsewhere: style, plots (SVG) and images (``data:`` URIs) are inside; it has no script.
The same records give the same bytes.

Ours: which records are shown. The borderline is what people want to judge, so of every query or class the most and the
least confident kept and the most confident rejected are shown; without confidence, those whose ids hash highest.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from omnicli import __version__
from omnicli.errors import InputError
from omnicli.reasons import unreadable
from omnicli.stages.report import plots
from omnicli.stages.report.collector import (
    RecordCollector,
    RecordGroup,
    TopRecords,
    class_of,
    confidence_of,
    query_of,
    similarity_of,
)
from omnicli.stages.report.curves import metric_charts, summary_of
from omnicli.stages.report.thumbnails import Thumbnail, make_thumbnail
from omnicli.streams.class_names import normalise_class
from omnicli.streams.record import Record

TEMPLATE = Path(__file__).with_name("templates") / "report.html.jinja"
MAX_BARS, ENDS = 40, 12  # more classes are drawn as a curve over their ranks, with the ends as bars
MAX_MATRIX = 40
MAX_PSEUDO = 20


@dataclass(frozen=True)
class Shown:
    """One record on the page: its image and what is written below."""

    id: str
    fate: str
    confidence: float | None
    note: str
    thumbnail: Thumbnail


@dataclass(frozen=True)
class Row:
    """One row of a bar chart: a name, counts, and both as shares of the longest bar."""

    name: str
    before: int
    after: int
    bar: Markup

    @property
    def share(self) -> float:
        """What was kept of it."""
        return self.after / self.before if self.before else 0.0


@dataclass(frozen=True)
class Gallery:
    """The images of one query or class."""

    name: str
    group: RecordGroup
    rows: list[tuple[str, str, list[Shown]]]  # (fate, heading, images)


@dataclass(frozen=True)
class Pair:
    """A suspected duplicate beside what it resembles."""

    record: Shown
    target: Shown
    similarity: float | None


def render_report(
    tally: RecordCollector,
    *,
    title: str,
    root: str | None = None,
    threshold: float | None = None,
    max_groups: int = 24,
    workers: int = 1,
) -> str:
    """The page of a finished tally, as HTML; only what is shown is decoded, by ``workers`` threads.

    Args:
        tally: counts and the records to show.
        title: heading of the page.
        root: folder that relative paths start from.
        threshold: the filter's; None: read off the records, if they are cut at one.
        max_groups: queries or classes shown with images, those with most records first.
        workers: threads that decode.

    Raises:
        InputError: the tally has seen no record at all.
    """
    if not tally.counts.total() and not tally.metrics and not tally.summaries:
        raise InputError("nothing to report: the input has no records")
    shown_groups = sorted(tally.groups.values(), key=lambda group: (-group.total, group.name))[:max_groups]
    album = _Album(tally, shown_groups, root=root, workers=workers)
    cut = threshold if threshold is not None else tally.threshold()
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return page.render(
        title=title,
        version=__version__,
        tally=tally,
        counts={fate: tally.counts[fate] for fate in ("kept", "rejected", "unreadable")},
        total=tally.counts.total(),
        num_groups=len(tally.groups),
        threshold=cut,
        confidence=_confidence_plots(tally, cut),
        reasons=_reason_rows(tally),
        **_class_plots(tally),
        galleries=[_gallery(group, album) for group in shown_groups],
        just_kept=album.show(tally.just_kept.records(), "kept"),
        just_rejected=album.show(tally.just_rejected.records(), "rejected"),
        mistakes=album.show(tally.mistakes.records(), "mistake"),
        duplicates=_duplicates(tally, album),
        charts=metric_charts(tally.metrics),
        summaries=[summary_of(record, tally.names) for record in tally.summaries],
    )


class _Album:
    """Thumbnails of every record the page shows, each decoded once."""

    def __init__(
        self, tally: RecordCollector, groups: Sequence[RecordGroup], *, root: str | None, workers: int
    ) -> None:
        self.root = root
        heaps: list[TopRecords] = [tally.just_kept, tally.just_rejected, tally.mistakes, tally.duplicates]
        heaps += [heap for group in groups for heap in (group.surest, group.doubtful, group.refused)]
        records = {id(record): record for heap in heaps for record in heap.records()}
        with ThreadPoolExecutor(max_workers=workers) as pool:
            made = pool.map(lambda record: make_thumbnail(record, root=root), records.values())
            self._thumbnails = dict(zip(records, made, strict=True))

    def show(self, records: Iterable[Record], fate: str) -> list[Shown]:
        """The records with their images."""
        return [self._one(record, fate) for record in records]

    def _one(self, record: Record, fate: str) -> Shown:
        return Shown(
            id=str(record.get("id") or record.get("path") or record.where),
            fate=fate,
            confidence=confidence_of(record),
            note=_note(record, fate),
            thumbnail=self._thumbnails[id(record)],
        )


def _note(record: Record, fate: str) -> str:
    """What is worth saying below an image: a class that is not the one it was searched for, or a reason."""
    query, class_name = query_of(record), class_of(record)
    if fate == "mistake":
        truth = record.get("class_name") or f"class {record['label']}"
        return f"{truth}, taken for {record.get('pseudo_class') or record['pseudo_label']}"
    parts = []
    if class_name and (query is None or normalise_class(query) != normalise_class(class_name)):
        parts.append(class_name if query is None else f"→ {class_name}")
    reason = record.verdict.get("reason")
    if isinstance(reason, str) and reason != "low confidence":
        parts.append(reason)
    return " · ".join(parts)


def _gallery(group: RecordGroup, album: _Album) -> Gallery:
    """Kept, borderline and rejected images of one group; none is shown twice."""
    surest = group.surest.records()
    seen = {id(record) for record in surest}
    doubtful = [record for record in group.doubtful.records() if id(record) not in seen]
    scored = any(confidence_of(record) is not None for record in surest)
    rows = [
        ("kept", "kept, most confident" if scored else "kept", album.show(surest, "kept")),
        ("kept", "kept, least confident", album.show(doubtful, "kept")),
        (
            "rejected",
            "rejected, most confident" if scored else "rejected",
            album.show(group.refused.records(), "rejected"),
        ),
    ]
    return Gallery(name=group.name, group=group, rows=[row for row in rows if row[2]])


def _confidence_plots(tally: RecordCollector, cut: float | None) -> dict[str, Any] | None:
    if not any(sum(counts) for counts in tally.bins.values()):
        return None
    shares = tally.shares()
    return {
        "histogram": plots.histogram(tally.histogram("kept"), tally.histogram("rejected"), threshold=cut),
        "curve": plots.share_curve(shares, threshold=cut),
        "shares": [(tenth / 10, shares[tenth * 5]) for tenth in range(1, 10)],
    }


def _reason_rows(tally: RecordCollector) -> list[Row]:
    counts = [(reason, count, "rejected") for reason, count in tally.reasons.most_common()]
    counts += [(unreadable(why), count, "bad") for why, count in tally.bad.most_common()]
    most = max((count for _, count, _ in counts), default=1)
    return [Row(name, count, 0, plots.bar(count / most, 0.0, style=style)) for name, count, style in counts]


def _class_plots(tally: RecordCollector) -> dict[str, Any]:
    """Bars of every class, or a curve over ranks where there are many; and which query became which class."""
    groups = sorted(tally.groups.values(), key=lambda group: (-group.counts["kept"], -group.total, group.name))
    before, after = [group.total for group in groups], [group.counts["kept"] for group in groups]
    log = plots.needs_log([*before, *after])
    rows = _rows([group.name for group in groups], before, after, log=log)
    many = len(groups) > MAX_BARS
    pseudo = tally.pseudo.most_common() if tally.pairs else []
    sizes = [count for _, count in pseudo]
    return {
        "class_rows": [*rows[:ENDS], *rows[-ENDS:]] if many else rows,
        "classes_left_out": len(rows) - 2 * ENDS if many else 0,
        "class_log": log,
        "rank_plot": plots.rank_plot(before, after) if many else None,
        "pseudo_rows": _rows([name for name, _ in pseudo], sizes, sizes, log=plots.needs_log(sizes))[:MAX_PSEUDO],
        "became": _became(tally),
    }


def _rows(names: Sequence[str], before: Sequence[int], after: Sequence[int], *, log: bool) -> list[Row]:
    """Bars that share one scale."""
    most = max([*before, 1])
    lengths = [[plots.bar_length(count, most, log=log) for count in pair] for pair in zip(before, after, strict=True)]
    bars = [plots.bar(*pair) for pair in lengths]
    return [Row(*row) for row in zip(names, before, after, bars, strict=True)]


def _became(tally: RecordCollector) -> Markup | None:
    """Heat map of the kept: searched for (rows) and taken for (columns)."""
    queries = sorted({query for query, _ in tally.pairs})
    classes = sorted({name for _, name in tally.pairs})
    if not 2 <= len(classes) <= MAX_MATRIX or not 1 <= len(queries) <= MAX_MATRIX:
        return None
    matrix = [[tally.pairs[query, name] for name in classes] for query in queries]
    return plots.heat_map(matrix, queries, classes)


def _duplicates(tally: RecordCollector, album: _Album) -> list[Pair]:
    """Suspected duplicates and what they resemble, most similar first (Sec. 3.3: most flags are false: people look).

    Videos show the frames that resemble each other.
    """
    pairs = []
    for record in tally.duplicates.records():
        match = record.verdict["match"]
        name = str(match.get("path") or match.get("id") or match.get("target") or "")
        its_sec = match.get("time_sec", match.get("start_sec"))
        at_sec = match.get("target_time_sec", match.get("target_start_sec"))
        target = make_thumbnail(
            Record({"id": name, "path": name, "media": match.get("media")}), root=album.root, at_sec=at_sec
        )
        where = "earlier in the stream" if record.verdict.get("reason") == "repeat" else "in the target set"
        (shown,) = album.show([record], "rejected")
        if its_sec is not None:
            thumbnail = make_thumbnail(record, root=album.root, at_sec=its_sec)
            shown = replace(shown, note=_at(its_sec).strip(), thumbnail=thumbnail)
        beside = Shown(id=name, fate="target", confidence=None, note=where + _at(at_sec), thumbnail=target)
        pairs.append(Pair(record=shown, target=beside, similarity=similarity_of(match)))
    return pairs


def _at(seconds: float | None) -> str:
    """When a frame is shown; nothing for the first one, which of an image is the only one.

    >>> _at(7.0), _at(0.0)
    (' at 7 s', '')
    """
    return f" at {seconds:g} s" if seconds else ""


def _percent(share: float) -> str:
    """A share for people: 23.1 %, but never 0 % or 100 % for what is not none or all.

    >>> _percent(0.2314), _percent(0.0), _percent(0.00001), _percent(0.99999)
    ('23.1 %', '0 %', '<0.1 %', '>99.9 %')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if share > 0.999 else f"{share * 100:.1f} %"
