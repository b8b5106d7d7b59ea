"""The report page: what a stage kept and what it rejected (OmniSource Fig. 3).

    in    any records: kept ones, rejects with their reason, lines of training and of evaluation
    out   one self-contained HTML page: counts, classes before and after, confidence and its threshold, reasons,
          thumbnails of kept, borderline and rejected records, suspected duplicates, curves, confusion

The page contains its style, plots (SVG), images (``data:`` URIs) and the script that takes verdicts; it asks no server.
The same records give the same bytes.

Ours: the choice of records. Per query or class the page shows the most and least confident kept records and the most
confident rejected ones; without confidence, those whose ids have the highest hashes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from omnicli import __version__
from omnicli.errors import InputError
from omnicli.reasons import unreadable
from omnicli.stages.report import plots
from omnicli.stages.report.cards import CardMaker, find_duplicates, make_gallery
from omnicli.stages.report.collector import RecordCollector, RecordGroup, round_between
from omnicli.stages.report.curves import metric_charts, summary_of
from omnicli.stages.report.parts import PART_SIZE
from omnicli.stages.report.video_cards import make_video_cards
from omnicli.streams.class_names import normalise_class
from omnicli.streams.verdicts import Verdict, without_defaults

if TYPE_CHECKING:
    from omnicli.stages.report.model_card import ModelCard  # which imports PyTorch

TEMPLATE = Path(__file__).with_name("templates") / "report.html.jinja"
SCRIPTS = ("review.js", "browse.js")
MAX_BARS, ENDS = 40, 12  # more classes are drawn as a curve over their ranks, with the ends as bars
MAX_MATRIX = 40
MAX_PSEUDO = 20


@dataclass(frozen=True)
class BarRow:
    """One row of a bar chart: a name, counts, and both as shares of the longest bar."""

    name: str
    before: int
    after: int
    bar: Markup

    @property
    def share(self) -> float:
        """The kept share."""
        return self.after / self.before if self.before else 0.0


def render_report(
    collected: RecordCollector,
    *,
    title: str,
    root: str | None = None,
    threshold: float | None = None,
    max_groups: int = 24,
    workers: int = 1,
    verdicts: Sequence[Verdict] = (),
    models: "Sequence[ModelCard]" = (),
    parts: str = "",
) -> str:
    """The report page as HTML; only records on the page are decoded.

    Args:
        collected: counts, and the records to show.
        title: heading of the page.
        root: folder that relative paths start from.
        threshold: of the filter; None: derived from the records if possible.
        max_groups: queries or classes shown with images, those with most records first.
        workers: threads that decode.
        verdicts: of people, which the page starts with.
        models: cards of checkpoints.
        parts: name of the folder with all records beside the page; "" without one.

    Raises:
        InputError: there are no records and no models.
    """
    if not (collected.counts.total() or collected.metrics or collected.summaries or models):
        raise InputError("nothing to report: the input has no records")
    shown_groups = sorted(collected.groups.values(), key=lambda group: (-group.total, group.name))[:max_groups]
    cards = CardMaker(collected, shown_groups, root=root, workers=workers)
    cut = threshold if threshold is not None else collected.threshold()
    cut_of_frames = threshold if threshold is not None else round_between(*collected.segments.between)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["percent"] = _percent
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    html = page.render(
        title=title,
        version=__version__,
        models=models,
        collected=collected,
        counts={outcome: collected.counts[outcome] for outcome in ("kept", "rejected", "unreadable")},
        total=collected.counts.total(),
        num_groups=len(collected.groups),
        threshold=cut,
        confidence=_confidence_plots(collected, cut),
        reasons=_reason_rows(collected),
        **_class_plots(collected),
        videos=make_video_cards(collected.segments.videos(), threshold=cut_of_frames, root=root, workers=workers),
        galleries=[make_gallery(group, cards) for group in shown_groups],
        just_kept=cards.show(collected.just_kept.records(), "kept"),
        just_rejected=cards.show(collected.just_rejected.records(), "rejected"),
        mistakes=cards.show(collected.mistakes.records(), "mistake"),
        duplicates=find_duplicates(collected, cards),
        sample=cards.show_sample(),
        review=_review(collected, verdicts, parts) if collected.counts.total() else None,
        script=Markup("\n".join(TEMPLATE.with_name(name).read_text(encoding="utf-8") for name in SCRIPTS)),
        charts=metric_charts(collected.metrics),
        summaries=[summary_of(record, collected.names) for record in collected.summaries],
    )
    return html.replace("\r", "&#13;")  # a browser reads CR as LF, and would export another id


def write_all_records(collected: RecordCollector, folder: Path, *, root: str | None, workers: int) -> int:
    """Write every record beside the page and return the number of bytes. Raises OutputError."""
    groups = [normalise_class(group.name) for group in _by_size(collected)]
    assert collected.every is not None
    return collected.every.write(folder, groups, report=digest_of(collected), root=root, workers=workers)


def _by_size(collected: RecordCollector) -> list[RecordGroup]:
    """Groups with readable records, those with most records first."""
    groups = sorted(collected.groups.values(), key=lambda group: (-group.total, group.name))
    return [group for group in groups if group.total > group.counts["unreadable"]]


def _every(collected: RecordCollector, folder: str) -> dict[str, Any] | None:
    """How the page finds every record."""
    if collected.every is None or not folder:
        return None
    groups = _by_size(collected)
    counts = collected.every.counts([normalise_class(group.name) for group in groups])
    named = [[group.name, *count] for group, count in zip(groups, counts, strict=True)]
    return {"folder": folder, "size": PART_SIZE, "groups": named}


def _review(collected: RecordCollector, verdicts: Sequence[Verdict], parts: str) -> dict[str, Any]:
    """What the script of the page starts from."""
    return {
        "all": _every(collected, parts),
        "report": digest_of(collected),
        "kept": collected.sample.num_kept,
        "thresholds": [{"at": one.at, "records": one.num_records} for one in collected.sample.thresholds()],
        "verdicts": [without_defaults(verdict) for verdict in verdicts],
    }


def digest_of(collected: RecordCollector) -> str:
    """Eight hex digits that differ between streams, so that a browser keeps their verdicts apart."""
    parts = [sorted(collected.counts.items()), sorted(collected.groups)[:1000], collected.sample.first_ids()]
    parts.append([str(record.get("id")) for record in collected.duplicates.records()[:10]])
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def _confidence_plots(collected: RecordCollector, cut: float | None) -> dict[str, Any] | None:
    if not any(sum(counts) for counts in collected.bins.values()):
        return None
    shares = collected.shares()
    return {
        "histogram": plots.histogram(collected.histogram("kept"), collected.histogram("rejected"), threshold=cut),
        "curve": plots.share_curve(shares, threshold=cut),
        "shares": [(tenth / 10, shares[tenth * 5]) for tenth in range(1, 10)],
    }


def _reason_rows(collected: RecordCollector) -> list[BarRow]:
    counts = [(reason, count, "rejected") for reason, count in collected.reasons.most_common()]
    counts += [(unreadable(why), count, "bad") for why, count in collected.bad.most_common()]
    most = max((count for _, count, _ in counts), default=1)
    return [BarRow(name, count, 0, plots.bar(count / most, 0.0, style=style)) for name, count, style in counts]


def _class_plots(collected: RecordCollector) -> dict[str, Any]:
    """A bar per class, or a curve over ranks if there are many; and the heat map of queries and pseudo-classes."""
    groups = sorted(collected.groups.values(), key=lambda group: (-group.counts["kept"], -group.total, group.name))
    before, after = [group.total for group in groups], [group.counts["kept"] for group in groups]
    log = plots.needs_log([*before, *after])
    rows = _rows([group.name for group in groups], before, after, log=log)
    many = len(groups) > MAX_BARS
    pseudo = collected.pseudo.most_common() if collected.pairs else []
    sizes = [count for _, count in pseudo]
    return {
        "class_rows": [*rows[:ENDS], *rows[-ENDS:]] if many else rows,
        "classes_left_out": len(rows) - 2 * ENDS if many else 0,
        "class_log": log,
        "rank_plot": plots.rank_plot(before, after) if many else None,
        "pseudo_rows": _rows([name for name, _ in pseudo], sizes, sizes, log=plots.needs_log(sizes))[:MAX_PSEUDO],
        "became": _became(collected),
    }


def _rows(names: Sequence[str], before: Sequence[int], after: Sequence[int], *, log: bool) -> list[BarRow]:
    """Bars with one common scale."""
    most = max([*before, 1])
    lengths = [[plots.bar_length(count, most, log=log) for count in pair] for pair in zip(before, after, strict=True)]
    bars = [plots.bar(*pair) for pair in lengths]
    return [BarRow(*row) for row in zip(names, before, after, bars, strict=True)]


def _became(collected: RecordCollector) -> Markup | None:
    """Heat map of kept records: queries (rows) and pseudo-classes (columns)."""
    queries = sorted({query for query, _ in collected.pairs})
    classes = sorted({name for _, name in collected.pairs})
    if not 2 <= len(classes) <= MAX_MATRIX or not 1 <= len(queries) <= MAX_MATRIX:
        return None
    matrix = [[collected.pairs[query, name] for name in classes] for query in queries]
    return plots.heat_map(matrix, queries, classes)


def _percent(share: float) -> str:
    """A share as text; 0 % and 100 % only if exact.

    >>> _percent(0.2314), _percent(0.0), _percent(0.00001), _percent(0.99999)
    ('23.1 %', '0 %', '<0.1 %', '>99.9 %')
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", " %")
    if share < 0.001:
        return "<0.1 %"
    return ">99.9 %" if share > 0.999 else f"{share * 100:.1f} %"
