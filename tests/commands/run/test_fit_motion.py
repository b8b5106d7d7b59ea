"""``inflate --fit``: what is checked before a video is opened, and what is said of a fitted motion."""

import json

import pytest

from omnicli.commands.options.logging import LoggingOptions
from omnicli.commands.options.streams import StreamOptions
from omnicli.commands.run.fit_motion import run_fit
from omnicli.errors import OutputError, UsageError


def fit(*, dry_run=False, **streams):
    run_fit(StreamOptions(**streams), LoggingOptions(dry_run=dry_run), max_pairs=7, seed=1, workers=1)


def test_a_dry_run_prints_what_decides_the_motion_and_reads_nothing(tmp_path, capsys):
    fit(inputs=["gone.jsonl"], output=str(tmp_path / "m.json"), limit=5, dry_run=True)
    shown = json.loads(capsys.readouterr().out)
    assert (shown["command"], shown["max_pairs"], shown["seed"], shown["limit"]) == ("inflate --fit", 7, 1, 5)
    assert shown["inputs"] == ["gone.jsonl"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("streams", "error", "says"),
    [
        ({}, UsageError, "--fit writes one file: give -o motion.json"),
        ({"output": "motions/"}, UsageError, "--fit writes one file: give -o motion.json"),
        ({"output": "m.json", "part": "0/2"}, UsageError, "--fit decides over the whole stream"),
        ({"output": "gone/m.json"}, OutputError, "gone"),
    ],
)
def test_what_it_cannot_do_is_refused_before_the_input_is_opened(streams, error, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        fit(inputs=["not-there.jsonl"], **streams)
    assert list(tmp_path.iterdir()) == []
