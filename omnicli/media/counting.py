"""The timeline of videos whose packets do not show it, from decoding them once from end to end.

AVI with B-frames, transport streams, raw streams, files without a keyframe at their beginning, ...
"""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np

from omnicli.errors import MediaError
from omnicli.media.media_file import MediaFile
from omnicli.media.packets import decode, packets_and_end
from omnicli.media.starts import conceals
from omnicli.media.timeline import BEGINNING, Keyframe, Timeline, stores_order, times_of

MAX_GAP_SEC = 10.0  # Ours, as FFmpeg: a longer one is no pause of a transport stream, but a clock that jumps
MAX_BAD_STEPS = 0.2  # Ours: share of time stamps that may be missing or run backwards; beyond it none is believed
_FORMATS_WITH_CLOCK_JUMPS = frozenset(("mpegts", "mpeg"))


class _Count:
    """What decoding from end to end has shown so far."""

    def __init__(self) -> None:
        self.stamps: list[int | None] = []
        self.decoding_stamps: list[int | None] = []  # of packets
        self.damaged: list[int] = []  # packets that the demuxer marks
        self.starts: list[Keyframe] = []
        self.keys: list[tuple[int, int | None]] = []  # index and time stamp of frames that decoded by themselves
        self.first: int | None = None  # frames before it were made from what is missing
        self.cut: int | None = None  # the first frame that the end of the file spoils
        self.last_duration = 0

    def add(self, frame: av.video.frame.VideoFrame, *, is_concealed: bool) -> None:
        if frame.is_corrupt and self.cut is None:
            self.cut = len(self.stamps)
        if frame.key_frame:
            self.keys.append((len(self.stamps), frame.pts))
        if self.first is None and (frame.key_frame or not (is_concealed or frame.is_corrupt)):
            self.first = len(self.stamps)
        self.stamps.append(frame.pts)
        self.last_duration = frame.duration or 0


def count_timeline(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, file: MediaFile
) -> Timeline:
    """The timeline from decoding the whole video once: slower, and right whatever the packets say.

    Raises:
        MediaError: "no frame decodes", "no keyframe", "no frame decoded within 60 s", ...
    """
    count = _Count()
    is_concealed = conceals(stream.codec_context)
    for ordinal, packet in enumerate(packets_and_end(container, stream)):
        if packet is not None:
            count.cut = None
            count.decoding_stamps.append(packet.dts)
            count.damaged += [ordinal] * packet.is_corrupt
            if packet.is_keyframe:
                count.starts.append(Keyframe(ordinal, 0, packet.pts, packet.dts, packet.pos))
        for frame in decode(stream, packet) or ():
            count.add(frame, is_concealed=is_concealed)
            file.note_progress()
        file.check()
    if count.stamps and count.first is None:
        raise MediaError("no keyframe")
    first = count.first or 0
    stamps = count.stamps[first : count.cut]
    has_jumps = container.format.name in _FORMATS_WITH_CLOCK_JUMPS
    longest = int(MAX_GAP_SEC / (stream.time_base or Fraction(1, 90000))) if has_jumps else None
    shown = _ascending(stamps, count.decoding_stamps, container, stream, longest)
    times, duration_sec = times_of(shown, count.last_duration if shown == stamps else 0, stream)
    keyframes = _keyframes(count, first=first, num_frames=len(stamps))
    key_frames = [index - first for index, _ in count.keys]
    packets = list(range(len(stamps)))
    seams = _seams(count, longest) if longest else frozenset()
    return Timeline(times, duration_sec, [], packets, keyframes, key_frames, num_leading=first, seams=seams)


def _seams(count: _Count, longest: int) -> frozenset[int]:
    """Packets before a jump of the clock, which the demuxer marks because the numbers of transport packets jump too.

    FFmpeg's parser gives the mark of a packet to the one before it.
    """
    jumps = [_believed(pair, longest) is None for pair in pairwise(count.decoding_stamps)]
    return frozenset(ordinal for ordinal in count.damaged if any(jumps[ordinal : ordinal + 2]))


def _keyframes(count: _Count, *, first: int, num_frames: int) -> list[Keyframe]:
    """The beginning, and the packets that say to be keyframes whose frame, by its time stamp, is one.

    None but the beginning where the clock jumps, since a seek goes by time.
    """
    if _believed(count.decoding_stamps, None) is None:
        return [BEGINNING]
    frames = {stamp: index - first for index, stamp in count.keys if stamp is not None}
    found = [start._replace(frame=frames[start.pts]) for start in count.starts if start.pts in frames]
    keyframes = [BEGINNING, *(keyframe for keyframe in found if 0 < keyframe.frame < num_frames)]
    is_ascending = all(a.frame < b.frame for a, b in pairwise(keyframes))
    return keyframes if is_ascending else [BEGINNING]


def _ascending(
    stamps: Sequence[int | None],
    decoding_stamps: Sequence[int | None],
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    longest: int | None,
) -> list[int]:
    """Time stamps of the frames that ascend, whatever the file says.

    Ours: those of the frames if they ascend, by no more than ``longest`` where that is given; else those of the
    packets, in whose order AVI and some Matroska keep time; else those of the frames with steps that are missing,
    backwards or too long replaced by the usual one; else evenly spaced at the stream's rate.
    """
    found = _believed(stamps, longest)
    if found is None and not stores_order(container, stream) and len(decoding_stamps) >= len(stamps):
        found = _believed(decoding_stamps[: len(stamps)], None)
    if found is not None:
        return found
    steps = [None if a is None or b is None else b - a for a, b in pairwise(stamps)]
    good = [step for step in steps if step is not None and 0 < step <= (longest or step)]
    if len(steps) - len(good) <= MAX_BAD_STEPS * len(steps) and good:
        usual, times = int(np.median(good)), [0]
        for step in steps:
            times.append(times[-1] + (step if step is not None and 0 < step <= (longest or step) else usual))
        return times
    # raw H.264 and HEVC: the average is what FFmpeg supposes before it reads what the stream says
    rate = stream.guessed_rate if all(stamp is None for stamp in stamps) else stream.average_rate
    even = 1 / ((rate or Fraction(25)) * (stream.time_base or Fraction(1, 90000)))
    return [round(index * even) for index in range(len(stamps))]


def _believed(stamps: Sequence[int | None], longest: int | None) -> list[int] | None:
    """The time stamps if all are known, ascend, and leave no gap over ``longest``; else None."""
    known = [stamp for stamp in stamps if stamp is not None]
    if len(known) < len(stamps):
        return None
    is_fine = all(0 < b - a <= (longest or b - a) for a, b in pairwise(known))
    return known if is_fine else None
