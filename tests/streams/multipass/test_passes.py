"""Lines that are read several times stay unchanged except for one field."""

import json
import os
import tracemalloc
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.multipass.class_fields import ClassFields
from omnicli.streams.multipass.passes import (
    MultipassInput,
    MultipassRun,
    input_changed,
    reject,
    reject_unreadable,
    set_weight,
    weight_ending,
)
from omnicli.streams.read.reader import find_records, read_records

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=8) | st.sampled_from([',"weight":1}', '"weight"', 'reason"', "\\", "é", "\U0001f600"])
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    | st.fixed_dictionaries({"weight": inner}),
    max_leaves=6,
)  # fmt: skip
unknown = st.dictionaries(st.sampled_from(["x", "note", "weights", "ünbekannt"]) | texts, values, max_size=4)
records = st.builds(
    lambda before, name, weight, after: before | {"id": name} | weight | after,
    unknown, st.text(max_size=6), st.just({}) | st.fixed_dictionaries({"weight": st.floats(0, 9) | st.none()}), unknown,
).filter(lambda record: not {"reason", "match"} & record.keys())  # fmt: skip


class Lines:
    """A writer that remembers."""

    def __init__(self):
        self.content, self.length = b"", 0

    def write(self, line):
        self.content += line
        self.length += len(line)

    def flush(self):
        pass


def input_of(*names, spooled=False, limit=None):
    return MultipassInput(partial(find_records, [str(name) for name in names]), spooled=spooled, limit=limit)


def as_line(record, spaced, ascii_only):
    separators = (", ", ": ") if spaced else (",", ":")
    return json.dumps(record, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "replace")


@given(records, st.floats(1e-6, 1e6), st.booleans(), st.booleans(), st.sampled_from([b"", b" ", b"\r"]))
def test_a_line_with_a_new_weight_is_the_record_with_its_weight_last_and_nothing_else_changed(
    record, weight, spaced, plain, end
):
    line = as_line(record, spaced, plain)
    earlier = {"weight": record["weight"]} if "weight" in record else {}
    output, copies, reason = set_weight((line + end, ClassFields("a", **earlier)), weight_ending(weight))
    made = json.loads(output)
    expected = json.loads(line)
    expected.pop("weight", None)
    assert made == expected | {"weight": weight}
    assert list(made) == [*expected, "weight"]
    assert set_weight((output[:-1], ClassFields("a", weight=weight)), weight_ending(weight))[0] == output
    assert (output.count(b"\n"), output[-1:], copies, reason) == (1, b"\n", 1, "")


@pytest.mark.parametrize(
    "line", [b'{"id":"a","weight":1,"x":{"weight":5},"weight":3}', b'{"weight":3,"id":"a","weight":1e-05}']
)
def test_a_weight_that_stands_twice_is_replaced_by_one(line):
    output = set_weight((line, ClassFields("a", weight=3.0)), weight_ending(0.5))[0]
    pairs = json.loads(output, object_pairs_hook=list)
    assert [value for key, value in pairs if key == "weight"] == [0.5]


def test_bytes_that_another_encoder_would_change_stay(tmp_path):
    odd = rb'{"id": "a", "big": 123456789012345678901234567890, "e": 1.0E+2, "u": "\u00e9"'
    (tmp_path / "web.jsonl").write_bytes(odd + b"}\n")
    (row,) = input_of(tmp_path / "web.jsonl")
    assert set_weight(row, weight_ending(2.0))[0] == odd + b',"weight":2.0}\n'


SAMPLES = [
    b'{"id":"a","source":"gg","query":"x","queries":["x","y"],"label":[1,2],"class_name":["p","q"]}',
    b'{"path":"./web//b.jpg","pseudo_label":3,"pseudo_class":"c"}',
    b'{"id":"c","label":4,"reason":"low confidence","match":{"id":"t"}}',
    b'{"id":"d","note":"cut \\ud83d emoji"}',
    b'{"id":"\\u0065","re\\u0061son":"gone"}',
    b'{"id":"f","deep":{"reason":"stays"}}',
    b"", b"   ", b'  {"id":"g"}  \r',
]  # fmt: skip


@pytest.mark.parametrize("spooled", [False, True])
def test_every_iteration_yields_the_records_of_a_reader(tmp_path, spooled):
    web = tmp_path / "web.jsonl"
    web.write_bytes(b"\n".join(SAMPLES))
    expected = [dict(record) for record in read_records([str(web)], on_drop=print)]
    stream = input_of(web, spooled=spooled)
    for _ in range(3):
        rows = list(stream)
        assert [json.loads(line) for line, _ in rows] == expected
        assert [fields.id for _, fields in rows] == [record.get("id") for record in expected]
    first = rows[0][1]
    assert (first.queries, first.label, first.class_name) == (("x", "y"), (1, 2), ("p", "q"))


