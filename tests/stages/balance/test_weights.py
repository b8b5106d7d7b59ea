"""Weights are those of the formulas, whatever the sizes."""

import math
import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omnicli.reasons import HEAD_CLASS, NO_CLASS, NOT_DRAWN, SMALL_CLASS
from omnicli.stages.balance.weights import (
    BalanceRule,
    ClassGroup,
    GroupBalance,
    apportion,
    balance_groups,
    find_head_cuts,
    record_weight,
    tail_quotas,
)

sizes_of_classes = st.lists(st.integers(1, 5000), min_size=1, max_size=8)
powers = st.floats(0, 1)
classes = st.frozensets(st.integers(0, 4) | st.sampled_from(["a", "b"]), max_size=3)
groups = st.builds(
    lambda source, names: ClassGroup(source, tuple(sorted(names, key=lambda name: (isinstance(name, str), name)))),
    st.sampled_from(["", "gg", "ig"]),
    classes,
)
counts_of_groups = st.dictionaries(groups, st.integers(1, 900), min_size=1, max_size=12)
rules = st.builds(
    lambda power, cap, low, tail, again: BalanceRule(
        power=power, max_per_class=cap, min_per_class=low, keep_tail=tail, resample=again
    ),
    powers, st.none() | st.integers(1, 500), st.integers(1, 60), st.none() | st.integers(0, 3000),
    st.none() | st.integers(0, 3000),
)  # fmt: skip


def one_source(sizes):
    return {ClassGroup("gg", (k,)): size for k, size in enumerate(sizes)}


def planned(counts, rule):
    """The balance_groups when hashes take the first groups of a cut first."""
    kept = {}
    for cut in find_head_cuts(counts, rule):
        left = cut.keep
        for group in cut.groups:
            kept[group] = min(left, counts[group])
            left -= kept[group]
    return balance_groups(counts, rule, kept)


def drawn_shares(shares):
    """How often each class is drawn when records are drawn by weight."""
    masses = [share.expected_count for share in shares.values()]
    return [expected_count / sum(masses) for expected_count in masses]


@given(sizes_of_classes, powers)
def test_a_class_is_drawn_in_proportion_to_its_size_to_the_power(sizes, power):
    shares = balance_groups(one_source(sizes), BalanceRule(power=power))
    expected = [size**power for size in sizes]  # not size ** (1 + power): a weight is given to each of N records
    assert drawn_shares(shares) == pytest.approx([share / sum(expected) for share in expected], rel=1e-6)


@given(sizes_of_classes, st.integers(1, 3000))
def test_a_clipped_class_is_drawn_as_if_it_had_no_more_than_so_many(sizes, cap):
    shares = balance_groups(one_source(sizes), BalanceRule(max_per_class=cap))
    expected = [min(size, cap) for size in sizes]
    assert drawn_shares(shares) == pytest.approx([share / sum(expected) for share in expected], rel=1e-6)


@given(counts_of_groups, powers, st.none() | st.integers(1, 500))
def test_weights_have_mean_1_over_the_records_of_each_source(counts, power, cap):
    shares = balance_groups(counts, BalanceRule(power=power, max_per_class=cap))
    for source in {group.source for group in counts}:
        staying = [share for group, share in shares.items() if group.source == source and not share.reason]
        if staying:
            mean = sum(share.count * share.weight for share in staying) / sum(share.count for share in staying)
            assert mean == pytest.approx(1, rel=1e-7)


@given(sizes_of_classes)
def test_power_1_leaves_the_crawl_as_it_is_and_power_0_makes_classes_equal(sizes):
    assert {share.weight for share in balance_groups(one_source(sizes), BalanceRule(power=1.0)).values()} == {1.0}
    assert drawn_shares(balance_groups(one_source(sizes), BalanceRule(power=0.0))) == pytest.approx(
        [1 / len(sizes)] * len(sizes)
    )


@given(counts_of_groups, rules, st.randoms(use_true_random=False))
def test_a_plan_does_not_depend_on_the_order_of_the_stream(counts, rule, order):
    shuffled = list(counts.items())
    order.shuffle(shuffled)
    assert planned(dict(shuffled), rule) == planned(counts, rule)


