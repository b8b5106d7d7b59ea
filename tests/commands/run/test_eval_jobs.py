"""eval -o DIR/: input files are scored as jobs; lines and summary are those of one test of all of them."""

import json

import pytest
from every_stage import SMALL, make_crawl
from typer.testing import CliRunner

from omnicli.app import app


@pytest.fixture(scope="module")
def crawl(world, teacher, tmp_path_factory):
    return make_crawl(tmp_path_factory.mktemp("crawl"), world, teacher)


def omni(crawl, *words):
    argv = ["eval", "--checkpoint", f"{crawl}/tsn.pth", *SMALL, "--root", f"{crawl}", *map(str, words)]
    return CliRunner().invoke(app, argv)


def in_jobs(crawl, out, *more, inputs=("0", "1")):
    lists = [crawl / "labelled" / f"{name}.jsonl" for name in inputs]
    return omni(crawl, *lists, "-o", f"{out}/out/", "--shards", out / "scores", *more)


def joined(out):
    return "".join((out / "out" / f"{name}.jsonl").read_text() for name in "01")


@pytest.fixture(scope="module")
def plain(crawl):
    done = omni(crawl, *(crawl / "labelled" / f"{name}.jsonl" for name in "01"))
    assert done.exit_code == 0, done.stderr
    return done


def test_lines_and_summary_are_those_of_one_test(crawl, plain, tmp_path):
    done = in_jobs(crawl, tmp_path, "--summary", tmp_path / "sums.json")
    assert done.exit_code == 0, done.stderr
    assert joined(tmp_path) + done.stdout == plain.stdout
    said = done.stderr.splitlines()[-1].removeprefix("eval: ")
    assert said.startswith("top-1 ")
    assert any(line.endswith(f"; {said}") for line in plain.stderr.splitlines())
    assert json.loads((tmp_path / "sums.json").read_text())["result"] == json.loads(done.stdout)


def test_parts_leave_the_summary_to_the_run_that_finds_all_done(crawl, plain, tmp_path):
    first = in_jobs(crawl, tmp_path, "--part", "0/2")
    assert (first.exit_code, first.stdout) == (0, "")
    assert "1 of 2 files are not done; the run that finishes them says the accuracy" in first.stderr
    second = in_jobs(crawl, tmp_path, "--part", "1/2")
    assert joined(tmp_path) + second.stdout == plain.stdout
    again = in_jobs(crawl, tmp_path)
    assert "2 of 2 files were done before" in again.stderr
    assert again.stdout == second.stdout


def test_a_baseline_is_compared_with_all_files(crawl, tmp_path):
    assert in_jobs(crawl, tmp_path / "before").exit_code == 0
    done = in_jobs(crawl, tmp_path, "--baseline", tmp_path / "before" / "scores")
    lists = [crawl / "labelled" / f"{name}.jsonl" for name in "01"]
    plain = omni(crawl, *lists, "--baseline", tmp_path / "before" / "scores")
    assert json.loads(done.stdout) == json.loads(plain.stdout.splitlines()[-1])
    assert list(json.loads(done.stdout)) == list(json.loads(plain.stdout.splitlines()[-1]))


def test_an_id_in_two_files_is_refused(crawl, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "2.jsonl").write_text((crawl / "labelled" / "0.jsonl").read_text())
    done = omni(
        crawl, crawl / "labelled" / "0.jsonl", tmp_path / "more" / "2.jsonl", "-o", f"{tmp_path}/out/", "--shards",
        tmp_path / "scores",
    )  # fmt: skip
    assert done.exit_code == 65
    assert "each record counts once" in done.stderr


def test_records_that_the_model_has_learnt_from_fail_their_file(crawl, world, tmp_path):
    learnt = sorted((world / "target" / "train").rglob("*.mp4"))[0]
    (tmp_path / "learnt.jsonl").write_text(json.dumps({"id": "x", "path": str(learnt), "label": 0}) + "\n")
    lists = [crawl / "labelled" / "0.jsonl", tmp_path / "learnt.jsonl"]
    words = [*lists, "-o", f"{tmp_path}/out/", "--shards", tmp_path / "scores"]
    refused = omni(crawl, *words)
    assert refused.exit_code == 65
    assert f"failed: {crawl}/tsn.pth was trained on {learnt} at {tmp_path}/learnt.jsonl:1" in refused.stderr
    allowed = omni(crawl, *words, "--allow-overlap")
    assert allowed.exit_code == 0, allowed.stderr
    assert "was trained on 1 records; the accuracy on them is not a test (--allow-overlap)" in allowed.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "{out}/"], "give --shards DIR"),
        (["--engine", "local"], "--engine divides input files into jobs: give -o DIR/"),
        (["--part", "0/2"], "--part divides input files into jobs: give -o DIR/"),
    ],
)
def test_what_jobs_need_is_said(crawl, tmp_path, words, message):
    refused = omni(crawl, crawl / "labelled" / "0.jsonl", *(word.format(out=tmp_path) for word in words))
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_stored_scores_are_no_jobs(tmp_path):
    refused = CliRunner().invoke(app, ["eval", "--fuse", "a", "--fuse", "b", "-o", f"{tmp_path}/"])
    assert (refused.exit_code, "writes one file" in refused.stderr) == (2, True)
