from omnicli.stages.report.cards import CardMaker, find_duplicates, make_gallery
from omnicli.stages.report.collector import RecordCollector
from omnicli.streams.record import Record


def test_a_gallery_shows_each_record_once_with_its_caption():
    collected = RecordCollector(size=2)
    for index, confidence in enumerate((0.9, 0.8, 0.6)):
        collected.add(Record({"id": f"{index}", "query": "rain", "pseudo_class": "Fan", "confidence": confidence}))
    collected.add(Record({"id": "3", "query": "rain", "pseudo_class": "rain"}), "teacher disagrees")
    [group] = collected.groups.values()
    gallery = make_gallery(group, CardMaker(collected, [group], root=None, workers=1))
    shown = [(outcome, [(card.id, card.note) for card in cards]) for outcome, _, cards in gallery.rows]
    assert shown == [("kept", [("0", "→ Fan"), ("1", "→ Fan")]), ("kept", [("2", "→ Fan")]), ("rejected", [("3", "")])]


def test_matches_of_other_programs_are_shown_without_their_times():
    collected = RecordCollector(size=1)
    for match in ({}, {"id": None, "cosine": "x", "time_sec": "3", "target_time_sec": [1]}):
        record = Record({"id": f"{len(match)}", "path": "gone.jpg"})
        record.verdict = {"reason": "duplicate", "match": match}
        collected.add(record, "duplicate")
    pairs = find_duplicates(collected, CardMaker(collected, [], root=None, workers=1))
    assert [pair.target.note for pair in pairs] == ["in the target set"] * 2
