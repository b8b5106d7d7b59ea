"""Lines about class sizes."""

from omnicli.stages.balance.histogram import histogram_lines
from omnicli.stages.balance.weights import ClassGroup, GroupBalance


def test_few_classes_are_shown_each_and_many_by_tenths():
    few = {
        ClassGroup("gg", ("a",)): GroupBalance(300, 300, weight=0.5),
        ClassGroup("gg", ("b",)): GroupBalance(100, 100, weight=2.5),
    }
    assert histogram_lines(few) == ["gg: a: 300 records, 75.0% -> 37.5%", "gg: b: 100 records, 25.0% -> 62.5%"]
    many = {ClassGroup("", (k,)): GroupBalance(k + 1, k + 1, weight=1 / (k + 1)) for k in range(20)}
    title, before, after = histogram_lines(many)
    assert title == "20 classes of 1 to 20 records; share of each tenth of the classes, largest first"
    assert before.split()[:3] == ["before", "18.6%", "16.7%"]
    assert after.split() == ["after"] + ["10.0%"] * 10
    assert len(histogram_lines(many, every_class=True)) == 20
    assert histogram_lines({}) == []
