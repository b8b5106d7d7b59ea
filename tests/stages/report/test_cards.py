from omnicli.stages.report.cards import CardMaker, make_gallery
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
