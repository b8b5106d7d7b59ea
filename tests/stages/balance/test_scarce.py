"""Sizes of classes."""

from omnicli.stages.balance.scarce import class_sizes
from omnicli.stages.balance.weights import BalanceRule, ClassGroup, balance_groups


def sizes(counts, classes=(), **rule):
    groups = {ClassGroup(source, tuple(names)): count for (source, *names), count in counts.items()}
    return class_sizes(balance_groups(groups, BalanceRule(**rule), {}), classes)


def test_sources_are_added_and_several_classes_count_each():
    assert sizes({("gg", "bowl"): 3, ("ig", "bowl"): 4, ("gg", "bowl", "surf"): 2}) == {"bowl": 9, "surf": 2}


def test_missing_integers_and_missing_names_of_the_classes_file_have_no_record():
    assert sizes({("", 0): 3, ("", 2): 1}) == {"label 0": 3, "label 1": 0, "label 2": 1}
    assert sizes({("", "bowl"): 3}, ["Tai_Chi", "Bowl"]) == {"tai chi": 0, "bowl": 3}


def test_classes_that_are_rejected_on_purpose_are_left_out():
    assert sizes({("", "bowl"): 3, ("", "surf"): 30}, min_per_class=5) == {"surf": 30}