@given(counts_of_groups, rules)
def test_one_source_does_not_change_the_weights_of_another(counts, rule):
    rule = BalanceRule(power=rule.power, max_per_class=rule.max_per_class, min_per_class=rule.min_per_class)
    alone = {group: count for group, count in counts.items() if group.source == "gg"}
    shares = balance_groups(counts, rule)
    assert {group: shares[group] for group in alone} == balance_groups(alone, rule)


@given(counts_of_groups, rules)
def test_every_group_is_accounted_for(counts, rule):
    shares = planned(counts, rule)
    assert {group: share.count for group, share in shares.items()} == counts
    for group, share in shares.items():
        assert 0 <= share.keep <= share.count
        assert 0 <= share.extra <= share.keep
        assert (share.reason == NO_CLASS) == (not group.classes)
        assert not (share.reason and share.keep)
    if rule.keep_tail is not None:
        available = sum(share.count for share in shares.values() if not share.reason)
        assert sum(share.keep for share in shares.values()) == min(rule.keep_tail, available)
    if rule.resample is not None and any(share.keep for share in shares.values()):
        assert sum(share.keep * share.copies + share.extra for share in shares.values()) == rule.resample


def test_a_record_of_several_classes_weighs_the_mean_of_them():
    counts = {ClassGroup("", (0,)): 90, ClassGroup("", (0, 1)): 20}  # N_0 = 100, N_1 = 10
    first, both = (share.weight for share in balance_groups(counts, BalanceRule(power=0.5)).values())
    assert both / first == pytest.approx((100**-0.5 + 10**-0.5) / 2 / 100**-0.5)


def test_small_classes_leave_by_their_number_of_records_and_do_not_count_for_the_others():
    counts = {ClassGroup("", (0,)): 49, ClassGroup("", (1,)): 50, ClassGroup("", ()): 3, ClassGroup("", (2, 3)): 50}
    shares = balance_groups(counts, BalanceRule(min_per_class=50))
    assert [share.reason for share in shares.values()] == [NO_CLASS, SMALL_CLASS, "", ""]
    assert shares[ClassGroup("", (1,))].weight < shares[ClassGroup("", (2, 3))].weight  # 50 against 25 and 25


@given(st.lists(st.integers(1, 300), min_size=1, max_size=9).map(sorted), st.integers(0, 1500))
@example([1, 1], 1)
@example([5, 5, 5], 14)
def test_no_class_is_cut_that_is_smaller_than_one_that_is(sizes, total):
    quotas = tail_quotas(sizes, sizes, total)
    assert sum(quotas) == min(total, sum(sizes))
    cut = [quota for size, quota in zip(sizes, quotas, strict=True) if quota < size]
    cut_sizes = [size for size, quota in zip(sizes, quotas, strict=True) if quota < size]
    whole = [size for size, quota in zip(sizes, quotas, strict=True) if quota == size]
    if cut:
        assert max(cut) - min(cut) <= 1
        assert max(whole, default=0) <= min(cut_sizes)  # of equal ones some may be cut by one, the others not
        assert max(whole, default=0) <= min(cut) + 1
    assert quotas == sequential_quotas(sizes, total)


