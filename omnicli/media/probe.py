"""Media facts of one record: what ``index --probe`` writes."""

from typing import Any

from omnicli.media.source import open_media
from omnicli.streams.files.media_files import media_path, open_binary
from omnicli.streams.files.sniff import HEAD_BYTES, sniff
from omnicli.streams.record import Record

ROUND_DIGITS = 6  # microseconds; below the time base of any container


def probe_media(record: Record, *, root: str | None = None) -> dict[str, Any]:
    """``width`` and ``height`` in pixels as shown; of moving media also ``fps``, ``num_frames`` and ``duration_sec``.

    A video is demuxed once, not decoded, so damage inside it is not seen here. A record without ``media`` gets it
    from the content.

    Raises:
        MediaError: it cannot be opened; the message is the reason.
        InputError: the record has no ``path``.
    """
    facts: dict[str, Any] = {}
    kind = record.get("media")
    with open_media(record, root=root, flow=True) as source:
        facts |= {"width": int(source.width), "height": int(source.height)}
        if kind is None:
            kind = _kind_of(media_path(record, root))
            if kind is not None:
                facts["media"] = kind
        if kind != "image":
            facts["num_frames"] = int(source.num_frames)
        if kind not in ("image", "frames"):
            facts["fps"] = round(float(source.fps), ROUND_DIGITS)
            facts["duration_sec"] = round(float(source.duration_sec), ROUND_DIGITS)
    return facts


def _kind_of(path: str) -> str | None:
    with open_binary(path) as file:
        return sniff(file.read(HEAD_BYTES))[0]
