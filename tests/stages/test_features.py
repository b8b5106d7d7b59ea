"""Features are rounded before anyone judges them, and never hold nonsense."""

import numpy as np
import pytest

from omnicli.errors import ModelError
from omnicli.stages.features import feature_records
from omnicli.streams.record import Record


def extractor(rows):
    def extract(records, *, on_drop):
        for record, features in zip(records, rows, strict=True):
            if features is None:
                on_drop(record, "unreadable: empty file")
            else:
                yield record, np.array(features, dtype=np.float32), np.arange(len(features), dtype=np.float64)

    return extract


def run(rows):
    dropped = []
    records = [Record({"id": str(i)}, position=i) for i in range(len(rows))]
    made = feature_records(records, extract=extractor(rows), on_drop=lambda *leaving: dropped.append(leaving))
    return list(made), dropped


def test_features_are_float16_with_their_times_and_the_record_unchanged():
    [record], dropped = run([[[0.1, 2.0], [3.0, 4.0]]])
    assert record == {"id": "0"}
    assert record.arrays["features"].dtype == np.float16
    np.testing.assert_array_equal(record.arrays["features"], np.array([[0.1, 2.0], [3.0, 4.0]], np.float16))
    np.testing.assert_array_equal(record.arrays["times"], [0.0, 1.0])
    assert dropped == []


def test_what_cannot_be_read_leaves():
    made, dropped = run([None, [[1.0]]])
    assert [record["id"] for record in made] == ["1"]
    assert [(record["id"], reason) for record, reason in dropped] == [("0", "unreadable: empty file")]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_features_that_float16_cannot_hold_are_an_error(value):
    with pytest.raises(ModelError, match="0: features are not finite in float16"):
        run([[[value]]])
