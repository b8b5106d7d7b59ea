"""Plots as inline SVG: small functions from numbers to markup, coloured by the page's own style sheet.

Colours are CSS classes (``kept``, ``rejected``, ``bad``, ``series-0`` …): one plot reads well on light, dark and paper.
Every bar and point has a ``<title>`` with its value.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 26, 34
NUM_SERIES_COLOURS = 6
MAX_NAME = 20  # characters of a name beside a heat map
LOG_FROM = 30.0  # Ours: counts that differ by more than this factor are drawn on a logarithmic scale


class Axis(NamedTuple):
    """Numbers → pixels between two ends of the plot, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def pixel(self, value: float) -> float:
        """Where ``value`` is drawn; values outside are drawn at the nearer end."""
        low, high, value = self.low, self.high, min(max(value, self.low), self.high)
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers inside."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        return nice_ticks(self.low, self.high)


def nice_ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most``, steps of 1, 2 or 5 times a power of ten.

    >>> nice_ticks(0, 870)
    [0.0, 200.0, 400.0, 600.0, 800.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    if rough < sys.float_info.min:  # between two such numbers there is no round one
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (power * factor) <= most - 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def short_number(value: float) -> str:
    """A number for an axis or a label.

    >>> [short_number(value) for value in (0.0, 0.25, 3.0, 12_345.0, 3.5e6, 1e-4)]
    ['0', '0.25', '3', '12.3k', '3.5M', '1e-04']
    """
    size = abs(value)
    if size >= 999_500:
        return f"{value / 1e6:.3g}M"
    if size >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:.0e}" if 0 < size < 1e-3 else f"{value:.4g}"


def histogram(kept: Sequence[int], rejected: Sequence[int], *, threshold: float | None) -> Markup:
    """Stacked bars of confidence in [0, 1]: kept below, rejected on top, a line at the threshold if it is known.

    Args:
        kept: counts of equal bins over [0, 1].
        rejected: the same number of bins.
        threshold: where the cut was.
    """
    tallest = max([*map(sum, zip(kept, rejected, strict=True)), 1])
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, tallest, HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, x_label="confidence", y_label="records")]
    for index, (below, above) in enumerate(zip(kept, rejected, strict=True)):
        left, right = x.pixel(index / len(kept)), x.pixel((index + 1) / len(kept))
        span = f"{index / len(kept):.3g} to {(index + 1) / len(kept):.3g}"
        parts.append(_rect(left, right, y.pixel(below), y.pixel(0), "kept", f"{span}: {below:,} kept"))
        parts.append(_rect(left, right, y.pixel(below + above), y.pixel(below), "rejected",
                           f"{span}: {above:,} rejected"))  # fmt: skip
    if threshold is not None:
        at = x.pixel(threshold)
        side = ("end", -5) if threshold > 0.75 else ("start", 5)
        parts.append(
            f'<line class="cut" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="cut" x="{at + side[1]:.1f}" y="{TOP}" text-anchor="{side[0]}">{threshold:g}</text>'
        )
    return svg(parts, label="histogram of confidence, kept and rejected")


def share_curve(shares: Sequence[float], *, threshold: float | None) -> Markup:
    """The share of the stream that each threshold in [0, 1] would keep.

    Args:
        shares: at equally spaced thresholds from 0 to 1, both included.
        threshold: where the cut was, marked on the curve.
    """
    x, y = Axis(0, 1, LEFT, WIDTH - RIGHT), Axis(0, 1, HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, x_label="threshold", y_label="share with at least this confidence", percent=True)]
    steps = len(shares) - 1
    points = [(index / steps, share) for index, share in enumerate(shares)]
    outline = " ".join(f"{x.pixel(at):.1f},{y.pixel(share):.1f}" for at, share in points)
    parts.append(
        f'<polygon class="area" points="{LEFT},{HEIGHT - BOTTOM} {outline} {WIDTH - RIGHT},{HEIGHT - BOTTOM}"/>'
    )
    parts.append(f'<polyline class="series-0" points="{outline}"/>')
    for tenth in range(1, 10):
        share = shares[round(tenth / 10 * steps)]
        title = f"at {tenth / 10:.1f}: {share:.1%}"
        parts.append(_dot(x.pixel(tenth / 10), y.pixel(share), "series-0", title))
    if threshold is not None:
        at = x.pixel(threshold)
        parts.append(f'<line class="cut" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>')
    return svg(parts, label="share kept at each threshold")


