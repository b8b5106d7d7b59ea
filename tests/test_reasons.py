"""Reasons are a contract with users, who filter ``--rejects`` by them: none may change."""

from collections import Counter

from omnicli import reasons


def test_every_reason_is_spelled_as_in_earlier_versions():
    spelled = {name: value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert sorted(spelled.values()) == [
        "damaged tar", "duplicate", "head class", "internal error", "low confidence", "low rank", "no class",
        "no positive", "no scores", "not drawn", "over budget", "repeat", "small class", "teacher disagrees",
        "too long", "too short", "unreadable", "verdict",
    ]  # fmt: skip


def test_an_internal_error_stays_what_it_is_and_counts_as_a_failure():
    reason = reasons.unreadable("internal error: IndexError: x")
    assert reasons.counter_of(reason) == "rejected: internal error"
    assert reasons.num_failed({"unreadable": 2, "rejected: internal error": 3, "rejected: repeat": 4}) == 5


def test_a_reason_falls_into_its_category_and_its_detail():
    reason = reasons.unreadable("not an image: HTML")
    assert (reasons.category_of(reason), reasons.detail_of(reason)) == ("unreadable", "not an image: HTML")
    assert (reasons.category_of(reasons.LOW_RANK), reasons.detail_of(reasons.LOW_RANK)) == ("low rank", "")


def test_kinds_of_unreadable_records_are_counted_without_their_numbers_and_bounded():
    counters = Counter()
    for second in range(30):
        assert reasons.count_reject(counters, f"unreadable: decode error at {second}.5 s") == (
            "unreadable: decode error at N s"
        )
    assert reasons.count_reject(counters, "low rank") == ""
    for kept in ("not an HDF5 file", "TIFF of separate 16-bit planes is not supported", "name is not UTF-8"):
        assert reasons.count_reject(Counter(), f"unreadable: {kept}") == f"unreadable: {kept}"
    assert reasons.count_reject(Counter(), "unreadable: 1e+300 x 1,000 pixels") == "unreadable: N x N pixels"
    assert reasons.unreadable_by_kind(counters) == {"decode error at N s": 30}
    for index in range(1000):
        reasons.count_reject(counters, "unreadable: " + "x" * index)
    kinds = reasons.unreadable_by_kind(counters)
    assert len(kinds) == reasons.MAX_KINDS + 1 and sum(kinds.values()) == counters["unreadable"] == 1030
    assert counters["rejected: low rank"] == 1