@pytest.mark.parametrize(
    "bad",
    [
        b"not json", b"[1]", b'{"id":1}', b'{"id":"a","label":"x"}', b'{"id":"a","width":"wide"}',
        b'{"id":"a","x":NaN}', b'{"id":"a","x":1e999}', b'{"id":"a","x":[-1.5E+400]}', b'{"id":"a","x":{"y":1e0400}}',
        b'{"id":"a","x":' + b"1" * 250 + b'e99}', b'{"id":"a","x":' + b"[" * 600 + b"]" * 600 + b"}",
        b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":"a","x":"\xff"}', b'{"id":"a","confidence":1e999}', b'{"id":"a"', b'!{"id":"a","reason":"no"}',
        b'{"id":"a","top_scores":[[0,"x"]]}',
    ],
)  # fmt: skip
def test_a_bad_line_stops_with_the_words_of_every_other_stage(tmp_path, bad):
    web = tmp_path / "web.jsonl"
    web.write_bytes(b'{"id":"good"}\n\n' + bad + b'\n{"id":"good"}\n')
    with pytest.raises(InputError) as ours:
        list(input_of(web))
    with pytest.raises(InputError) as theirs:
        list(read_records([str(web)], on_drop=print))
    assert str(ours.value) == str(theirs.value)
    assert str(ours.value).startswith(f"{web}:3: ")


@pytest.mark.parametrize("spooled", [False, True])
def test_what_is_no_list_of_lines_becomes_lines_and_bad_media_are_rejected_in_order(tmp_path, spooled):
    for name, content in (("1.jpg", b"\xff\xd8\xff\xe0 image"), ("2.jpg", b"<html>"), ("3.jsonl", b'{"id":"z"}\n')):
        (tmp_path / name).write_bytes(content)
    stream = input_of(tmp_path, spooled=spooled)
    for _ in range(2):
        rows = list(stream)
        assert [bool(fields) for _, fields in rows] == [True, False, True]
        line, copies, reason = reject_unreadable(rows[1])
        assert (copies, reason) == (0, "unreadable: not media (HTML page)")
        assert json.loads(line)["id"].endswith("2.jpg")


def test_a_pipe_is_read_once(tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b'{"id":"a"}\n{"id":"b"}\n')
    os.close(writing)
    stream = input_of(f"/dev/fd/{reading}", spooled=True)
    assert [[fields.id for _, fields in stream] for _ in range(3)] == [["a", "b"]] * 3
    os.close(reading)


def test_compressed_files_and_limits_are_those_of_every_input(tmp_path, sh):
    sh('printf \'%s\\n\' \'{"id":"a"}\' \'\' \'{"id":"b"}\' \'{"id":"c"}\' | gzip > web.jsonl.gz', cwd=tmp_path)
    stream = input_of(tmp_path / "web.jsonl.gz", limit=2)
    assert [[fields.id for _, fields in stream] for _ in range(2)] == [["a", "b"]] * 2
    assert list(input_of(tmp_path / "web.jsonl.gz", limit=0)) == []


def test_where_is_file_and_line(tmp_path):
    (tmp_path / "web.jsonl").write_text('\n{"id":"a"}\n\n{"id":"b"}\n')
    stream = input_of(tmp_path / "web.jsonl")
    assert [stream.where for _ in stream] == [f"{tmp_path}/web.jsonl:{line}" for line in (2, 4)]


def test_an_input_that_grows_or_shrinks_between_iterations_is_refused(tmp_path):
    web = tmp_path / "web.jsonl"
    web.write_text('{"id":"a"}\n')
    stream = input_of(web)
    list(stream)
    web.write_text('{"id":"a"}\n{"id":"b"}\n')
    with pytest.raises(InputError, match=r"the input changed while it was read \(1 records, then 2\); run again"):
        list(stream)
    assert str(input_changed("x")) == "the input changed while it was read (x); run again"


def test_counters_add_up_and_rejects_carry_their_reason():
    rows = [
        (b'{"id":"a"}', ClassFields("a")),
        (b'{"id":"b" } ', ClassFields("b")),
        (b'{"id":"c","reason":"unreadable: x"}', None),
    ]
    kept, rejects = Lines(), Lines()
    run = MultipassRun(kept=kept, rejects=rejects, journal=None)
    outcomes = [set_weight(rows[0], weight_ending(1.0), 2), reject(rows[1], "odd"), reject_unreadable(rows[2])]
    run.run(lambda records: iter(outcomes), input_of())
    assert run.counters == {"in": 3, "kept": 1, "out": 2, "rejected: odd": 1, "unreadable": 1, "unreadable: x": 1}
    assert kept.content == b'{"id":"a","weight":1.0}\n' * 2
    assert [json.loads(line) for line in rejects.content.splitlines()] == [
        {"id": "b", "reason": "odd"}, {"id": "c", "reason": "unreadable: x"}
    ]  # fmt: skip


@pytest.mark.parametrize("spooled", [False, True])
def test_no_records_are_kept_in_memory(tmp_path, spooled):
    web = tmp_path / "web.jsonl"
    web.write_text("".join(json.dumps({"id": f"{i:040d}", "label": i % 7}) + "\n" for i in range(100_000)))
    stream = input_of(web, spooled=spooled)
    tracemalloc.start()
    for _ in range(2):
        for _ in stream:
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert web.stat().st_size > 6_000_000
    assert peak < 3_000_000
