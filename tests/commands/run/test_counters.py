"""Accounting of training and testing."""

import json

import pytest

from omnicli.commands.options.streams import InputOptions, StreamOptions
from omnicli.commands.run.counters import ReadAccountant
from omnicli.console import Console
from omnicli.errors import InputError, TooManyBad, UsageError
from omnicli.streams.record import Record

QUIET = Console("test", quiet=False)


def test_what_leaves_is_counted_and_written_and_the_sums_add_up(tmp_path, world):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").touch()
    (tmp_path / "in" / "b.jsonl").write_text('{"id":"b","path":"b.mp4"}\n{"id":"c","path":"c.mp4"}\n')
    with ReadAccountant(QUIET, StreamOptions(rejects=str(tmp_path / "gone.jsonl"))) as accountant:
        records = list(accountant.read(InputOptions(inputs=[str(tmp_path / "in")])))
        accountant.on_drop(records[0], "unreadable: empty file")
        assert accountant.sums().startswith("3 in = 1 used + 2 unreadable, ")
    gone = [json.loads(line) for line in (tmp_path / "gone.jsonl").read_text().splitlines()]
    assert [row["reason"].partition(":")[0] for row in gone] == ["unreadable"] * 2


def test_an_input_below_another_is_said_where_records_end_in_one_result(tmp_path, capsys):
    (tmp_path / "a.jsonl").write_text('{"id": "a"}\n')
    with ReadAccountant(QUIET, StreamOptions()) as accountant:
        assert len(list(accountant.read(InputOptions(inputs=[str(tmp_path), f"{tmp_path}/a.jsonl"])))) == 2
    assert f"a.jsonl is below {tmp_path}: its records are read twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("max_bad", "too_many"), [(None, False), ("1", False), ("0", True), ("50%", False), ("49%", True)]
)
def test_more_bad_media_than_allowed_end_in_exit_3(max_bad, too_many):
    def run():
        with ReadAccountant(QUIET, StreamOptions(max_bad=max_bad)) as accountant:
            accountant.counters["in"] = 2
            accountant.on_drop(Record({"id": "a"}), "unreadable: empty file")

    if too_many:
        with pytest.raises(TooManyBad, match="more than --max-bad"):
            run()
    else:
        run()


def test_a_limit_that_is_none_is_refused_before_anything_is_read():
    with pytest.raises(UsageError, match="--max-bad"):
        ReadAccountant(QUIET, StreamOptions(max_bad="many"))


def test_an_error_is_not_hidden_by_the_limit_and_leaves_no_rejects(tmp_path, capsys):
    with (
        pytest.raises(InputError),
        ReadAccountant(QUIET, StreamOptions(rejects=str(tmp_path / "gone.jsonl"), max_bad="0")) as accountant,
    ):
        accountant.on_drop(Record({"id": "a"}), "unreadable: empty file")
        raise InputError("no target records")
    assert list(tmp_path.iterdir()) == []
    assert "1 unreadable: empty file" in capsys.readouterr().err  # which is why


def test_the_summary_tells_what_was_done_and_appears_only_at_a_good_end(tmp_path):
    with ReadAccountant(QUIET, StreamOptions(summary=tmp_path / "summary.json"), options={"seed": 3}) as accountant:
        accountant.counters["in"] = 2
        accountant.on_drop(Record({"id": "a"}), "unreadable: empty file")
        accountant.result = {"top1_acc": 0.5}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["command"], summary["in"], summary["used"], summary["unreadable"]) == ("test", 2, 1, 1)
    assert (summary["options"], summary["result"]) == ({"seed": 3}, {"top1_acc": 0.5})
    assert {"omni", "python", "seconds"} <= summary.keys()
    with pytest.raises(ZeroDivisionError), ReadAccountant(QUIET, StreamOptions(summary=tmp_path / "other.json")):
        raise ZeroDivisionError
    assert not (tmp_path / "other.json").exists()


def test_what_a_training_is_only_measured_on_is_counted_apart_from_what_it_learns_from(tmp_path, world):
    train, val = tmp_path / "train.jsonl", tmp_path / "val.jsonl"
    train.write_text("".join(f'{{"id":"t{n}","path":"t{n}.mp4"}}\n' for n in range(4)))
    val.write_text("".join(f'{{"id":"v{n}","path":"v{n}.mp4"}}\n' for n in (0, 1, 2, 2)))
    summary = tmp_path / "s.json"
    with ReadAccountant(QUIET, StreamOptions(summary=summary), purpose="trained on") as accountant:
        learned = list(accountant.read(InputOptions(inputs=[str(train)])))
        measured = list(accountant.read_validation(InputOptions(inputs=[str(val)])))
        accountant.on_drop(learned[0], "no class")
        accountant.on_drop(measured[0], "unreadable: empty file")
        shown = "8 in = 3 trained on + 3 validated on + 1 rejected + 1 unreadable, "
        assert accountant.sums().startswith(shown)
    written = json.loads(summary.read_text())
    assert (written["in"], written["used"], written["validated"]) == (8, 3, 3)
