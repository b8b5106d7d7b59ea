"""Records wait on disk and come back as they went."""

from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.record import Record
from omnicli.streams.temp_records import Spool

reasons = st.sampled_from(["", "low confidence", "unreadable: truncated JPEG"])


@given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 1), reasons)))
def test_records_come_back_in_order_with_position_and_reason(rows):
    with Spool() as spool:
        for position, (name, confidence, reason) in enumerate(rows):
            spool.add(Record({"id": name, "confidence": confidence}, position=3 * position), reason)
        back = [(record["id"], record["confidence"], reason, record.position) for record, reason in spool]
    assert back == [(*row, 3 * position) for position, row in enumerate(rows)]


def test_a_spool_holds_few_bytes_of_each_record_in_memory():
    import tracemalloc

    record = Record({"id": "x" * 500})
    with Spool() as spool:
        spool.add(record)
        tracemalloc.start()
        for _ in range(20_000):
            spool.add(record)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(spool) == 20_001
    assert grown < 20_000 * 40
