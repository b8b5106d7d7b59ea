"""Records come back by number, in any order, while more are added."""

from hypothesis import given
from hypothesis import strategies as st

from omnicli.streams.numbered_records import NumberedRecords


@given(st.lists(st.dictionaries(st.sampled_from(["id", "é", "note"]), st.text(), max_size=3), max_size=20), st.data())
def test_a_number_gives_its_record(rows, data):
    records = NumberedRecords()
    for number, row in enumerate(rows):
        assert records.add(row) == number
        asked = data.draw(st.integers(0, number))
        assert records[asked] == rows[asked]
        assert records[asked].position == asked
    assert len(records) == len(rows)
