import html.parser
import re

import pytest
from browser import CHROMIUM, Browser

from omnicli.errors import InputError
from omnicli.stages.report.collector import RecordCollector
from omnicli.stages.report.page import render_report
from omnicli.streams.record import Record

NASTY = 'a"b/<script>alert(1)</script>&amp;.jpg'


class Page(html.parser.HTMLParser):
    """What a browser would find: tags, what they point to, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def filtered(world, **options):
    """The world's images and videos, scored by nobody in particular."""
    collected = RecordCollector(**options)
    for index, path in enumerate(sorted((world / "web").rglob("*.*"))):
        name = str(path.relative_to(world))
        record = Record({"id": name, "path": name, "query": path.parent.name, "pseudo_class": "spinning fan",
                         "pseudo_label": 2, "confidence": (index * 37 % 100) / 100})  # fmt: skip
        collected.add(record, None if record["confidence"] >= 0.5 else "low confidence")
    return collected


@pytest.fixture(scope="module")
def page(world):
    return render_report(filtered(world, size=3), title="Four <actions>", root=str(world), workers=2)


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(page):
    parsed = Page(page)
    assert parsed.open == []
    assert parsed.tags.count("script") == 2  # its data, and what takes verdicts
    assert all(link.startswith(("data:", "#")) for link in parsed.links)
    assert "url(" not in page and "@import" not in page


def test_the_same_records_give_the_same_bytes(page, world):
    assert render_report(filtered(world, size=3), title="Four <actions>", root=str(world), workers=1) == page


def test_header_counts_add_up(page, world):
    text = " ".join("".join(Page(page).text).split())
    total = len(list((world / "web").rglob("*.*")))
    kept, rejected = (int(re.search(rf"(\d+) ?{word},", text).group(1)) for word in ("kept", "rejected"))
    assert f"{total} records" in text
    assert kept + rejected == total
    assert "<b>0.5</b><span>threshold</span>" in page


def test_every_group_shows_its_surest_its_doubtful_and_its_rejected(page):
    text = "".join(Page(page).text)
    for query in ("falling rain", "rolling wheel", "spinning fan", "swinging pendulum"):
        assert query in text
    assert text.count("kept, most confident") == 4
    assert text.count("rejected, most confident") == 4


def test_broken_media_become_placeholders_with_their_reason(world):
    collected = RecordCollector()
    for name in ("truncated.jpg", "empty.jpg", "404.jpg"):
        collected.add(Record({"id": name, "path": f"web/image/falling rain/{name}", "media": "image"}))
    text = "".join(Page(render_report(collected, title="t", root=str(world))).text)
    assert "truncated JPEG" in text and "empty file" in text and "HTML page" in text


def test_an_id_keeps_its_carriage_return_which_a_browser_would_read_as_a_line_feed():
    collected = RecordCollector()
    collected.add(Record({"id": "a\r.jpg", "query": "b\r", "pseudo_class": "c", "confidence": 0.9}))
    page = render_report(collected, title="t")
    assert 'data-id="a&#13;.jpg"' in page and "\r" not in page


def test_names_from_the_web_are_text_and_nothing_else():
    collected = RecordCollector()
    collected.add(Record({"id": NASTY, "query": NASTY, "pseudo_class": NASTY, "confidence": 0.9, "media": NASTY}))
    collected.add(Record({"id": NASTY, "query": "b", "pseudo_class": "c"}), f"unreadable: {NASTY}")
    collected.add(Record({"id": NASTY, "query": "c"}), NASTY)
    collected.add(Record({"epoch": 1, NASTY: 1.0}))
    page = render_report(collected, title=NASTY)
    assert Page(page).tags.count("script") == 2 and "<script>alert" not in page
    assert "alert(1)" in "".join(Page(page).text)


def test_a_threshold_given_is_the_threshold_shown(world):
    page = render_report(filtered(world), title="t", root=str(world), threshold=0.45)
    assert "<b>0.45</b><span>threshold</span>" in page


def test_plain_records_without_scores_make_a_page_too(world):
    collected = RecordCollector(size=2)
    for path in sorted((world / "target/val").rglob("*.mp4")):
        collected.add(Record({"id": str(path), "path": str(path), "media": "video", "class_name": path.parent.name}))
    text = "".join(Page(render_report(collected, title="t")).text)
    assert "12 videos" in text and "Confidence" not in text and "falling_rain" in text


def test_training_and_evaluation_become_curves_and_a_matrix():
    collected = RecordCollector()
    for epoch in range(3):
        collected.add(Record({"epoch": epoch, "train_loss": 1 / (epoch + 1)}))
    pairs = [{"classes": ["<rain>", "fan"], "before": 0.5, "after": 0.25}]
    collected.add(
        Record(
            {"top1_acc": 0.75, "num_videos": 4, "classes": ["rain", "fan"], "confusion": [[2, 0], [1, 1]],
             "baseline": {"improved": pairs}}
        )
    )  # fmt: skip
    page = render_report(collected, title="t")
    text = "".join(Page(page).text)
    assert "loss" in text and "0.75" in text and "rain → rain: 2 (100%)" in text
    assert "Confused less than by the baseline" in text and "<rain> – fan" in text and "0.500 → 0.250" in text
    assert page.count("<polyline") == 1