def bar(before: float, after: float, *, style: str = "before") -> Markup:
    """One row of a bar chart: a pale bar of the share ``before`` and a strong one of ``after``, both in [0, 1].

    ``style`` is the first one's colour.
    """
    return Markup(
        '<svg class="bar" aria-hidden="true" width="100%" height="14">'
        f'<rect class="{style}" width="{before:.2%}" height="14" rx="2"/>'
        f'<rect class="kept" width="{after:.2%}" height="14" rx="2"/></svg>'
    )  # numbers only


def rank_plot(before: Sequence[int], after: Sequence[int]) -> Markup:
    """Classes in order of size, before and after filtering (Fig. 3 a-c), logarithmic where sizes differ much.

    Args:
        before: counts of every class.
        after: counts of the same classes; each curve is sorted on its own.
    """
    log = needs_log([*before, *after])
    low, high = (0.8, max([*before, 10])) if log else (0.0, max([*before, *after, 1]))
    x = Axis(0, max(len(before) - 1, 1), LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    parts = [frame(x, y, x_label="classes, largest first", y_label="records")]
    for counts, name in ((before, "before"), (after, "kept")):
        ranked = sorted(counts, reverse=True)
        outline = " ".join(f"{x.pixel(rank):.1f},{y.pixel(count):.1f}" for rank, count in enumerate(ranked))
        base = HEIGHT - BOTTOM
        parts.append(
            f'<polygon class="{name}" points="{LEFT},{base} {outline} {x.pixel(len(ranked) - 1):.1f},{base}"/>'
        )
    return svg(parts, label="records of each class before and after filtering, largest first")


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str = "") -> Markup:
    """One line a name through its (x, y) points."""
    points = [point for line in series.values() for point in line]
    values = [value for _, value in points]
    low, high = min(values), max(values)
    padding = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    unit = all(0 <= value <= 1 for value in values)
    low, high = max(low - padding, 0.0) if low >= 0 else low - padding, high + padding
    x = Axis(min(at for at, _ in points), max(at for at, _ in points), LEFT, WIDTH - RIGHT)
    y = Axis(low, min(high, 1.0) if unit and high > 0.9 else high, HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, x_label=x_label, y_label=y_label, whole_x=True)]
    for index, (name, line) in enumerate(series.items()):
        style = f"series-{index % NUM_SERIES_COLOURS}"
        outline = " ".join(f"{x.pixel(at):.1f},{y.pixel(value):.1f}" for at, value in line)
        parts.append(f'<polyline class="{style}" points="{outline}"/>')
        if len(line) <= 60:
            parts += [
                _dot(x.pixel(at), y.pixel(value), style, f"{name}, {x_label} {at:g}: {value:.4g}") for at, value in line
            ]
    return svg(parts, label=", ".join(series))


