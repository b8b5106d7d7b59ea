import json

import pytest
from typer.testing import CliRunner

from omnicli.app import app


def omni(*arguments, stdin=None):
    return CliRunner().invoke(app, ["report", *map(str, arguments)], input=stdin)


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


KEPT = {"id": "a.jpg", "path": "a.jpg", "query": "rain", "confidence": 0.8}
LEFT = {"id": "b.jpg", "path": "b.jpg", "query": "rain", "confidence": 0.2, "reason": "low confidence"}
BAD = {"id": "c.jpg", "path": "c.jpg", "query": "rain", "reason": "unreadable: empty file"}


def test_kept_and_rejects_become_one_page_and_the_closing_line_adds_up(tmp_path):
    kept, left, out = tmp_path / "kept.jsonl", tmp_path / "left.jsonl", tmp_path / "report.html"
    kept.write_text(lines(KEPT))
    left.write_text(lines(LEFT, BAD))
    done = omni(kept, "--rejects", left, "-o", out)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "report: 3 records = 1 kept + 1 rejected + 1 unreadable" in done.stderr
    page = out.read_text()
    assert "low confidence" in page and "unreadable: empty file" in page


def test_reasons_inside_the_stream_itself_count_as_rejects(tmp_path):
    kept = tmp_path / "all.jsonl"
    kept.write_text(lines(KEPT, LEFT, BAD))
    done = omni(kept, "-o", tmp_path / "report.html")
    assert "3 records = 1 kept + 1 rejected + 1 unreadable" in done.stderr


def test_a_rejects_file_without_reasons_is_rejected_all_the_same(tmp_path):
    kept, left = tmp_path / "kept.jsonl", tmp_path / "left.jsonl"
    kept.write_text(lines(KEPT))
    left.write_text(lines({"id": "b.jpg", "path": "b.jpg"}))
    assert "1 kept + 1 rejected" in omni(kept, "--rejects", left, "-o", tmp_path / "r.html").stderr


def test_a_folder_of_media_is_shown_as_it_is(world, tmp_path):
    done = omni(world / "web/image", "-o", tmp_path / "report.html", "--per-class", "2", "--title", "What came")
    page = (tmp_path / "report.html").read_text()
    assert done.exit_code == 0
    assert "<title>What came</title>" in page and "not media (HTML page)" in page
    assert page.count("<figure") == 2 * 4


def test_options_reach_the_page(world, tmp_path):
    kept = tmp_path / "kept.jsonl"
    kept.write_text(
        lines({**KEPT, "pseudo_class": "fan"}, {**KEPT, "id": "d.jpg", "query": "x", "pseudo_class": "fan"})
    )
    omni(kept, "-o", tmp_path / "query.html", "--threshold", "0.7")
    omni(kept, "-o", tmp_path / "class.html", "--by", "class", "--max-groups", "1")
    by_query, by_class = ((tmp_path / name).read_text() for name in ("query.html", "class.html"))
    assert by_query.count('<section class="group">') == 2 and by_class.count('<section class="group">') == 1
    assert "<b>0.7</b><span>threshold</span>" in by_query


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["kept.jsonl"], 2, "omni report: report writes a page: give -o report.html\n"),
        (["kept.jsonl", "-o", "-"], 2, "omni report: report writes a page: give -o report.html\n"),
        (["gone.jsonl", "-o", "r.html"], 65, "omni report: gone.jsonl: no such file or directory\n"),
        (["empty.jsonl", "-o", "r.html"], 65, "omni report: nothing to report: the input has no records\n"),
        (["kept.jsonl", "-0", "-o", "r.html"], 2, "omni report: -0 needs --files-from\n"),
        (["kept.jsonl", "-o", "nowhere/r.html"], 73,
         "omni report: nowhere/r.html: cannot write: no folder 'nowhere'; create it first\n"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line_and_leave_no_page(tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kept.jsonl").write_text(lines(KEPT))
    (tmp_path / "empty.jsonl").write_text("")
    done = omni(*arguments)
    assert (done.exit_code, done.stderr, done.stdout) == (code, message, "")
    assert not (tmp_path / "r.html").exists()


def test_a_dry_run_prints_what_would_be_done(tmp_path):
    done = omni("kept.jsonl", "-n", "--by", "class")
    assert json.loads(done.stdout)["by"] == "class"


def test_a_page_is_made_at_the_end_of_a_pipe(sh, world, tmp_path):
    done = sh(f"omni index web/image --limit 12 | omni report - --title Pipe -q -o {tmp_path}/report.html", cwd=world)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", done.stderr)
    assert "<h1>Pipe</h1>" in (tmp_path / "report.html").read_text()


def test_a_motion_has_a_page_of_its_own(tmp_path, world):
    import numpy as np

    from omnicli.motion.homography import STILL, Gaussian
    from omnicli.motion.motion_file import Fitted, Motion, write_motion

    motion, out = tmp_path / "motion.json", tmp_path / "motion.html"
    write_motion(motion, Motion(agnostic=Fitted(Gaussian(STILL, 1e-6 * np.eye(8)), 2, 120)))
    done = omni("--motion", motion, world / "web" / "image", "-o", out, "--title", "How it moves")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "report: 120 pairs of frames" in done.stderr and "<h1>How it moves</h1>" in out.read_text()
    assert "test pattern" not in out.read_text()
    done = omni("--motion", motion, "-o", out, "--threshold", "0.5")
    assert (done.exit_code, done.stderr) == (2, "omni report: --threshold cannot be combined with --motion\n")


def test_the_model_card_of_a_checkpoint_is_a_page_of_its_own_or_a_section(teacher, tmp_path):
    done = omni("--checkpoint", teacher, "-o", tmp_path / "card.html")
    assert done.exit_code == 0 and f"report: model card of {teacher} → " in done.stderr
    page = (tmp_path / "card.html").read_text()
    assert "<title>tsn.pth</title>" in page and '<h2 id="models">Model card</h2>' in page
    for text in ("tsn-resnet10t", "<td>target</td><td>24 records</td>", "falling_rain", "<h4>Limits</h4>"):
        assert text in page
    (tmp_path / "kept.jsonl").write_text(lines({**KEPT, "id": "<script>"}))
    done = omni(tmp_path / "kept.jsonl", "--checkpoint", teacher, "--checkpoint", teacher, "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert done.exit_code == 0 and "Model cards" in page and 'id="images"' in page
    shown = json.loads(omni("--checkpoint", teacher, "-o", tmp_path / "x.html", "-n").stdout)
    assert (shown["inputs"], shown["checkpoint"], shown["title"]) == ([], [str(teacher)], "tsn.pth")


def test_a_bad_checkpoint_is_66_and_leaves_no_page(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"nothing")
    done = omni("--checkpoint", tmp_path / "m.pth", "-o", tmp_path / "r.html")
    assert done.exit_code == 66 and "m.pth" in done.stderr
    assert not (tmp_path / "r.html").exists()
