"""Every record is accounted for: killed, duplicated, reordered, renamed streams come out the same or are found out."""

from collections import Counter
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.errors import OmniError
from omnicli.streams import stage_run
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter
from omnicli.streams.stage_run import StageRun
from omnicli.streams.write.resume import Journal


class Lines:
    """A writer that keeps its lines."""

    def __init__(self):
        self.lines = []
        self.length = 0

    def write(self, line):
        self.lines.append(line)
        self.length += len(line)

    def flush(self):
        pass


def records(ids, *, start=0):
    return [Record({"id": name}, origin="in.jsonl", line=i + 1, position=i) for i, name in enumerate(ids, start)]


def keep_even(stream, on_drop):
    for record in stream:
        if record.position % 2:
            on_drop(record, "odd")
        else:
            yield record


def keep_all(stream, on_drop):
    yield from stream


def make_run(**options):
    return StageRun(kept=Lines(), rejects=Lines(), **options)


def test_kept_and_rejected_add_up_to_what_was_read():
    run = make_run()
    run.run(keep_even, records("abcde"))
    assert run.counters == Counter({"in": 5, "kept": 3, "out": 3, "rejected: odd": 2})
    assert run._kept.lines == [b'{"id":"a"}\n', b'{"id":"c"}\n', b'{"id":"e"}\n']
    assert run._rejects.lines == [b'{"id":"b","reason":"odd"}\n', b'{"id":"d","reason":"odd"}\n']


def loses_one(stream, on_drop):
    yield from (record for record in stream if record.position != 2)


def repeats_one(stream, on_drop):
    for record in stream:
        yield record
        if record.position == 1:
            yield record


def swaps_two(stream, on_drop):
    first, second, *rest = stream
    yield from (second, first, *rest)


def drops_what_it_kept(stream, on_drop):
    for record in stream:
        yield record
        on_drop(record, "changed my mind")


def loses_the_last(stream, on_drop):
    yield from list(stream)[:-1]


@pytest.mark.parametrize("stage", [loses_one, repeats_one, swaps_two, drops_what_it_kept, loses_the_last])
def test_a_stage_that_loses_repeats_or_moves_a_record_is_found_out(stage):
    with pytest.raises(RuntimeError):
        make_run().run(stage, records("abcd"))


def cuts_in_two(stream, on_drop):
    for record in stream:
        if record.position == 1:
            on_drop(record, "no positive")
        else:
            yield record.derive(id=f"{record['id']}#0")
            yield record.derive(id=f"{record['id']}#1")


def test_pieces_of_one_record_count_once():
    run = make_run(one_to_many=True)
    run.run(cuts_in_two, records("abc"))
    assert run.counters == Counter({"in": 3, "kept": 2, "out": 4, "rejected: no positive": 1})


@given(st.lists(st.sampled_from(["good", "bad"]), max_size=20), st.integers(0, 5))
def test_what_the_reader_drops_ahead_of_the_stage_leaves_in_its_place(kinds, read_ahead):
    """The reader runs ahead of the stage; rejects still come in input order."""
    run = make_run()

    def read():
        for record, kind in zip(records([str(i) for i in range(len(kinds))]), kinds, strict=True):
            if kind == "bad":
                run.reject_early(record, "unreadable: empty file")
            else:
                yield record

    def lagging(stream, on_drop):
        waiting = []
        for record in stream:
            waiting.append(record)
            if len(waiting) > read_ahead:
                yield waiting.pop(0)
        yield from waiting

    run.run(lagging, read())
    expected = [b'{"id":"%d","reason":"unreadable: empty file"}\n' % i for i, kind in enumerate(kinds) if kind == "bad"]
    assert run._rejects.lines == expected
    assert run.counters["unreadable"] == len(expected)
    assert run.counters["in"] == len(kinds)


class Killed(Exception):
    """Stands for SIGKILL: nothing after it is written."""


