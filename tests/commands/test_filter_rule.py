"""Which rule ``omni filter`` and ``omni segment`` choose, and that they say so."""

import json

import pytest
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.models.checkpoint import load_any, save_checkpoint


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def verdicts(result):
    assert result.exit_code == 0, result.stderr
    return [(record["id"], record["pseudo_class"], record["confidence"]) for record in parsed(result.stdout)]


@pytest.fixture(scope="module")
def strong(teacher, tmp_path_factory):
    """The same weights, which claim to have learnt from many clips."""
    path = tmp_path_factory.mktemp("strong") / "strong.pth"
    stored = load_any(teacher)
    meta = stored.meta | {"strength": {"clips_per_class": 400.0, "cross_val_acc": None, "is_student": False}}
    save_checkpoint(path, meta=meta, state_dict=stored.state_dict)
    return path


def test_a_teacher_of_few_clips_ranks_by_query_and_says_so(teacher, world, tmp_path):
    images = world / "web" / "image"
    result = omni("filter", "--teacher", teacher, images, "--summary", tmp_path / "s.json", "--precision", "float32")
    kept = parsed(result.stdout)
    assert result.exit_code == 0
    assert kept
    assert all(record["pseudo_class"] == record["query"].replace(" ", "_") for record in kept)
    assert "filter: by query (the teacher learnt from 6 labelled clips per class)" in result.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["rule"] == "query"
    assert summary["shares"]["images"]["kept"] == 0.7  # a backbone that was trained is not cross-validated


def test_a_strong_teacher_an_unknown_one_and_a_named_rule_take_the_threshold(teacher, strong, world):
    images = world / "web" / "image"
    threshold = verdicts(omni("filter", "--teacher", teacher, "--threshold", 0.5, images))
    named = omni("filter", "--teacher", teacher, "--rule", "paper", images)
    chosen = omni("filter", "--teacher", strong, images)
    assert verdicts(named) == verdicts(chosen) == threshold
    assert "by query" not in named.stderr + chosen.stderr


def test_scores_of_parts_decide_as_one_run(teacher, world, tmp_path):
    images, precision = world / "web" / "image", ("--precision", "float32")
    direct = verdicts(omni("filter", "--teacher", teacher, images, *precision))
    for part in range(2):
        scored = omni("filter", "--teacher", teacher, images, "--score-only", "--part", f"{part}/2", *precision)
        (tmp_path / f"{part}.jsonl").write_text(scored.stdout)
    parts = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    again = verdicts(omni("filter", "--teacher", teacher, "--stored-scores", *parts))
    assert direct
    assert sorted(again) == sorted(direct)


def test_without_queries_the_threshold_decides(teacher, world, tmp_path):
    records = [record | {"query": "chess"} for record in parsed(omni("index", world / "web" / "image").stdout)]
    lines = tmp_path / "chess.jsonl"
    lines.write_text("".join(json.dumps(record) + "\n" for record in records))
    result = omni("filter", "--teacher", teacher, lines)
    assert result.exit_code == 0
    assert "filter: by --threshold: most records have no query that names a class" in result.stderr
    assert "--keep-fraction 0.3 --per class keeps the best of each" in result.stderr
    assert all(record["confidence"] >= 0.5 for record in parsed(result.stdout))
    refused = omni("filter", "--teacher", teacher, "--rule", "query", lines)
    assert refused.exit_code == 65
    assert "has a query that names a class" in refused.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part", "0/2"], "--score-only"),
        (["--part", "0/2", "--rule", "query"], "--rule query decides over the whole stream"),
        (["--rule", "query", "--threshold", "0.4"], "--rule query and --threshold"),
        (["--rule", "paper", "--label-by", "query"], "--rule paper and --label-by"),
        (["--stored-scores", "--batch-size", "8"], "--batch-size has no effect with --stored-scores"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_a_remedy(options, message, teacher, world):
    result = omni("filter", "--teacher", teacher, world / "web" / "image", *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_rule_by_query_needs_a_teacher(tmp_path):
    (tmp_path / "scored.jsonl").write_text("")
    result = omni("filter", "--rule", "query", tmp_path / "scored.jsonl")
    assert result.exit_code == 2
    assert "--rule query needs --teacher" in result.stderr


def test_segment_takes_the_best_class_with_a_weak_teacher_only(teacher, strong, world):
    videos = world / "web" / "untrimmed"
    weak = omni("segment", "--teacher", teacher, videos)
    assert "segment: by best class" in weak.stderr
    named = omni("segment", "--teacher", strong, "--rule", "query", videos)
    assert parsed(weak.stdout) == parsed(named.stdout)
    threshold = omni("segment", "--teacher", teacher, "--threshold", 0.5, videos)
    chosen = omni("segment", "--teacher", strong, videos)
    assert parsed(threshold.stdout) == parsed(chosen.stdout)
    assert "best class" not in threshold.stderr + chosen.stderr
    for record in parsed(threshold.stdout):
        positive = sum(score >= 0.5 for score in record["frame_scores"])
        assert len(record["positive_sec"]) == positive
    refused = omni("segment", "--teacher", teacher, "--rule", "query", "--threshold", 0.4, videos)
    assert refused.exit_code == 2
