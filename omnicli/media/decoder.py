"""From the index of a frame to the decoded frame, feeding the decoder no more packets than it takes."""

import itertools
from collections.abc import Iterator
from typing import BinaryIO

import av

from omnicli.errors import FrameError
from omnicli.media.container import open_container
from omnicli.media.counting import count_timeline
from omnicli.media.hollow import timeline_from_index
from omnicli.media.media_file import MediaFile
from omnicli.media.packets import Packet, decode, is_mpeg4_b_frame, read_packets
from omnicli.media.starts import Starts, conceals
from omnicli.media.timeline import BEGINNING, Keyframe, Timeline, read_timeline
from omnicli.streams.files.remote_file import RemoteFile

SEEK_PACKETS = 3  # Ours: a seek costs about as much as decoding so many frames


class FrameDecoder:
    """A video file and the position its decoder has reached.

    Attributes:
        timeline: the frames and their times.
        stream: the video stream.
    """

    def __init__(self, file: BinaryIO) -> None:
        """Reads the packets once, without decoding where they are enough.

        Raises:
            MediaError: no video, or no frame of it.
        """
        self._raw = file
        self._file = MediaFile(file)
        self._container, self.stream = open_container(self._file)
        self.timeline = self._read_timeline()
        self._starts = Starts(self.timeline, self.stream.codec_context)
        self._conceals = conceals(self.stream.codec_context) and not self.timeline.is_counted
        self._packets: Iterator[Packet] = iter(())
        self._next_packet: int | None = None  # ordinal of the packet to be fed next; None: begin at a keyframe
        self._next_frame = 0  # frames before it are gone
        self._start = BEGINNING  # where decoding began: frames before it come out broken,
        self._is_sure = False  # and whether it can begin there
        self._is_leading = False  # B-frames that come next need what is before the keyframe
        self._ready: dict[int, av.video.frame.VideoFrame] = {}  # decoded, by index, and perhaps wanted next
        self._errors: set[int] = set()  # packets that did not decode; where frames are counted, frames
        self._new_errors: set[int] = set()  # those noticed since decoding began at ``_start``
        self._count = 0  # where frames are counted: the index of the next to come out,
        self._is_counting = False  # and whether it has begun

    def close(self) -> None:
        """Closes the container, not the file."""
        self._container.close()

    def _read_timeline(self) -> Timeline:
        timeline = None
        if isinstance(self._raw, RemoteFile):
            timeline = timeline_from_index(self._raw, self._container, self.stream)
        if timeline is None:
            timeline = read_timeline(self._container, self.stream)
        self._file.check()
        if timeline is None:
            self._reopen()
            timeline = count_timeline(self._container, self.stream, self._file)
        return timeline

    def _reopen(self) -> None:
        self._container.close()
        self._container, self.stream = open_container(self._file)

    def frame(self, index: int, following: int | None) -> av.video.frame.VideoFrame:
        """One frame, by going on decoding or by seeking to the keyframe before, whichever decodes fewer frames.

        Args:
            index: of the frame, in [0, N).
            following: the next one that will be wanted, if that is known; None: probably none.

        Raises:
            FrameError: "decode error at 12.3 s".
            MediaError: "no frame decoded within 60 s", ...
        """
        self._file.note_progress()
        start = self._starts.before(index)
        if index not in self._ready and self._is_seek_cheaper(index, start):
            self._seek(start)
        frame = self._decode_to(index, following)
        if frame is None and start.frame > 0 and not self._starts.have_lied:
            # Where images are refreshed step by step, the first frames after a keyframe need the one before it too.
            self._seek(self._starts.before(start.frame - 1))
            frame = self._decode_to(index, following)
        is_bad = frame is None or self._is_damaged(index)
        if (is_bad or self._starts.have_lied) and not self._is_sure:
            self._starts.distrust()
            self._seek(BEGINNING)
            frame = self._decode_to(index, following)
            is_bad = frame is None or self._is_damaged(index)
        if frame is None or is_bad:
            self._next_packet = None
            raise FrameError(f"decode error at {self.timeline.times[index]:.1f} s")
        return frame

    def undecodable(self, indices: range) -> Iterator[int]:
        """Those of the frames that do not decode, or whose references do not: all are decoded once, in their order.

        Raises:
            MediaError: "no frame decoded within 60 s", ...
        """
        self._file.note_progress()
        start = self._starts.before(indices.start)
        if not self._starts.are_sure(start):
            self._starts.distrust()
            start = BEGINNING
        self._seek(start)
        for index in indices:
            following = index + 1 if index + 1 < indices.stop else None
            if self._decode_to(index, following) is None or self._is_damaged(index):
                yield index

    def _is_seek_cheaper(self, index: int, start: Keyframe) -> bool:
        at = self._next_packet
        return at is None or index < self._next_frame or start.packet - at >= SEEK_PACKETS

    def _decode_to(self, index: int, following: int | None) -> av.video.frame.VideoFrame | None:
        """Decode until a frame has come out, and those it depends on; None if it does not come."""
        self._next_frame = index + 1
        last_packet = self._last_packet(index, following)
        last_frame = self.timeline.settled_with(index)
        while max(self._ready, default=-1) < last_frame and self._feed(last_packet):
            for shown in [shown for shown in self._ready if shown < index]:
                del self._ready[shown]
        return self._ready.pop(index, None)

    def _is_damaged(self, index: int) -> bool:
        """True if something from its keyframe to the frame did not decode: the frame was made from what is missing."""
        if self.timeline.is_counted:
            first, last = self.timeline.key_frame_before(index), index
        else:
            first, last = self._starts.before(index).packet, self.timeline.packets[index]
        return any(first <= error <= last for error in self._errors)

    def _last_packet(self, index: int, following: int | None) -> int | None:
        """The last packet that a frame needs, if decoding will not go on from there; None if it will.

        There the decoder can be drained, instead of being fed until it gives the frame up.
        """
        if self.timeline.is_counted:
            return None
        last = self.timeline.packets[index]
        if following is None or self._starts.before(following).packet - last - 1 >= SEEK_PACKETS:
            return last
        return None

    def _feed(self, last_packet: int | None) -> bool:
        """Send one packet, or drain the decoder; False if it is drained already."""
        if self._next_packet is None:
            return False
        is_enough = last_packet is not None and self._next_packet > last_packet
        packet = None if is_enough else next(self._packets, None)
        self._file.check()
        frames = [] if self._is_left_out(packet) else decode(self.stream, packet)
        is_marked = packet is not None and packet.is_corrupt and self._next_packet not in self.timeline.seams
        if frames is None or is_marked:
            # where frames are counted, one packet is about one frame
            late = self._start.frame - self._start.packet if self.timeline.is_counted else 0
            self._add_error(self._next_packet + late)
        if is_marked and self.timeline.is_counted:
            self._add_error(self._next_packet + late + 1)  # FFmpeg's parser gives its mark to the packet before it
        for frame in frames or ():
            self._take(frame)
        self._next_packet = None if packet is None else self._next_packet + 1
        return True

    def _is_left_out(self, packet: Packet | None) -> bool:
        """True for B-frames right behind the keyframe of a seek in MPEG-4, which are shown before it.

        From the first B-frame FFmpeg's decoder takes the unit of time of interlaced video: from one without its
        references a wrong one, and then all B-frames come out wrong, or not at all.
        """
        if self._is_leading and self._next_packet != self._start.packet:
            self._is_leading = packet is not None and is_mpeg4_b_frame(packet)
            return self._is_leading
        return False

    def _take(self, frame: av.video.frame.VideoFrame) -> None:
        """Keeps a frame that came out, and notes if it is damaged."""
        self._file.note_progress()
        index = self._identify(frame)
        if index is None:
            return
        self._ready[index] = frame
        self._starts.note(index, is_key=frame.key_frame)
        if frame.key_frame and index == self._start.frame:
            self._is_sure = self._has_key = True
        self._has_key = self._has_key or frame.key_frame
        is_broken = frame.is_corrupt or (self._conceals and not self._has_key)
        if is_broken and index >= self._start.frame:  # before it, references were left out by the seek
            self._add_error(index if self.timeline.is_counted else self.timeline.packets[index])

    def _add_error(self, error: int) -> None:
        if error not in self._errors:
            self._errors.add(error)
            self._new_errors.add(error)

    def _identify(self, frame: av.video.frame.VideoFrame) -> int | None:
        if not self.timeline.is_counted:
            return self.timeline.index_of(frame.pts)
        self._is_counting = self._is_counting or frame.key_frame
        if not self._is_counting:
            return None
        self._count += 1
        return self._count - 1 if self._count > 0 else None

    def _seek(self, start: Keyframe) -> None:
        """Makes the keyframe's packet the next to be fed."""
        self._ready.clear()
        if not self._is_sure:
            self._errors -= self._new_errors  # perhaps none of the file's, but of having begun there
        self._new_errors.clear()
        self._is_leading = start is not BEGINNING and self.stream.codec_context.codec.canonical_name == "mpeg4"
        self._start, self._is_sure, self._has_key = start, self._starts.are_sure(start), False
        self._next_packet, self._next_frame, self._count = start.packet, start.frame, start.frame
        self._is_counting = start is BEGINNING  # what comes before a counted keyframe is left over from earlier ones
        if start is BEGINNING:
            self._count = -self.timeline.num_leading
        for stamp in dict.fromkeys((start.pts, start.dts)):
            if stamp is None:
                continue
            try:
                self._container.seek(stamp, stream=self.stream)  # empties the decoder too
            except (av.error.FFmpegError, OSError):
                continue
            packets = read_packets(self._container, self.stream)
            first = next((packet for packet in packets if _reaches(packet, start)), None)
            if first is not None and _is_packet_of(first, start):
                self._packets = itertools.chain((first,), packets)
                return
        # a container that cannot seek to it: read on from the beginning, which decodes nothing
        self._reopen()
        self._packets = itertools.islice(read_packets(self._container, self.stream), start.packet, None)


def _reaches(packet: Packet, keyframe: Keyframe) -> bool:
    """True at the keyframe's packet and behind it."""
    if _is_packet_of(packet, keyframe):
        return True
    if keyframe.dts is not None and packet.dts is not None:
        return packet.dts > keyframe.dts
    if not packet.is_keyframe or packet.pts is None or keyframe.pts is None:
        return False
    return packet.pts > keyframe.pts


def _is_packet_of(packet: Packet, keyframe: Keyframe) -> bool:
    """By the time it is shown, and by its position or the time it is decoded, one of which may differ after a seek."""
    if packet.pts != keyframe.pts:
        return False
    is_same = (packet.dts == keyframe.dts, packet.pos == keyframe.pos)
    return any(is_same) if keyframe.pts is not None else all(is_same)
