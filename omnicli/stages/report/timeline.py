"""The scores along a video as inline SVG, with its positive frames or clips and the threshold."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from omnicli.stages.report.plots import LEFT, WIDTH, Axis, frame, svg
from omnicli.stages.report.segments import ScoredSpan

HEIGHT, TOP, BOTTOM, RIGHT = 138, 26, 34, 36
MAX_BARS = 400  # more would be narrower than a pixel: then neighbours share a bar
MIN_WIDTH = 0.8  # of a bar, in units of the drawing
CLOCK_FROM_SEC = 120  # from here on times are minutes and seconds


def draw_timeline(spans: Sequence[ScoredSpan], *, threshold: float | None, label: str) -> Markup:
    """A bar per frame or clip: its time, its score, strong where positive.

    Args:
        spans: at least one, ascending.
        threshold: a line across; None: unknown.
        label: what a screen reader says.
    """
    bars = _joined(spans)
    first, last = spans[0].start_sec, spans[-1].end_sec
    x = Axis(0 if 0 < first < last - first else first, last, LEFT, WIDTH - RIGHT)
    y = Axis(0, 1, HEIGHT - BOTTOM, TOP)
    parts = [frame(x, y, x_label="seconds", y_label="score", y_ticks=(0.0, 0.5, 1.0))]
    gap = 1.0 if len(bars) < MAX_BARS / 4 else 0.0
    for bar in bars:
        left, right, top = x.pixel(bar.start_sec), x.pixel(bar.end_sec), y.pixel(bar.score)
        title = f"{clock(bar.start_sec)}: {bar.score:.3f}, {'positive' if bar.is_positive else 'negative'}"
        parts.append(
            f'<rect class="{"kept" if bar.is_positive else "before"}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{max(right - left - gap, MIN_WIDTH):.1f}" height="{max(y.start - top, 0.8):.1f}">'
            f"<title>{escape(title)}</title></rect>"
        )
    if threshold is not None:
        at = y.pixel(threshold)
        parts.append(
            f'<line class="cut" x1="{x.start:.0f}" x2="{x.end:.0f}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text class="cut" x="{x.end + 5:.0f}" y="{at + 4:.1f}">{threshold:g}</text>'
        )
    return svg(parts, label=label, height=HEIGHT)


def clock(seconds: float) -> str:
    """A time as text.

    >>> clock(7.0), clock(0.25), clock(125.0)
    ('7 s', '0.25 s', '2:05')
    """
    if seconds < CLOCK_FROM_SEC:
        return f"{round(seconds, 2):g} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _joined(spans: Sequence[ScoredSpan]) -> list[ScoredSpan]:
    """At most ``MAX_BARS`` spans: neighbours become one with the highest score of them, so that no peak is lost."""
    step = -(-len(spans) // MAX_BARS)
    groups = [spans[start : start + step] for start in range(0, len(spans), step)]
    return [
        ScoredSpan(
            group[0].start_sec,
            group[-1].end_sec,
            max(span.score for span in group),
            any(span.is_positive for span in group),
        )
        for group in groups
    ]
