"""From which packets decoding begins, in files whose keyframe flags may lie.

A seek is trusted until the frame that it lands on turns out to need earlier ones: the decoder reads that from the frame
itself. Then the file is read from its beginning, and only frames that were seen to decode by themselves are sought.
"""

from bisect import bisect_right

import av

from omnicli.media.timeline import BEGINNING, Keyframe, Timeline

# Decoders that hold back, refuse or mark what is made from missing references; the others show grey or garbage
_STRICT = frozenset(("av1", "h264", "hevc", "vp8", "vp9", "vvc"))
# Codecs whose decoders say of every frame if it is a keyframe, from its own data
_TELLING = _STRICT.union(
    ("ffv1", "flv1", "h261", "h263", "h263i", "h263p", "mpeg1video", "mpeg2video", "mpeg4", "msmpeg4v1"),
    ("msmpeg4v2", "msmpeg4v3", "rv10", "rv20", "rv30", "rv40", "svq3", "theora", "vc1", "vp3", "vp6", "vp6a"),
    ("vp6f", "vp7", "wmv1", "wmv2", "wmv3"),
)


def conceals(context: av.video.codeccontext.VideoCodecContext) -> bool:
    """True if the decoder fills what is missing with grey and says nothing, but names keyframes."""
    name = context.codec.canonical_name
    return name in _TELLING and name not in _STRICT and not context.codec.intra_only


class Starts:
    """The packets from which decoding begins, and what is known of them.

    Attributes:
        have_lied: a frame that says to be a keyframe was none.
    """

    def __init__(self, timeline: Timeline, context: av.video.codeccontext.VideoCodecContext) -> None:
        self.have_lied = False
        self._packets = timeline.packets
        has_palette = context.pix_fmt == "pal8"  # many containers store it once, at the beginning
        self._are_known = (timeline.is_counted or context.codec.intra_only) and not has_palette
        is_telling = context.codec.canonical_name in _TELLING and not has_palette
        self._claimed = {keyframe.frame: keyframe for keyframe in timeline.keyframes} if is_telling else {}
        self._confirmed: set[int] = set()
        self._set(timeline.keyframes if self._are_known or is_telling else [BEGINNING])

    def before(self, index: int) -> Keyframe:
        """The last start shown at or before a frame and stored before it: no later one can begin its decoding."""
        position = bisect_right(self._frames, index) - 1
        while position > 0 and self._starts[position].packet > self._packets[index]:
            position -= 1
        return self._starts[max(position, 0)]

    def are_sure(self, start: Keyframe) -> bool:
        """Whether decoding can begin there."""
        return self._are_known or start.packet == 0 or start.frame in self._confirmed

    def note(self, index: int, *, is_key: bool) -> None:
        """A decoded frame, and whether the decoder says that it needs no other."""
        keyframe = None if self._are_known else self._claimed.get(index)
        if keyframe is None or index in self._confirmed:
            return
        if not is_key:
            self.distrust()
            return
        self._confirmed.add(index)
        if self.have_lied and index > 0:
            position = bisect_right(self._frames, index)
            self._starts.insert(position, keyframe)
            self._frames.insert(position, index)

    def distrust(self) -> None:
        """From now on the beginning and what was seen to be a keyframe."""
        if not self.have_lied:
            self.have_lied = True
            self._set([BEGINNING, *(self._claimed[index] for index in sorted(self._confirmed) if index > 0)])

    def _set(self, starts: list[Keyframe]) -> None:
        self._starts = list(starts)
        self._frames = [start.frame for start in starts]
