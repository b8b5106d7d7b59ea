"""Clips of one video as one sample: they share its weight (``balance --per-parent``).

The released lists of OmniSource count a long video as one sample, of which one clip is drawn per visit. With n clips
of a video in a source, each counts as 1/n record, and its weight is 1/n of that of a whole record.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from fractions import Fraction

from omnicli.rng import keyed_seed
from omnicli.stages.balance.weights import GroupBalance
from omnicli.streams.multipass.class_fields import ClassFields
from omnicli.streams.multipass.passes import MultipassInput, weight_ending


class ClipCounts:
    """How many clips of its video a record is one of, and the lines' endings that follow from it.

    Args:
        num_clips: by video (see ``_video``); records of other videos are whole.
    """

    def __init__(self, num_clips: Mapping[int, int]) -> None:
        self._num_clips = num_clips
        self._counts: dict[Hashable, Counter[int]] = {}  # class key → clips of their video → records
        self._weights: dict[Hashable, float] = {}  # class key → weight of a whole video
        self._endings: dict[tuple[Hashable, int], bytes] = {}

    def note(self, key: Hashable, fields: ClassFields) -> None:
        """Count a record of a class key."""
        self._counts.setdefault(key, Counter())[self._of(fields)] += 1

    def num_samples(self, key: Hashable) -> Fraction:
        """The records of a class key, in whole videos."""
        return sum((Fraction(count, clips) for clips, count in self._counts[key].items()), Fraction(0))

    def set_weights(self, balances: Mapping[Hashable, tuple[str, GroupBalance]]) -> None:
        """Take source and balance by class key, whose weights have mean 1 over videos; those of records get mean 1."""
        num_records, num_samples = Counter[str](), dict[str, Fraction]()
        for key, (source, balance) in balances.items():
            if balance.keep:
                num_records[source] += self._counts[key].total()
                num_samples[source] = num_samples.get(source, Fraction(0)) + self.num_samples(key)
        for key, (source, balance) in balances.items():
            self._weights[key] = balance.weight * float(num_records[source] / num_samples.get(source, Fraction(1)))

    def ending(self, key: Hashable, fields: ClassFields) -> bytes:
        """What ends the line of a record of a class key."""
        clips = self._of(fields)
        ending = self._endings.get((key, clips))
        if ending is None:
            ending = weight_ending(float(f"{self._weights[key] / clips:.9g}"))
            self._endings[key, clips] = ending
        return ending

    def _of(self, fields: ClassFields) -> int:
        """The number of clips of the record's video in its source, at least 1."""
        return 1 if fields.parent is None else self._num_clips.get(_video(fields), 1)


def count_clips(stream: MultipassInput) -> ClipCounts:
    """Read the stream once: the number of clips of each video; about 100 bytes of memory per video with clips."""
    return ClipCounts(Counter(_videos(stream)))


def _videos(stream: MultipassInput) -> Iterator[int]:
    for _, fields in stream:
        if fields is not None and fields.parent is not None:
            yield _video(fields)


def _video(fields: ClassFields) -> int:
    """63 bits of the source and the parent."""
    name = f"{fields.source or ''}\n{fields.parent}"
    return keyed_seed(0, "balance", name)
