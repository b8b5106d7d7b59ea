"""Options of segment: which frames and clips are scored, and which are positive."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from omnicli.commands.options.groups import DATA, RARE, SELECTION
from omnicli.errors import UsageError

if TYPE_CHECKING:
    from omnicli.inference.video_sampling import VideoSampling
    from omnicli.models.strength import Strength
    from omnicli.stages.segment.stage import SegmentRule

DEFAULT_THRESHOLD = 0.5  # Ours: the paper gives none
DEFAULT_FPS = 1.0  # OmniSource Sec. 3.5
DEFAULT_CLIP_SEC = 10.0  # OmniSource Sec. 3.5


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What is positive."""

    rule_name: Annotated[
        Literal["auto", "paper", "query"] | None,
        typer.Option("--rule", help="paper: a frame or clip is positive if its score reaches --threshold (OmniSource). "
                     "query: if the class of the video, known from its label or query, is the teacher's best class. "
                     "auto: paper, but query if the teacher learnt from few labelled clips.", show_default="auto",
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="X", min=0.0, max=1.0, help="A frame or clip is positive if its score for "
                     "the class of the video is at least this.", show_default=str(DEFAULT_THRESHOLD),
                     rich_help_panel=SELECTION),
    ] = None  # fmt: skip
    score_only: Annotated[
        bool, typer.Option("--score-only", help="Keep videos and clips without a positive score, too.",
                           rich_help_panel=SELECTION)
    ] = False  # fmt: skip
    label_by: Annotated[
        Literal["known", "query", "teacher"] | None,
        typer.Option("--label-by", help="Class of a video. known: its label, else its query, else the best mean score. "
                     "query: its label, else its query; others are rejected. teacher: the best mean score.",
                     show_default="known", rich_help_panel=SELECTION),
    ] = None  # fmt: skip

    per_video: Annotated[
        bool, typer.Option("--per-video", help="3D: write one record per video with its positive clips, of which "
                           "training draws one per visit, instead of one per clip.", rich_help_panel=SELECTION),
    ] = False  # fmt: skip

    def check(self) -> None:
        """One way to decide. Raises UsageError."""
        if self.per_video and self.score_only:
            raise UsageError("--per-video writes only positive clips: remove --score-only")
        if self.rule_name == "query" and self.threshold is not None:
            raise UsageError("--rule query and --threshold decide in different ways: give one")

    @property
    def is_automatic(self) -> bool:
        """True if the teacher's strength chooses the rule."""
        return self.rule_name in (None, "auto") and self.threshold is None

    def rule(self, *, has_teacher: bool, strength: "Strength | None" = None) -> "SegmentRule":
        """The rule of the stage; without a teacher, videos keep their class unless another ``--label-by`` is given.

        Args:
            has_teacher: media are scored.
            strength: of the teacher; None if unknown.
        """
        from omnicli.stages.segment.stage import SegmentRule

        is_weak = self.is_automatic and strength is not None and strength.is_weak
        return SegmentRule(
            threshold=DEFAULT_THRESHOLD if self.threshold is None else self.threshold,
            best_class=self.rule_name == "query" or is_weak,
            label_by=self.label_by or ("known" if has_teacher else "stored"),
            score_only=self.score_only,
            per_video=self.per_video,
        )


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Which frames and clips of a video are scored."""

    fps: Annotated[
        float | None,
        typer.Option("--fps", metavar="X", min=0.001, help="2D: frames per second.", show_default=f"{DEFAULT_FPS:g}",
                     rich_help_panel=DATA),
    ] = None  # fmt: skip
    frames: Annotated[
        Literal["exact", "keyframe"] | None,
        typer.Option("--frames", help="2D: the frame shown at each time, or the nearest keyframe, which is 3 to "
                     "16 times faster.", show_default="exact", rich_help_panel=DATA),
    ] = None  # fmt: skip
    clip_sec: Annotated[
        float | None,
        typer.Option("--clip-sec", metavar="X", min=0.1, help="3D: length of a clip in seconds; a last clip under half "
                     "of it is dropped.", show_default=f"{DEFAULT_CLIP_SEC:g}", rich_help_panel=DATA),
    ] = None  # fmt: skip
    num_clips: Annotated[
        int | None,
        typer.Option("--num-clips", min=1, metavar="N", help="3D: views per clip.", show_default="10",
                     rich_help_panel=DATA), RARE,
    ] = None  # fmt: skip

    cut_labelled: Annotated[
        bool, typer.Option("--cut-labelled", help="Leave out the labelled seconds of raw videos (index "
                           "--raw-videos), as K400-untr does.",
                           rich_help_panel=DATA), RARE,
    ] = False  # fmt: skip

    def deciding(self) -> dict[str, Any]:
        """The options as JSON values; later ones only where they are given, so that earlier runs go on."""
        later = {"cut_labelled": True} if self.cut_labelled else {}
        return {"fps": self.fps, "frames": self.frames, "clip_sec": self.clip_sec, "num_clips": self.num_clips, **later}

    def resolve(self, *, is_2d: bool, name: object, root: str | None) -> "VideoSampling":
        """The sampling for a 2D or 3D teacher called ``name``. Raises UsageError: an option is for the other kind."""
        from omnicli.inference.video_sampling import VideoSampling

        given = {option: value for option, value in self.deciding().items() if value is not None}
        for option in ("clip_sec", "num_clips") if is_2d else ("fps", "frames"):
            if option in given:
                kind, other = ("2D", "3D") if is_2d else ("3D", "2D")
                raise UsageError(f"--{option.replace('_', '-')} is for {other} teachers, and {name} is {kind}")
        return VideoSampling(root=root, **given)
