"""Scores of another model, found by id."""

import numpy as np
import pytest

from omnicli.errors import InputError
from omnicli.stages.eval.baseline import open_baseline
from omnicli.stages.eval.fusion import CLASS_NAMES, SCORE_FUNCTION, open_scores
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


def stored(folder, rows, *, function=None):
    provenance = {CLASS_NAMES: ["archery", "bowling"], SCORE_FUNCTION: function}
    writer = ShardWriter(folder, stage="eval", kind="scores", provenance=provenance, rows_per_shard=2)
    for name, label, scores in rows:
        record = Record({"id": name} if label is None else {"id": name, "label": label})
        record.arrays = {"scores": np.asarray(scores, np.float32)}
        writer.add(record)
    writer.close()
    return open_scores(folder)


def found(scores, record):
    with open_baseline(scores) as find:
        return find(record)


def asked(name, label):
    return Record({"id": name, "label": label}, origin="val.jsonl", line=4)


ROWS = [("a", 0, [0.75, 0.25]), ("b", None, [0.125, 0.875]), ("c", [0, 1], [0.5, 0.5])]


def test_each_record_gets_the_bits_that_were_stored_under_its_id_in_whichever_shard(tmp_path):
    baseline = stored(tmp_path, ROWS)
    for name, label, scores in ROWS[::-1]:
        made = found(baseline, asked(name, 1 if label is None else label))
        assert made.dtype == np.float32 and made.tolist() == scores


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (asked("d", 0), r"{}: no scores for id 'd' of val\.jsonl:4; a baseline needs the same records$"),
        (asked("a", 1), r"{}/00000\.h5:1: id 'a' has label 0, but 1 at val\.jsonl:4$"),
        (asked("c", [1]), r"{}/00001\.h5:1: id 'c' has label \[0, 1\], but \[1\] at val\.jsonl:4$"),
    ],
)
def test_a_record_it_lacks_or_judged_for_another_label_is_named(tmp_path, record, says):
    baseline = stored(tmp_path, ROWS)
    with pytest.raises(InputError, match=says.format(tmp_path)):
        found(baseline, record)


def test_a_sigmoid_sums_to_anything_and_a_softmax_to_one(tmp_path):
    rows = [("a", [0, 1], [0.9, 0.8])]
    sigmoid = stored(tmp_path / "sigmoid", rows, function="sigmoid")
    assert found(sigmoid, asked("a", [0, 1])).tolist() == pytest.approx([0.9, 0.8])
    with pytest.raises(InputError, match=r"not softmax scores \(they sum to 1\.7\); logits cannot be evaluated"):
        found(stored(tmp_path / "softmax", rows), asked("a", [0, 1]))
    with pytest.raises(InputError, match="not sigmoid scores"):
        found(stored(tmp_path / "logits", [("a", 0, [3.0, -2.0])], function="sigmoid"), asked("a", 0))