def heat_map(matrix: Sequence[Sequence[float]], names: Sequence[str], columns: Sequence[str] | None = None) -> Markup:
    """Rows of counts as shades of their row's share; numbers are shown up to 12 columns.

    Args:
        matrix: (rows, columns) counts.
        names: of the rows.
        columns: their names, if they are not those of the rows.
    """
    columns = columns or names
    longest = min(max(len(name) for name in [*names, *columns]), MAX_NAME)
    label_width, cell = 12 + 6.3 * longest, min(44.0, 380.0 / max(len(columns), 1))
    width, height = label_width + cell * len(columns) + 6, cell * len(names) + 24 + 4.2 * longest
    parts = []
    for row, (name, counts) in enumerate(zip(names, matrix, strict=True)):
        total = sum(counts) or 1
        top = row * cell + 2
        if cell >= 9:
            parts.append(
                f'<text x="{label_width - 6}" y="{top + cell / 2 + 4:.1f}" text-anchor="end">{_cut(name)}</text>'
            )
        for column, count in enumerate(counts):
            share, left = count / total, label_width + column * cell
            title = escape(f"{name} → {columns[column]}: {count:,} ({share:.0%})")
            parts.append(
                f'<g><rect class="cell{" own" if columns[column] == name else ""}" x="{left:.1f}" y="{top:.1f}" '
                f'width="{cell - 1:.1f}" height="{cell - 1:.1f}" fill-opacity="{0.05 + 0.95 * share:.3f}"/>'
                f"<title>{title}</title></g>"
            )
            if len(columns) <= 12 and count:
                tone = "on-dark" if share > 0.5 else "on-light"
                parts.append(
                    f'<text class="{tone}" x="{left + cell / 2:.1f}" y="{top + cell / 2 + 4:.1f}" text-anchor="middle">'
                    f"{short_number(count)}</text>"
                )
    if cell >= 9:
        for column, name in enumerate(columns):
            left, top = label_width + (column + 0.6) * cell, len(names) * cell + 10
            parts.append(
                f'<text transform="translate({left:.1f},{top:.1f}) rotate(-40)" text-anchor="end">{_cut(name)}</text>'
            )
    return svg(parts, label="heat map of counts", width=width, height=height)


def needs_log(counts: Sequence[float]) -> bool:
    """True if the largest count would flatten the smallest (non-zero) on a linear scale."""
    some = [count for count in counts if count > 0]
    return bool(some) and max(some) / min(some) > LOG_FROM


def _cut(name: str) -> Markup:
    return escape(name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…")


def svg(parts: Sequence[str], *, label: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """A plot of these parts, which are numbers, class names and escaped text."""
    view = f'viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width * 1.4:.0f}px"'  # texts stay one size
    head = f'<svg class="plot" role="img" aria-label="{escape(label)}" {view}>'
    return Markup(head + "".join(parts) + "</svg>")


def _rect(left: float, right: float, top: float, bottom: float, style: str, title: str) -> str:
    if bottom - top < 0.05:
        return ""
    shape = f'x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" height="{bottom - top:.1f}"'
    return f'<rect class="{style}" {shape}><title>{escape(title)}</title></rect>'


def _dot(x: float, y: float, style: str, title: str) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"><title>{escape(title)}</title></circle>'


def frame(
    x: Axis,
    y: Axis,
    *,
    x_label: str,
    y_label: str,
    percent: bool = False,
    whole_x: bool = False,
    y_ticks: Sequence[float] = (),
) -> str:
    """Grid lines, tick labels and the names of both axes."""
    parts = []
    for tick in y_ticks or y.ticks():
        at = y.pixel(tick)
        text = f"{tick:.0%}" if percent else short_number(tick)
        parts.append(f'<line class="grid" x1="{x.start:.0f}" x2="{x.end:.0f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{x.start - 6:.0f}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in x.ticks():
        if not whole_x or tick == round(tick):
            parts.append(
                f'<text x="{x.pixel(tick):.1f}" y="{y.start + 15:.0f}" text-anchor="middle">{short_number(tick)}</text>'
            )
    parts.append(f'<line class="axis" x1="{x.start:.0f}" x2="{x.end:.0f}" y1="{y.start:.0f}" y2="{y.start:.0f}"/>')
    parts.append(
        f'<text class="name" x="{x.end:.0f}" y="{y.start + 30:.0f}" text-anchor="end">{escape(x_label)}</text>'
    )
    parts.append(f'<text class="name" x="{x.start - 40:.0f}" y="{y.end - 14:.0f}">{escape(y_label)}</text>')
    return "".join(parts)


def bar_length(count: int, most: int, *, log: bool) -> float:
    """The length of a bar in [0, 1]; on the logarithmic scale one record is still seen.

    >>> bar_length(1, 1000, log=True) > 0, bar_length(0, 1000, log=True), bar_length(500, 1000, log=False)
    (True, 0.0, 0.5)
    """
    if not count or not most:
        return 0.0
    return math.log10(count + 1) / math.log10(most + 1) if log else count / most