def test_suspected_duplicates_stand_beside_their_target(world):
    target = sorted((world / "target/val").rglob("*.mp4"))[0]
    copy = Record({"id": "copy.jpg", "path": str(world / "web/image/falling rain/seen before 0.jpg"), "query": "q"})
    copy.verdict = {"reason": "duplicate", "match": {"id": str(target), "cosine": 0.9731, "target_time_sec": 1.0}}
    collected = RecordCollector()
    collected.add(copy, "duplicate")
    page = render_report(collected, title="t")
    text = "".join(Page(page).text)
    assert "0.973" in text and target.name in text
    assert page.count("data:image/jpeg") >= 2


def test_divided_videos_have_their_scores_and_the_threshold(world):
    video = sorted((world / "target/val").rglob("*.mp4"))[0]
    scores = {"positive_sec": [0.4], "negative_sec": [0.0, 0.2], "frame_scores": [0.1, 0.46, 0.51]}
    collected = RecordCollector()
    fields = {"id": "v", "path": str(video), "pseudo_class": "rain", "confidence": 0.51}
    collected.add(Record({**fields, **scores}))
    page = render_report(collected, title="t")
    section = page.split('id="videos"')[1].split('id="images"')[0]
    text = "".join(Page(page).text)
    assert "rain" in text and "1 of 3 frames positive" in text and "0.4 s" in text
    assert section.count("data:image/jpeg") == 1 and section.count('class="kept" x=') == 1
    assert '<text class="cut"' in section and ">0.5</text>" in section.split('<text class="cut"')[1]
    assert 'id="videos"' not in render_report(_one_image(), title="t")


def _one_image():
    collected = RecordCollector()
    collected.add(Record({"id": "a.jpg", "query": "q"}))
    return collected


def test_verified_copies_stand_before_look_alikes():
    collected = RecordCollector()
    for name, match in (
        ("ball", {"id": "t", "cosine": 0.99, "verified": False, "inliers": 3}),
        ("gone", {"id": "t", "cosine": 0.98, "not_compared": "target: no such file"}),
        ("copy", {"id": "t", "cosine": 0.7, "verified": True, "inliers": 212}),
    ):
        record = Record({"id": f"{name}.jpg"})
        record.verdict = {"reason": "duplicate", "match": match}
        collected.add(record, "duplicate")
    text = "".join(Page(render_report(collected, title="t")).text).split("Suspected duplicates")[1]
    places = [text.index(word) for word in ("verified copies", "copy.jpg", "212 agree", "not compared again",
                                            "gone.jpg", "only similar", "ball.jpg", "3 agree")]  # fmt: skip
    assert places == sorted(places)


def test_a_pair_of_videos_shows_the_frames_that_resemble_each_other(world):
    """Both at their own time; what repeats an earlier record says so; footage in common counts by its share."""
    first, second = sorted((world / "target/val").rglob("*.mp4"))[:2]
    frames = {"path": str(second), "media": "video", "time_sec": 1.0, "target_time_sec": 0.5, "cosine": 0.9}
    footage = {"id": str(second), "start_sec": 0.5, "end_sec": 1.5, "target_start_sec": 1.0, "overlap": 0.25}
    pages = []
    for reason, match in (("repeat", frames), ("duplicate", footage), ("duplicate", frames | {"time_sec": 0.0})):
        record = Record({"id": "x", "path": str(first), "media": "video"})
        record.verdict = {"reason": reason, "match": match}
        collected = RecordCollector()
        collected.add(record, reason)
        pages.append(render_report(collected, title="t"))
    repeat, footage_page, other_time = ("".join(Page(page).text) for page in pages)
    assert "at 1 s" in repeat and "earlier in the stream at 0.5 s" in repeat and "0.900" in repeat
    assert "at 0.5 s" in footage_page and "in the target set at 1 s" in footage_page and "0.250" in footage_page
    assert "in the target set at 0.5 s" in other_time
    shown = [page.split('id="duplicates"')[1].split("data:image/jpeg;base64,")[1].split('"')[0] for page in pages[::2]]
    assert shown[0] != shown[1]  # another frame of the same video


def test_many_classes_are_drawn_as_a_curve_and_only_the_largest_have_images():
    collected = RecordCollector()
    for index in range(300):
        for copy in range(1 + index // 10):
            collected.add(Record({"id": f"{index}/{copy}", "query": f"q{index}"}))
    page = render_report(collected, title="t", max_groups=5)
    text = "".join(Page(page).text)
    assert "The 5 largest groups of 300" in text and "276 more" in text
    assert page.count('<section class="group">') == 5


def test_an_empty_stream_is_refused():
    with pytest.raises(InputError, match="nothing to report: the input has no records"):
        render_report(RecordCollector(), title="t")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_opens_the_page_without_complaint_and_asks_nobody(page, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    with Browser(tmp_path) as browser:
        browser.open(file)
        assert browser.run("document.querySelectorAll('figure').length") == page.count("<figure")
        assert (browser.complaints, browser.requests) == ([], [file.as_uri()])
        file.write_text(page + '<img src="http://elsewhere.invalid/a.png">', encoding="utf-8")
        browser.open(file)
        assert len(browser.complaints) == 1 and len(browser.requests) == 3
