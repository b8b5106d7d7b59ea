"""One page that shows a fitted camera motion: its numbers, and clips of every mode that play (Fig. 2 left, Table 8).

    in    a motion file, and images (none: a test pattern)
    out   one self-contained HTML page without scripts; the same input gives the same bytes

People check here whether inflated images move like videos.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2

from omnicli import __version__
from omnicli.errors import MediaError
from omnicli.media.frames import ImageSource
from omnicli.media.source import open_media
from omnicli.motion.camera import MIN_CROP, MODES, SPECIFIC, TRANSLATIONS, recipe_for, try_paths
from omnicli.motion.motion_file import Fitted, Motion
from omnicli.stages.report.motion_figures import (
    NUM_FRAMES,
    ClipAnimation,
    checkered_image,
    make_animation,
    outlines,
    parameter_rows,
)
from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.reading import reading
from omnicli.streams.record import Record

TEMPLATE = Path(__file__).with_name("templates") / "motion.html.jinja"
NUM_IMAGES = 4
SHAPES = ((4, 16), (8, 8), (32, 2), (16, 16))  # frames, and how far apart


def render_motion_report(
    motion: Motion, records: Iterable[Record], *, title: str, root: str | None = None, workers: int = 1
) -> str:
    """The page, as HTML.

    Args:
        motion: what was fitted.
        records: images; the four whose ids hash highest are shown, other media passed over. None: a test
            pattern.
        title: heading.
        root: folder that relative paths start from.
        workers: threads that decode and warp.
    """
    best = TopRecords(NUM_IMAGES)
    for record in records:
        if record.get("media", "image") == "image":
            best.add(0.0, record)
    images = best.records() or [Record({"id": "test pattern"})]
    modes = [mode for mode in MODES if mode != SPECIFIC or motion.classes]
    wanted = [(record, mode) for record in images for mode in modes]
    with ThreadPoolExecutor(max_workers=workers) as pool:
        animations = list(pool.map(lambda pair: _animate(pair[0], pair[1], motion, root), wanted))
    shown = [animations[start : start + len(modes)] for start in range(0, len(animations), len(modes))]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    agnostic = motion.agnostic.gaussian
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title,
        version=__version__,
        motion=motion,
        rows=parameter_rows(agnostic),
        classes=[{"name": name, **_class_row(fitted)} for name, fitted in motion.classes.items()],
        shapes=[_shape_row(motion, *shape) for shape in SHAPES],
        outlines=[(mode, outlines(agnostic, mode)) for mode in modes if mode not in ("still", SPECIFIC)],
        images=[(str(record["id"]), row) for record, row in zip(images, shown, strict=True)],
        num_frames=NUM_FRAMES,
        min_crop=MIN_CROP,
    )


def _animate(record: Record, mode: str, motion: Motion, root: str | None) -> dict[str, Any]:
    """What the page shows of one image in one mode, or why it shows nothing."""
    made = record.derive(inflation=recipe_for(record, mode, motion, seed=0))
    animation: ClipAnimation | None = None
    why = ""
    try:
        with reading(record):
            opened = open_media(record, root=root) if record.get("path") else ImageSource(checkered_image())
            with opened as source:
                animation = make_animation(source, made)
    except MediaError as error:
        why = str(error)
    note = ""
    if mode == SPECIFIC:
        note = made["inflation"]["class"] or "class unknown, agnostic instead"
    return {"mode": mode, "animation": animation, "why": why, "note": note}


def _class_row(fitted: Fitted) -> dict[str, Any]:
    spreads = {row["name"]: row["spread"] for row in parameter_rows(fitted.gaussian)}
    return {"videos": fitted.num_videos, "pairs": fitted.num_pairs, "spreads": spreads}


def _shape_row(motion: Motion, num_frames: int, frame_interval: int) -> dict[str, Any]:
    """Crops of clips of one shape: how much of the image is seen, and how many draws are no good, by mode."""
    crops = []
    for mode in (*TRANSLATIONS, "perspective-agnostic"):
        scales = try_paths(
            mode, motion.agnostic.gaussian, num_frames=num_frames, frame_interval=frame_interval, num_clips=200
        )
        crops.append((float(sorted(scales)[len(scales) // 2]), float((scales < MIN_CROP).mean())))
    return {"name": f"{num_frames}x{frame_interval}", "crops": crops}