def run_killed_and_resumed(folder, stage, kills, num_records, *, one_to_many=False):
    """Run, killed after each of ``kills`` further events, until it ends; a fresh process each time."""
    for kill_after in [*kills, None]:
        journal = Journal.open(folder / "out.jsonl", rejects=folder / "rejects.jsonl", options={}, resume=True)
        run = StageRun(kept=journal.kept, rejects=journal.rejects, journal=journal, one_to_many=one_to_many)
        events = count()

        def killed(stream, on_drop, kill_after=kill_after, events=events):
            for record in stage(stream, on_drop):
                if next(events) == kill_after:
                    raise Killed
                yield record

        try:
            run.run(killed, records([str(i) for i in range(num_records)]))
        except Killed:
            journal.kept.write(b"half a li")  # what a killed process may leave
            journal.close()
            continue
        journal.publish()
    return (folder / "out.jsonl").read_bytes(), (folder / "rejects.jsonl").read_bytes(), run.counters


@settings(max_examples=20)  # each saves, with two fsyncs, many times
@given(kills=st.lists(st.integers(0, 12), max_size=5), num_records=st.integers(0, 25))
@pytest.mark.parametrize(("stage", "one_to_many"), [(keep_even, False), (keep_all, False), (cuts_in_two, True)])
def test_killed_at_any_moment_and_resumed_gives_the_same_bytes_and_counts(
    tmp_path_factory, stage, one_to_many, kills, num_records
):
    save_sec, stage_run.SAVE_SEC = stage_run.SAVE_SEC, 0.0
    try:
        whole = run_killed_and_resumed(
            tmp_path_factory.mktemp("whole"), stage, [], num_records, one_to_many=one_to_many
        )
        broken = run_killed_and_resumed(
            tmp_path_factory.mktemp("broken"), stage, kills, num_records, one_to_many=one_to_many
        )
    finally:
        stage_run.SAVE_SEC = save_sec
    assert broken == whole


@pytest.mark.parametrize("changed", [["a", "x", "c"], ["b", "a", "c"], ["a"], ["a", "b", "b", "c"][1:]])
def test_another_input_is_refused(tmp_path, monkeypatch, changed):
    """Renamed, reordered, shortened or shifted: the digest of what was read differs."""
    monkeypatch.setattr(stage_run, "SAVE_SEC", 0.0)
    journal = Journal.open(tmp_path / "out", rejects=None, options={}, resume=True)

    def dies_at_the_end(stream, on_drop):
        yield from stream
        raise Killed

    with pytest.raises(Killed):
        StageRun(kept=journal.kept, journal=journal).run(dies_at_the_end, records("abc"))
    journal.close()
    again = Journal.open(tmp_path / "out", rejects=None, options={}, resume=True)
    assert again.resumed.consumed == 2
    with pytest.raises(OmniError, match=r"not the one of the unfinished run .*--no-resume"):
        StageRun(kept=again.kept, journal=again).run(keep_all, records(changed))
    again.close()


def test_an_input_that_grew_after_the_finish_is_refused(tmp_path):
    journal = Journal.open(tmp_path / "out", rejects=None, options={}, resume=True)
    StageRun(kept=journal.kept, journal=journal).run(keep_all, records("ab"))
    journal.close()  # killed before it published
    again = Journal.open(tmp_path / "out", rejects=None, options={}, resume=True)
    with pytest.raises(OmniError, match=r"in\.jsonl:3: the input has grown"):
        StageRun(kept=again.kept, journal=again).run(keep_all, records("abc"))
    again.close()


@pytest.mark.parametrize("keep_paths", [False, True])
def test_no_line_goes_out_before_the_shard_it_names_can_be_read(tmp_path, keep_paths):
    """Whoever reads the stream finds each file that a line names; lines that name none do not wait."""
    shards = ShardWriter(
        tmp_path, stage="pack", kind="frames", provenance={}, rows_per_shard=2, keep_paths=keep_paths
    )  # fmt: skip
    run = make_run(shards=shards)
    seen = []

    def stage(stream, on_drop):
        for record in stream:
            made = record.derive()
            if record["id"] != "u":
                made.arrays = {"frames": [b"jpeg"]}
            yield made
            seen.append(len(run._kept.lines))

    run.run(stage, records("uabuacu"))
    assert seen == ([1, 2, 3, 4, 5, 6, 7] if keep_paths else [1, 1, 3, 4, 4, 6, 7])
    assert [line.split(b'"')[3] for line in run._kept.lines] == [b"u", b"a", b"b", b"u", b"a", b"c", b"u"]
