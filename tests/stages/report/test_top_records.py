"""Which records are shown does not depend on their order."""

from hypothesis import given
from hypothesis import strategies as st

from omnicli.stages.report.top_records import TopRecords
from omnicli.streams.record import Record


def scored(index, confidence):
    return Record({"id": f"{index}.jpg", "path": f"{index}.jpg", "confidence": confidence})


def ids(records):
    return [record["id"] for record in records]


@given(st.lists(st.floats(0, 1), max_size=60), st.integers(0, 8), st.randoms())
def test_the_best_are_the_same_in_whatever_order_records_come(confidences, size, shuffler):
    entries = [(confidence, scored(index, confidence)) for index, confidence in enumerate(confidences)]
    shuffled = entries.copy()
    shuffler.shuffle(shuffled)
    chosen = []
    for order in (entries, shuffled):
        best = TopRecords(size)
        for priority, record in order:
            best.add(priority, record)
        chosen.append(ids(best.records()))
    assert chosen[0] == chosen[1]
    kept = [float(confidences[int(name.split(".")[0])]) for name in chosen[0]]
    assert kept == sorted(confidences, reverse=True)[:size]
