"""Verdicts in a browser: 30 records by keyboard, exported, applied, and what the page says of them."""

import json
import time

import pytest
from browser import CHROMIUM, Browser
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.stages.report.precision import precision_at
from omnicli.stages.report.sample import RecordSample, with_verdicts
from omnicli.streams.record import Record
from omnicli.streams.verdicts import Verdicts, read_verdicts

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def written(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture(scope="module")
def crawl(world, tmp_path_factory):
    """200 scored records, of which the confident are kept, and two suspected duplicates."""
    folder = tmp_path_factory.mktemp("review")
    images = sorted((world / "web/image").rglob("*.jpg"))
    records = [
        {"id": f"{n:03}.jpg", "path": str(images[n % len(images)]), "query": "rolling wheel", "pseudo_label": 0,
         "pseudo_class": "rolling_wheel", "confidence": round((n * 37 % 200) / 200, 6)}
        for n in range(200)
    ]  # fmt: skip
    kept = [record for record in records if record["confidence"] >= 0.6]
    match = {"id": "val/t.mp4", "path": str(images[0]), "media": "image", "cosine": 0.9}
    rejects = [record | {"reason": "low confidence"} for record in records if record["confidence"] < 0.6]
    rejects += [{"id": f"copy{n}.jpg", "path": str(images[n]), "reason": "duplicate", "match": match} for n in range(2)]
    written(folder / "kept.jsonl", kept)
    written(folder / "rejects.jsonl", rejects)
    written(folder / "scored.jsonl", records)
    done = omni("report", folder / "kept.jsonl", "--rejects", folder / "rejects.jsonl", "--per-class", "3",
                "-o", folder / "report.html")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    return folder


def text(browser, name):
    return browser.run(f"document.getElementById('{name}').textContent")


def test_thirty_records_by_keyboard_exported_applied_and_counted(crawl, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(crawl / "report.html")
        browser.press("n")
        for number in range(30):
            browser.press("r" if number % 3 == 0 else "a")
        assert text(browser, "review-count") == "30 verdicts: 20 accepted, 10 rejected"
        browser.press("u")
        assert text(browser, "review-count") == "29 verdicts: 19 accepted, 10 rejected"
        browser.press("a")
        browser.run("document.querySelector('#duplicates ~ .pairs figure[data-about]').focus()")
        browser.press("a", "r")  # a verdict moves on to the next
        table = browser.run("[...document.getElementById('precision-rows').rows].map((row) => row.innerText)")
        assert text(browser, "precision-seen") == "30 of 50"
        browser.press("e")
        exported = browser.downloaded("verdicts.jsonl")
        assert browser.complaints == []
    lines = [json.loads(line) for line in exported.read_text().splitlines()]
    about = {line["id"]: line["verdict"] for line in lines if line["about"] == "record"}
    copies = [(line["id"], line["verdict"], line["target"]) for line in lines if line["about"] == "duplicate"]
    assert {copy[0] for copy in copies} == {"copy0.jpg", "copy1.jpg"} and {copy[2] for copy in copies} == {"val/t.mp4"}
    assert sorted(copy[1] for copy in copies) == ["accept", "reject"]
    assert sorted(line["sample"]["rank"] for line in lines if "sample" in line) == list(range(30))
    assert all(
        line["class"] == "rolling_wheel" and line["seen"] in ("image", "nothing") for line in lines if "sample" in line
    )

    _same_precision_as_python(crawl, exported, table)
    _filter_applies(crawl, exported, about, tmp_path)
    shown = omni("report", crawl / "kept.jsonl", "--rejects", crawl / "rejects.jsonl", "--verdicts", exported,
                 "-o", tmp_path / "again.html")  # fmt: skip
    assert "report: precision from 30 of 50 records of the random sample, with 95 % intervals: kept" in shown.stderr
    with Browser(tmp_path) as browser:
        browser.open(tmp_path / "again.html")
        assert text(browser, "review-count") == "32 verdicts: 21 accepted, 11 rejected"
        assert text(browser, "precision-seen") == "30 of 50"


def _same_precision_as_python(crawl, exported, table):
    sample = RecordSample(50)
    for line in (crawl / "scored.jsonl").read_text().splitlines():
        record = Record(json.loads(line))
        sample.add(record, "kept" if record["confidence"] >= 0.6 else "rejected", "low confidence")
    seen, num_skipped = with_verdicts(sample.drawn(), Verdicts(read_verdicts([exported])))
    assert (len(seen), num_skipped) == (30, 0)
    estimates = [precision_at(seen, at) for at in (None, *(one.at for one in sample.thresholds()))]
    assert [row.split("\t")[2:5] for row in table] == [
        [str(one.num_seen), *str(one).replace(" %", " %\t").replace("(", "").replace(")", "").split("\t ")]
        for one in estimates
    ]


def _filter_applies(crawl, exported, about, folder):
    done = omni("filter", "--threshold", "0.6", "--verdicts", exported, crawl / "scored.jsonl",
                "-o", folder / "kept.jsonl", "--rejects", folder / "rejects.jsonl")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    scores = {f"{n:03}.jpg": (n * 37 % 200) / 200 for n in range(200)}
    expected = {name for name, score in scores.items() if about.get(name, "accept" if score >= 0.6 else "") == "accept"}
    assert {json.loads(line)["id"] for line in (folder / "kept.jsonl").read_text().splitlines()} == expected
    num_low = 200 - len(expected) - 10
    counts = f"200 in = {len(expected)} kept + {num_low + 10} rejected (low confidence {num_low}, verdict 10)"
    assert f"filter: {counts}" in done.stderr
    assert "filter: verdicts: 20 records accepted, 10 rejected\n" in done.stderr
    assert "filter: 2 verdicts are for omni dedup --verdicts and had no effect\n" in done.stderr


def test_verdicts_are_kept_by_the_browser_and_keys_do_nothing_while_one_types(crawl, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(crawl / "report.html")
        browser.press("n", "a", "r", "?")
        assert browser.run("document.getElementById('review-help').open")
        browser.press("a", "?")
        assert not browser.run("document.getElementById('review-help').open")
        browser.run("document.getElementById('precision-wanted').focus()")
        browser.press("a")
        assert text(browser, "review-count") == "2 verdicts: 1 accepted, 1 rejected"
        for _ in range(20):  # the browser stores behind the page's back
            time.sleep(0.5)
            browser.open(crawl / "report.html")
            if text(browser, "review-count") != "0 verdicts: 0 accepted, 0 rejected":
                break
        else:
            if not browser.keeps_storage():
                pytest.skip("this browser keeps no localStorage over a reload")
        assert text(browser, "review-count") == "2 verdicts: 1 accepted, 1 rejected"
        browser.press("n", "k", "r")  # the same verdict again takes it back
        assert text(browser, "review-count") == "1 verdicts: 1 accepted, 0 rejected"


def test_every_control_has_a_name_and_the_sample_hides_its_scores_until_decided(crawl, tmp_path):
    with Browser(tmp_path) as browser:
        browser.open(crawl / "report.html")
        unnamed = "[...document.querySelectorAll('button, input, figure[data-about]')].filter((one) => !(one.ariaLabel "
        assert browser.run(unnamed + "|| one.labels?.length || one.textContent.trim())).length") == 0
        score = "getComputedStyle(document.querySelector('#sample-cards figcaption b')).visibility"
        assert browser.run(score) == "hidden"
        browser.press("n", "a")
        assert browser.run(score) == "visible"


def test_a_line_about_both_questions_counts_once_until_one_is_answered_otherwise(crawl, tmp_path):
    given = written(tmp_path / "given.jsonl", [{"id": "027.jpg", "verdict": "accept"}])
    page = tmp_path / "report.html"
    done = omni("report", crawl / "kept.jsonl", "--verdicts", given, "-o", page)
    assert done.exit_code == 0, done.stderr
    with Browser(tmp_path) as browser:
        browser.open(page)
        assert text(browser, "review-count") == "1 verdicts: 1 accepted, 0 rejected"
        exported = "omniReview.lines().map((line) => JSON.parse(line))"
        [line] = browser.run(exported)
        assert line.pop("sample")
        assert line == {"id": "027.jpg", "verdict": "accept"}
        browser.run("document.querySelector('figure[data-id=\"027.jpg\"] button[data-verdict=reject]').click()")
        assert sorted((line["about"], line["verdict"]) for line in browser.run(exported)) == [
            ("duplicate", "accept"), ("record", "reject")
        ]  # fmt: skip
        opened = "document.getElementById('review-help').open"
        key = "document.body.dispatchEvent(new KeyboardEvent('keydown', {bubbles: true, key: '?', %s}))"
        browser.run(key % "ctrlKey: true")
        assert not browser.run(opened)
        browser.run(key % "ctrlKey: true, altKey: true")  # AltGr on Windows
        assert browser.run(opened)
