"""Every record lies in the parts once, in the order that the page counts on, and the browser shows them."""

import json
import re

import pytest
from browser import CHROMIUM, Browser
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.errors import OutputError
from omnicli.stages.report.parts import PART_SIZE, AllRecords
from omnicli.streams.record import Record


def rows_of(folder):
    found = []
    for number in range(len(list(folder.iterdir()))):
        text = (folder / f"{number}.js").read_text(encoding="ascii")
        digest, at, rows = re.fullmatch(r'omniPart\("(\w+)",(\d+),(.*)\)\n', text, re.DOTALL).groups()
        assert (digest, int(at)) == ("d1", number)
        found.append(json.loads(rows))
    return found


def made(num):
    every = AllRecords()
    for index in range(num):
        record = Record({"id": f"{index}", "confidence": index % 10 / 10, "query": "<&\u2028é"})
        record.verdict = {"reason": "too long"} if index % 3 == 0 else {}
        every.add(record, f"g{index % 2}", is_rejected=index % 3 == 0)
    return every


@pytest.mark.parametrize("num", [1, PART_SIZE, 2 * PART_SIZE + 50])
def test_every_record_is_in_one_part_sorted_as_counted(tmp_path, num):
    every, groups = made(num), ["g1", "g0"][-min(num, 2) :]
    num_bytes = every.write(tmp_path / "p", groups, report="d1", root=None, workers=2)
    parts = rows_of(tmp_path / "p")
    assert all(len(part) == PART_SIZE for part in parts[:-1])
    rows = [row for part in parts for row in part]
    assert sorted(int(row[0]) for row in rows) == list(range(num))
    expected = [(f"g{int(row[0]) % 2}", row[1]) for row in rows]
    counted = [(group, outcome) for group, pair in zip(groups, every.counts(groups), strict=True)
               for outcome, count in zip(("kept", "rejected"), pair, strict=True) for _ in range(count)]  # fmt: skip
    assert expected == counted
    pairs = zip(rows, rows[1:], expected, expected[1:], strict=False)
    assert all(one[2] >= two[2] for one, two, here, there in pairs if here == there)
    assert num_bytes == sum(path.stat().st_size for path in (tmp_path / "p").iterdir())
    assert rows[-1][4] == ("too long" if rows[-1][1] == "rejected" else "")


def test_parts_of_an_earlier_report_go_and_other_folders_stay(tmp_path):
    made(2 * PART_SIZE).write(tmp_path / "p", ["g0", "g1"], report="d0", root=None, workers=1)
    made(3).write(tmp_path / "p", ["g0", "g1"], report="d1", root=None, workers=1)
    assert len(rows_of(tmp_path / "p")) == 1
    (tmp_path / "p" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="holds other files than parts of a report; move it away"):
        made(3).write(tmp_path / "p", ["g0", "g1"], report="d1", root=None, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_browser_turns_pages_selects_and_takes_verdicts(world, tmp_path):
    image = sorted((world / "web/image").rglob("*.jpg"))[0]
    lines = [
        {"id": f"{n:03}", "path": str(image), "query": ("rain", "fan")[n % 2], "pseudo_class": "rain",
         "confidence": n / 150, **({"reason": "low confidence"} if n < 50 else {})}
        for n in range(150)
    ]  # fmt: skip
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page, cards = tmp_path / "a b#.html", "[...document.querySelectorAll('#all-cards figure')]"
    done = CliRunner().invoke(app, ["report", f"{tmp_path}/all.jsonl", "--all", "-o", str(page)])
    assert done.exit_code == 0 and "a b#.parts/ (" in done.stderr
    with Browser(tmp_path) as browser:
        browser.open(page)
        assert not any("parts" in url for url in browser.requests)  # nothing is loaded before it is shown
        browser.press("]")
        assert browser.wait(f"{cards}.length") == 48
        browser.run("document.getElementById('all-next').click()")
        assert browser.wait(f"{cards}.at(-1).dataset.id == '012' && {cards}.length") == 48
        browser.press("j", "r")
        assert browser.run("document.getElementById('review-count').textContent").startswith("1 verdicts")
        browser.run("document.getElementById('all-group').value = '0';"
                    "document.getElementById('all-group').dispatchEvent(new Event('change'))")  # fmt: skip
        ids = browser.wait(f"{cards}[0].dataset.id == '149' && {cards}.map((card) => card.dataset.id)")
        assert ids == [f"{n:03}" for n in range(149, 54, -2)]
        assert browser.complaints == []
        (tmp_path / "a b#.parts/0.js").unlink()
        browser.open(page)
        browser.run("document.getElementById('all').scrollIntoView({behavior: 'instant'})")
        said = browser.wait("document.getElementById('all-cards').textContent")
        assert said == "a b#.parts/0.js is missing: keep the folder beside this page."
