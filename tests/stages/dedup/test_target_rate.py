"""A small target is read densely, a large one at one frame per second, and no record is lost meanwhile."""

import pytest

from omnicli.errors import MediaError
from omnicli.stages.dedup import target_rate
from omnicli.stages.dedup.target_rate import AT_ONCE, MAX_FRAMES, choose_rate
from omnicli.streams.record import Record


class _Source:
    def __init__(self, duration_sec):
        self.duration_sec = duration_sec

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def opened(monkeypatch):
    """Numbers of the records that were opened."""
    numbers = []

    def open_media(record, *, root):
        numbers.append(record.position)
        if record["sec"] is None:
            raise MediaError("truncated")
        return _Source(record["sec"])

    monkeypatch.setattr(target_rate, "open_media", open_media)
    return numbers


def target(*seconds, **fields):
    return [Record({"id": f"{i}", "path": f"{i}", "sec": sec, **fields}, position=i) for i, sec in enumerate(seconds)]


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [
        ([10.0] * 54, 8.0),
        ([MAX_FRAMES / 8], 8.0),
        ([MAX_FRAMES / 8 + 1], 4.0),
        ([MAX_FRAMES / 4 + 1], 2.0),
        ([MAX_FRAMES / 2 + 1], 1.0),
        ([MAX_FRAMES * 9.0], 1.0),
        ([0.0] * 30, 8.0),  # images
        ([None, 5.0], 8.0),
        ([], 8.0),
    ],
)
def test_the_rate_is_the_highest_that_fits(opened, seconds, rate):
    records = target(*seconds)
    found, rest = choose_rate(iter(records))
    assert found == rate
    assert list(rest) == records  # all, in order
    assert len(opened) == len(records)


def test_a_large_target_is_not_opened_to_its_end(opened):
    records = target(*[1000.0] * 500)
    rate, rest = choose_rate(iter(records))
    assert rate == 1.0 and sorted(opened) == list(range(AT_ONCE))
    assert list(rest) == records


def test_images_count_as_a_frame_so_that_a_million_of_them_are_not_opened(opened, monkeypatch):
    monkeypatch.setattr(target_rate, "MAX_FRAMES", 100)
    rate, rest = choose_rate(iter(target(*[0.0] * 500)))
    assert rate == 1.0 and len(opened) == 2 * AT_ONCE
    assert len(list(rest)) == 500


def test_stored_features_are_not_opened(opened):
    rate, _ = choose_rate(target(*[1e9] * 3, media="features"))
    assert rate == 8.0 and not opened
