"""At how many frames per second a target is read: more where it is small (Ours).

An image that is copied out of a video can be any frame of it. At one frame per second the nearest target frame is up to
half a second away, and 16 % of unchanged frames of actions6 taken at random times are missed; at eight frames per
second none (benchmarks/bench_dedup_times.py). A target of many hours has no room for that. So the rate is the highest
of ``RATES`` at which the whole target has at most ``MAX_FRAMES`` frames; every frame at a lower rate is one of those at
a higher.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, islice

from omnicli.cpus import available_cores
from omnicli.errors import OmniError
from omnicli.media.source import open_media
from omnicli.streams.reading import reading
from omnicli.streams.record import Record
from omnicli.streams.shards.features import is_stored

RATES = (8.0, 4.0, 2.0)  # frames per second of a small target; of a large one LOWEST
LOWEST = 1.0
MAX_FRAMES = 16_384  # ResNet-50 takes eight minutes for them on two cores
AT_ONCE = 64  # records whose durations are read together


def choose_rate(
    records: Iterable[Record], *, root: str | None = None, workers: int | None = None
) -> tuple[float, Iterator[Record]]:
    """Frames a second at which to read a target, and its records, of which some have been looked at.

    Only as many files are opened, for their durations, as decide that the rate is ``LOWEST``. Stored features stay as
    they are, and count as one frame, as images do.

    Args:
        records: the target.
        root: folder that relative paths start from.
        workers: threads that open files; default all cores.
    """
    rest, held = iter(records), list[Record]()
    num_frames = dict.fromkeys(RATES, 0.0)
    with ThreadPoolExecutor(workers or available_cores()) as pool:
        while num_frames[min(RATES)] <= MAX_FRAMES and (some := list(islice(rest, AT_ONCE))):
            held += some
            durations = list(pool.map(partial(_duration_sec, root=root), some))
            for rate in RATES:
                num_frames[rate] += sum(max(rate * duration_sec, 1.0) for duration_sec in durations)
    chosen = next((rate for rate in RATES if num_frames[rate] <= MAX_FRAMES), LOWEST)
    return chosen, chain(held, rest)


def _duration_sec(record: Record, *, root: str | None) -> float:
    """How long a record's media are; 0 for images, stored features, and what cannot be read, which is said later."""
    if is_stored(record):
        return 0.0
    try:
        with reading(record), open_media(record, root=root) as source:
            return source.duration_sec
    except OmniError:
        return 0.0
