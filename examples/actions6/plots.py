"""One plot per study, as SVG."""

from xml.sax.saxutils import escape

import numpy as np
from runs import Runs, interval
from studies import STUDIES


def as_svg(study: str, rows: list[tuple[int, str, Runs]]) -> str:
    """A dot and an interval per setting, for light and dark pages; ``rows``: clips per class, setting, runs."""
    title, source, _, _ = STUDIES[study]
    several = len({clips for clips, _, _ in rows}) > 1
    intervals = [interval(runs.right, runs.units) for _, _, runs in rows]
    low = min(0.9, np.floor(min(start for start, _ in intervals) * 10) / 10)
    left, right, step, top = 190, 690, 22, 46
    height = top + step * len(rows) + 40

    def x_of(value: float) -> float:
        return left + (value - low) / (1 - low) * (right - left)

    bottom = top + step * len(rows)
    parts = [f'<text x="16" y="22" class="title">{title} (OmniSource {source})</text>']
    for tick in np.arange(round(low * 10), 11) / 10:
        parts.append(f'<line x1="{x_of(tick):.1f}" x2="{x_of(tick):.1f}" y1="{top - 8}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x_of(tick):.1f}" y="{bottom + 18}" text-anchor="middle">{tick:.1f}</text>')
    for number, ((clips, setting, runs), (start, end)) in enumerate(zip(rows, intervals, strict=True)):
        y = top + step * (number + 0.5)
        name = f"{clips} · {setting}" if several else setting
        parts.append(f'<text x="{left - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<line x1="{x_of(start):.1f}" x2="{x_of(end):.1f}" y1="{y:.1f}" y2="{y:.1f}" class="span"/>')
        parts.append(f'<circle cx="{x_of(runs.mean):.1f}" cy="{y:.1f}" r="4.5" class="dot"/>')
        parts.append(f'<text x="{right + 14}" y="{y + 4:.1f}">{runs.mean:.3f}</text>')
    parts.append(
        f'<text x="{(left + right) / 2}" y="{bottom + 36}" text-anchor="middle">top-1 accuracy, 95 % interval</text>'
    )
    style = (
        "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.grid{stroke:#d0d7de}"
        ".span{stroke:#0969da;stroke-width:2.5}.dot{fill:#0969da}@media(prefers-color-scheme:dark){text{fill:#e6edf3}"
        ".grid{stroke:#30363d}.span{stroke:#58a6ff}.dot{fill:#58a6ff}}"
    )
    label = f"{title}: top-1 accuracy of {len(rows)} settings"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {height + 4}" role="img" aria-label="{label}">'
        f"<style>{style}</style>{''.join(parts)}</svg>\n"
    )
