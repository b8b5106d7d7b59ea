"""Reasons are a contract with users, who filter ``--rejects`` by them: none may change."""

from omnicli import reasons


def test_every_reason_is_spelled_as_in_earlier_versions():
    spelled = {name: value for name, value in vars(reasons).items() if name.isupper()}
    assert sorted(spelled.values()) == [
        "duplicate", "head class", "internal error", "low confidence", "low rank", "no class", "no positive",
        "not drawn", "repeat", "small class", "teacher disagrees", "too short", "unreadable",
    ]  # fmt: skip


def test_an_internal_error_stays_what_it_is_and_counts_as_a_failure():
    reason = reasons.unreadable("internal error: IndexError: x")
    assert reasons.counter_of(reason) == "rejected: internal error"
    assert reasons.num_failed({"unreadable": 2, "rejected: internal error": 3, "rejected: repeat": 4}) == 5


def test_a_reason_falls_into_its_category_and_its_detail():
    reason = reasons.unreadable("not an image: HTML")
    assert (reasons.category_of(reason), reasons.detail_of(reason)) == ("unreadable", "not an image: HTML")
    assert (reasons.category_of(reasons.LOW_RANK), reasons.detail_of(reasons.LOW_RANK)) == ("low rank", "")