def sequential_quotas(sizes, total):
    """Classes one after the other, smallest first: each its part of what is left, in whole numbers."""
    quotas = []
    for place, size in enumerate(sizes):
        quotas.append(min(size, total // (len(sizes) - place)))
        total -= quotas[-1]
    return quotas


pools_of_records = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=9).map(
    lambda cuts: sorted(cuts, key=lambda cut: cut[1])
)


@given(pools_of_records, st.integers(0, 400))
def test_quotas_are_those_of_all_records_in_the_order_in_which_they_would_stay(cuts, total):
    num_records, sizes = zip(*cuts, strict=True)
    places = [(Fraction(m * size, num), -k) for k, (num, size) in enumerate(cuts) for m in range(1, num + 1)]
    stay = Counter(-k for _, k in sorted(places)[:total])
    assert tail_quotas(num_records, sizes, total) == [stay[k] for k in range(len(cuts))]


def test_a_head_is_cut_though_many_of_its_records_have_a_rare_class_too():
    rare = {ClassGroup("", ("a", f"x{i:03d}")): 10 for i in range(100)}
    counts = {ClassGroup("", ("a",)): 400, ClassGroup("", ("b",)): 600, **rare}  # N_a = 900, N_b = 600
    cuts = find_head_cuts(counts, BalanceRule(keep_tail=1500))
    assert [cut.groups for cut in cuts] == [(ClassGroup("", ("b",)),), (ClassGroup("", ("a",)),)]
    rates = [cut.keep / counts[cut.groups[0]] for cut in cuts]
    assert rates[0] == pytest.approx(1.5 * rates[1], rel=0.01)  # to one size
    assert sum(cut.keep for cut in cuts) == 500


def test_small_groups_of_two_heads_are_cut_with_the_smaller_head():
    counts = {ClassGroup("", ("a",)): 1000, ClassGroup("", ("b",)): 500, ClassGroup("", ("c",)): 90}
    counts |= {ClassGroup("", ("a", "a", "b")): 10, ClassGroup("", ("a", "b")): 20}
    [middle, large] = find_head_cuts(counts, BalanceRule(keep_tail=690))
    assert set(middle.groups) == {ClassGroup("", ("a", "a", "b")), ClassGroup("", ("a", "b")), ClassGroup("", ("b",))}
    assert middle.keep / 530 < 0.65 and large.keep / 1000 < 0.35
    assert middle.keep + large.keep == 600


@given(counts_of_groups, st.integers(0, 3000))
def test_every_record_of_a_class_that_is_not_cut_stays(counts, total):
    cut = {group: cut for cut in find_head_cuts(counts, BalanceRule(keep_tail=total)) for group in cut.groups}
    sizes = Counter()
    for group, count in counts.items():
        sizes.update({(group.source, name): Fraction(count, len(group.classes)) for name in group.classes})
    smallest = {group: min(sizes[group.source, name] for name in group.classes) for group in counts if group.classes}
    whole = [size for group, size in smallest.items() if group not in cut]
    assert max(whole, default=0) <= min((smallest[group] for group in cut), default=math.inf)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=9), st.integers(0, 10_000))
def test_whole_numbers_are_shared_out_exactly_and_nobody_is_off_by_one(masses, total):
    quotas = apportion(masses, total)
    assert sum(quotas) == total
    for expected_count, quota in zip(masses, quotas, strict=True):
        assert abs(quota - total * expected_count / sum(masses)) < 1 + 1e-6


def test_equal_remainders_go_to_the_first():
    assert apportion([1.0, 1.0, 1.0], 4) == [2, 1, 1]
    assert apportion([], 0) == []


def test_a_list_has_class_shares_of_the_weights_and_weighs_the_same():
    counts = {ClassGroup("", (0,)): 1000, ClassGroup("", (1,)): 10}
    shares = balance_groups(counts, BalanceRule(power=0.0, resample=201))
    assert [share.keep * share.copies + share.extra for share in shares.values()] in ([101, 100], [100, 101])
    assert {share.weight for share in shares.values()} == {1.0}
    assert shares[ClassGroup("", (1,))].copies == 10


def test_factors_are_the_paper_s():
    assert record_weight(float(Fraction(32)), BalanceRule(power=0.2)) == pytest.approx(32**0.2 / 32)
    assert record_weight(6000.0, BalanceRule(max_per_class=5000)) == pytest.approx(5 / 6)
    assert record_weight(60.0, BalanceRule(max_per_class=5000)) == 1.0


def test_a_share_counts_what_is_drawn():
    assert GroupBalance(count=10, keep=4, copies=2, extra=3, weight=0.5).expected_count == 5.5
    assert len({NO_CLASS, SMALL_CLASS, HEAD_CLASS, NOT_DRAWN}) == 4


def test_no_randomness_is_left_to_the_plan():
    state = random.getstate()
    planned(one_source([5, 50, 500]), BalanceRule(keep_tail=60, resample=40, seed=3))
    assert random.getstate() == state
