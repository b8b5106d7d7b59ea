"""Options of inflate: the camera motion, and the clips written as pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from omnicli.commands.options.groups import DATA, RARE, SELECTION

if TYPE_CHECKING:
    from omnicli.stages.inflate.stage import ClipShape

ModeName = Literal[
    "still", "translate-random", "translate-constant", "perspective-agnostic", "perspective-specific"
]  # OmniSource Table 8


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """How images move."""

    motion: Annotated[
        Path | None, typer.Option("--motion", metavar="FILE", help="Camera motion written by --fit; not needed for "
                                  "--mode still.", rich_help_panel=SELECTION)
    ] = None  # fmt: skip
    mode: Annotated[
        ModeName, typer.Option("--mode", help="still: no motion. translate-random, translate-constant: translation "
                               "with a velocity per frame or per clip. perspective-agnostic: the motion of all videos. "
                               "perspective-specific: the motion of the image's class.", rich_help_panel=SELECTION)
    ] = "perspective-agnostic"  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PixelOptions:
    """The clips that ``--shards`` holds."""

    num_frames: Annotated[
        int, typer.Option("--num-frames", metavar="N", min=1, help="With --shards: frames per clip.",
                          rich_help_panel=DATA)
    ] = 4  # fmt: skip
    frame_interval: Annotated[
        int, typer.Option("--frame-interval", metavar="N", min=1, help="With --shards: camera steps between frames.",
                          rich_help_panel=DATA)
    ] = 16  # fmt: skip
    short_side: Annotated[
        int, typer.Option("--short-side", metavar="PIXELS", min=1, help="With --shards: short side of a frame.",
                          rich_help_panel=DATA)
    ] = 256  # fmt: skip
    quality: Annotated[
        int, typer.Option("--quality", metavar="N", min=1, max=100, help="With --shards: JPEG quality.",
                          rich_help_panel=DATA), RARE,
    ] = 85  # fmt: skip

    def shape(self, workers: int) -> "ClipShape":
        """The clips to write."""
        from omnicli.stages.inflate.stage import ClipShape

        return ClipShape(
            num_frames=self.num_frames, frame_interval=self.frame_interval, short_side=self.short_side,
            quality=self.quality, workers=workers,
        )  # fmt: skip
