"""``--verdicts`` of filter and dedup, on stored scores."""

import json

import pytest
from typer.testing import CliRunner

from omnicli.app import app


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def written(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def scored(tmp_path):
    records = [
        {"id": f"{n}.jpg", "path": f"{n}.jpg", "pseudo_label": 0, "pseudo_class": "golf", "confidence": n / 10}
        for n in range(10)
    ]
    return written(tmp_path / "scored.jsonl", *records)


def test_filter_applies_them_counts_them_and_says_what_is_unknown(scored, tmp_path):
    verdicts = written(
        tmp_path / "v.jsonl",
        {"id": "1.jpg", "verdict": "accept", "class": "golf", "about": "record"},
        {"id": "9.jpg", "verdict": "reject"},
        {"id": "gone.jpg", "verdict": "accept"},
    )
    out, rejects = tmp_path / "kept.jsonl", tmp_path / "rejects.jsonl"
    done = omni("filter", "--verdicts", verdicts, scored, "-o", out, "--rejects", rejects)
    assert done.exit_code == 0, done.stderr
    assert [json.loads(line)["id"][0] for line in out.read_text().splitlines()] == list("15678")
    assert "10 in = 5 kept + 5 rejected (low confidence 4, verdict 1) + 0 unreadable" in done.stderr
    assert "filter: verdicts: 1 records accepted, 1 rejected\n" in done.stderr
    assert "filter: 1 of 3 verdicts name no readable record of the input: gone.jpg\n" in done.stderr
    assert '"id":"9.jpg"' in rejects.read_text().splitlines()[-1] and '"verdict"' in rejects.read_text()
    quiet = omni("filter", "--verdicts", verdicts, scored, "-q")
    assert (quiet.stderr, quiet.stdout) == ("", out.read_text())
    part = omni("filter", "--verdicts", verdicts, "--part", "0/2", scored)
    assert "name no readable record" not in part.stderr


def test_other_verdicts_are_another_run(scored, tmp_path):
    verdicts = written(tmp_path / "v.jsonl", {"id": "1.jpg", "verdict": "accept"})
    done = omni("filter", "--verdicts", verdicts, scored, "-o", f"{tmp_path}/out/")
    assert done.exit_code == 0, done.stderr
    assert omni("filter", "--verdicts", verdicts, scored, "-o", f"{tmp_path}/out/").exit_code == 0
    written(verdicts, {"id": "2.jpg", "verdict": "accept"})
    changed = omni("filter", "--verdicts", verdicts, scored, "-o", f"{tmp_path}/out/")
    assert changed.exit_code != 0 and "verdicts" in changed.stderr


def test_dedup_applies_them_to_stored_similarities(tmp_path):
    nearest = {"id": "t.mp4"}
    scored = written(
        tmp_path / "s.jsonl", *({"id": name, "similarity": 0.9, "nearest": nearest} for name in ("a", "b"))
    )
    verdicts = written(
        tmp_path / "v.jsonl", {"id": "a", "verdict": "accept", "about": "duplicate"},
        {"id": "b", "verdict": "accept", "about": "record"},
    )  # fmt: skip
    done = omni("dedup", "--threshold", "0.5", "--verdicts", verdicts, scored)
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a"]
    assert "dedup: verdicts: 1 records accepted, 0 rejected\n" in done.stderr
    assert "dedup: 1 verdicts are for omni filter --verdicts and had no effect\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--score-only"], 2, "--score-only keeps every record and --verdicts rejects some: give one"),
        (["--verdicts", "-", "-o", "o/", "--engine", "local"], 2,
         "--verdicts -: the processes of --engine do not read stdin; give a file"),
        ([], 65, "v.jsonl:2: 'a' is rejected here and accepted in v.jsonl:1; remove one of the lines"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(scored, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "v.jsonl", {"id": "a", "verdict": "accept"}, {"id": "a", "verdict": "reject"})
    done = omni("filter", "--verdicts", "v.jsonl", *arguments, "scored.jsonl")
    assert (done.exit_code, done.stdout, done.stderr) == (code, "", f"omni filter: {message}\n")


def test_verdicts_about_files_that_were_done_before_are_not_called_unknown(scored, tmp_path):
    verdicts = written(tmp_path / "v.jsonl", {"id": "9.jpg", "verdict": "reject"}, {"id": "gone", "verdict": "accept"})
    other = written(tmp_path / "other.jsonl", json.loads(scored.read_text().splitlines()[0]) | {"id": "a.jpg"})
    command = ("filter", "--verdicts", verdicts, scored, other, "-o", f"{tmp_path}/out/")
    assert "1 of 2 verdicts name no readable record of the input: gone" in omni(*command).stderr
    (tmp_path / "out" / "other.jsonl").unlink()
    again = omni(*command)
    assert "1 of 2 files were done before" in again.stderr
    assert "name no readable record" not in again.stderr
