"""Labels, sources and media facts."""

import threading
import time

import pytest

from omnicli.errors import InputError, MediaError
from omnicli.stages.index import index_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

CLASSES = ClassIndex(["archery", "Playing Violin", "surfing"])


def stream(*fields: dict) -> list[Record]:
    return [Record({"id": str(i)} | field, origin="l.txt", line=i + 1, position=i) for i, field in enumerate(fields)]


def index(*fields: dict, **options) -> tuple[list[Record], list[tuple[int, str]]]:
    dropped: list[tuple[int, str]] = []
    records = stream(*fields)
    before = [dict(record) for record in records]
    made = list(index_records(records, on_drop=lambda r, why: dropped.append((r.position, why)), **options))
    assert [dict(record) for record in records] == before, "given records stay as they are"
    return made, dropped


def test_without_options_records_pass_as_they_are():
    made, dropped = index({"query": "archery", "extra": [1]}, {"label": 400})
    assert made == stream({"query": "archery", "extra": [1]}, {"label": 400})
    assert [record.position for record in made] == [0, 1]
    assert dropped == []


def test_the_folder_becomes_the_class_and_stray_files_are_counted():
    made, dropped = index({"query": "a b"}, {}, {"class_name": "own", "query": "q"}, {"label": 3}, labels=True)
    assert made == [
        {"id": "0", "class_name": "a b"}, {"id": "2", "class_name": "own"}, {"id": "3", "label": 3}
    ]  # fmt: skip
    assert dropped == [(1, "no class")]


def test_labels_are_written_only_with_a_classes_file_and_its_spelling_wins():
    made, _ = index({"query": "playing_violin"}, {"query": "SURFING"}, labels=True, classes=CLASSES)
    assert [(record["label"], record["class_name"]) for record in made] == [(1, "Playing Violin"), (2, "surfing")]


def test_labels_of_a_list_get_their_names_and_several_stay_several():
    made, _ = index({"label": 0}, {"label": [2, 1]}, {"class_name": ["surfing"]}, {"query": "x"}, classes=CLASSES)
    assert [(record.get("label"), record.get("class_name")) for record in made] == [
        (0, "archery"), ([2, 1], ["surfing", "Playing Violin"]), ([2], ["surfing"]), (None, None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_name": "archry"}, "l.txt:1: class 'archry' is not in the classes file; nearest: archery"),
        ({"class_name": "zzz"}, "l.txt:1: class 'zzz' is not in the classes file"),
        ({"label": 3}, "l.txt:1: label 3 is outside the 3 classes (0-based)"),
        ({"label": [0, -1]}, "l.txt:1: label -1 is outside the 3 classes (0-based)"),
        ({"label": 0, "class_name": "surfing"},
         "l.txt:1: label 0 contradicts class 'surfing', label 2 of the classes file"),
    ],
)  # fmt: skip
def test_names_and_labels_that_do_not_fit_the_classes_stop_at_their_line(fields, message):
    with pytest.raises(InputError) as caught:
        index(fields, classes=CLASSES)
    assert str(caught.value) == message


def test_the_source_is_written_over_what_was_there():
    made, _ = index({"source": "old"}, {}, source="gg-k400")
    assert [record["source"] for record in made] == ["gg-k400", "gg-k400"]


def test_measuring_keeps_the_order_and_counts_what_cannot_be_opened():
    def measure(record: Record) -> dict[str, int]:
        time.sleep(0.002 * (7 - int(record["id"]) % 7))  # later ones are ready first
        if record["id"] in ("3", "8"):
            raise MediaError("truncated JPEG")
        return {"width": int(record["id"])}

    made, dropped = index(*[{} for _ in range(20)], measure=measure, workers=4)
    assert [record["width"] for record in made] == [i for i in range(20) if i not in (3, 8)]
    assert dropped == [(3, "unreadable: truncated JPEG"), (8, "unreadable: truncated JPEG")]


def test_measuring_runs_in_as_many_threads_as_asked_for():
    together = threading.Barrier(3, timeout=60)

    def measure(record: Record) -> dict[str, int]:
        together.wait()  # breaks, unless three are here at once
        return {}

    made, _ = index({}, {}, {}, measure=measure, workers=3)
    assert len(made) == 3


def test_a_record_without_a_class_leaves_in_its_place_while_others_are_measured():
    """Dropped records are told of in the order of the stream, however far the reader is ahead of the measuring."""
    settled = []

    def measure_slowly(record):
        time.sleep(0.02)
        return {"width": 8}

    fields = [{"query": "a"}, {"query": "a"}, {}, {"query": "a"}, {}]
    for record in index_records(
        stream(*fields), labels=True, measure=measure_slowly, workers=2,
        on_drop=lambda record, why: settled.append(record.position),
    ):  # fmt: skip
        settled.append(record.position)
    assert settled == [0, 1, 2, 3, 4]
