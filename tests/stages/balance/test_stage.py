"""Every record gets the weight of its class; who leaves is decided by sizes and by the hash of the id."""

import json
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnicli.data.auxiliary import read_auxiliary, read_weights
from omnicli.data.dataloader import Example
from omnicli.data.query_labels import Queries, QueryNames
from omnicli.errors import InputError
from omnicli.stages.balance.stage import QUERIES_AS_CLASSES, balance_records, group_by_class
from omnicli.stages.balance.weights import BalanceRule, ClassGroup
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.multipass.passes import MultipassInput
from omnicli.streams.read.reader import find_records
from omnicli.streams.record import Record
from omnicli.training.batch_sampler import JointSampler, TrainingSource

TAIL, HEAD = 7, 300


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("balance")


def run(folder, records, by="pseudo_label", query_names=QUERIES_AS_CLASSES, **rule):
    """(records written, [(record, reason)] that left)"""
    web = folder / "web.jsonl"
    web.write_text("".join(json.dumps(record) + "\n" for record in records))
    passes = MultipassInput(partial(find_records, [str(web)]), spooled=False)
    options = {"rule": BalanceRule(**rule), "by": by, "query_names": query_names, "on_balance": lambda shares: None}
    verdicts = list(balance_records(passes, **options))
    assert len(verdicts) == len(records)
    kept = [json.loads(line) for line, copies, _ in verdicts for _ in range(copies)]
    return kept, [(json.loads(line), reason) for line, copies, reason in verdicts if not copies]


def uneven(*sizes, **fields):
    return [{"id": f"{k}/{i}", "pseudo_label": k, **fields} for k, size in enumerate(sizes) for i in range(size)]


@pytest.mark.parametrize("power", [0.2, 0.5, 1.0])
def test_training_draws_classes_by_n_to_the_p_from_the_weights_that_are_written(folder, power):
    """Chi-square at 1 %; were the weights N^p, N of them a class would make N^(1+p)."""
    sizes = np.array([8, 60, 400])
    kept, _ = run(folder, uneven(*sizes), power=power)
    examples = [Example(Record(record), record["pseudo_label"]) for record in kept]
    target = [Example(Record({"id": str(number)}), 0) for number in range(100)]
    sources = [TrainingSource("target", target, 10), TrainingSource("web", examples, 20, read_weights(examples, "web"))]
    balance_groups = JointSampler(sources, ratio=(1, 2))
    rows = np.concatenate([step[0].rows for epoch in range(20) for step in balance_groups.steps(epoch)])
    assert len(rows) == 20 * 200
    drawn = np.bincount([examples[row].label for row in rows], minlength=3)
    expected = len(rows) * sizes**power / (sizes**power).sum()
    assert ((drawn - expected) ** 2 / expected).sum() < 9.21
    wrong = len(rows) * sizes ** (1 + power) / (sizes ** (1 + power)).sum()
    assert ((drawn - wrong) ** 2 / wrong).sum() > 100


crawls = st.lists(
    st.builds(
        lambda name, source, label: {"id": name, "source": source, "pseudo_label": label},
        st.text(max_size=3), st.sampled_from([None, "gg", "ig"]), st.none() | st.integers(0, 3),
    ),
    max_size=40,
)  # fmt: skip


def weight_by_formula(record, crawl, power):
    """The slow obvious twin: N^(p-1) over its mean in the source."""
    mates = [other for other in crawl if other["source"] == record["source"] and other["pseudo_label"] is not None]
    sizes = Counter(other["pseudo_label"] for other in mates)
    mean = sum(sizes[other["pseudo_label"]] ** (power - 1) for other in mates) / len(mates)
    return sizes[record["pseudo_label"]] ** (power - 1) / mean


@given(crawls, st.floats(0, 1))
def test_weights_are_those_of_the_formula_in_order_and_nothing_else_changes(folder, crawl, power):
    kept, left = run(folder, crawl, power=power)
    with_class = [record for record in crawl if record["pseudo_label"] is not None]
    assert [{**record, "weight": None} for record in kept] == [{**record, "weight": None} for record in with_class]
    for record in kept:
        assert record["weight"] == pytest.approx(weight_by_formula(record, crawl, power), rel=1e-8)
    assert [reason for _, reason in left] == ["no class"] * (len(crawl) - len(with_class))


@given(crawls, st.randoms(use_true_random=False))
def test_the_order_of_the_stream_changes_no_weight(folder, crawl, order):
    named = [record | {"id": f"{i}{record['id']}"} for i, record in enumerate(crawl)]
    options = {"keep_tail": len(named) // 2, "seed": 5}
    kept, left = run(folder, named, **options)
    order.shuffle(named)
    again, left_again = run(folder, named, **options)
    assert sorted(kept, key=str) == sorted(again, key=str)
    assert sorted(left, key=str) == sorted(left_again, key=str)


@given(crawls, st.sampled_from([{}, {"max_per_class": 3}, {"power": 0.5}]))
def test_run_twice_is_run_once(folder, crawl, rule):
    kept, _ = run(folder, crawl, **rule)
    assert run(folder, kept, **rule) == (kept, [])


def test_every_record_of_the_tail_stays_and_heads_are_cut_to_one_size(folder):
    crawl = uneven(HEAD, TAIL, HEAD, 40)
    kept, left = run(folder, crawl, keep_tail=TAIL + 40 + 120, power=0.5)
    assert Counter(record["pseudo_label"] for record in kept) == {0: 60, 1: TAIL, 2: 60, 3: 40}
    assert {reason for _, reason in left} == {"head class"}
    weights = {record["pseudo_label"]: record["weight"] for record in kept}
    assert weights[1] / weights[0] == pytest.approx((60 / TAIL) ** 0.5)  # of what is left


def test_who_of_a_head_stays_depends_on_id_and_seed_alone(folder):
    first = {record["id"] for record in run(folder, uneven(HEAD, TAIL), keep_tail=100)[0]}
    turned = {record["id"] for record in run(folder, uneven(HEAD, TAIL)[::-1], keep_tail=100)[0]}
    other = {record["id"] for record in run(folder, uneven(HEAD, TAIL), keep_tail=100, seed=1)[0]}
    assert first == turned != other
    smaller = {record["id"] for record in run(folder, uneven(HEAD, TAIL), keep_tail=50)[0]}
    assert smaller < first  # a smaller subset lies in a larger one


def crawl_of_tags(head=400, other=600, num_rare=100):
    """``a`` is the largest class, most of whose records have a rare class, too; ``b`` the next."""
    crawl = [{"id": f"a{i}", "queries": ["a"]} for i in range(head)]
    crawl += [{"id": f"b{i}", "queries": ["b"]} for i in range(other)]
    return crawl + [{"id": f"x{i}/{j}", "queries": ["a", f"x{i}"]} for i in range(num_rare) for j in range(10)]


def test_all_of_the_tail_stays_and_the_largest_class_is_cut_most_though_rare_ones_share_its_records(folder):
    crawl = crawl_of_tags()
    kept, left = run(folder, crawl, by="query", keep_tail=1500, power=0.5)
    assert len(kept) == 1500
    num_left = Counter(tuple(record["queries"]) for record, _ in left)
    assert set(num_left) == {("a",), ("b",)}
    assert num_left["a",] / 400 > num_left["b",] / 600
    assert sum(record["weight"] for record in kept) == pytest.approx(1500)
    turned, _ = run(folder, crawl[::-1], by="query", keep_tail=1500, power=0.5)
    assert sorted(turned, key=str) == sorted(kept, key=str)
    smaller, _ = run(folder, crawl, by="query", keep_tail=1300)
    assert {record["id"] for record in smaller} < {record["id"] for record in kept}
    assert len(run(folder, crawl, by="query", keep_tail=1300, resample=777)[0]) == 777


@pytest.mark.parametrize(("options", "num_lines"), [({"keep_tail": 25}, 25), ({"resample": 75}, 75)])
def test_records_of_one_id_are_told_apart_by_their_place(folder, options, num_lines):
    crawl = [{"id": "same", "pseudo_label": 0, "n": n} for n in range(50)]
    kept, left = run(folder, crawl, **options)
    assert len(kept) == num_lines
    assert len({record["n"] for record in kept}) + len(left) == 50
    assert [record["n"] for record in kept] == sorted(record["n"] for record in kept)


@pytest.mark.parametrize("total", [0, 1, 100, 613, 5000])
def test_a_list_has_the_asked_length_and_the_shares_of_the_power_law(folder, total):
    crawl = uneven(HEAD, TAIL, 90)
    kept, left = run(folder, crawl, resample=total, power=0.2)
    shares = [size**0.2 for size in (HEAD, TAIL, 90)]
    drawn = Counter(record["pseudo_label"] for record in kept)
    assert len(kept) == total
    for label, share in enumerate(shares):
        assert abs(drawn[label] - total * share / sum(shares)) <= 1
    copies = Counter(record["id"] for record in kept)
    for label in range(3):
        times = {copies[record["id"]] for record in crawl if record["pseudo_label"] == label}
        assert max(times) - min(times) <= 1  # dealt out evenly
    assert {record["weight"] for record in kept} <= {1.0}
    assert all(reason == "not drawn" for _, reason in left)


def test_small_classes_leave(folder):
    kept, left = run(folder, uneven(50, 49), min_per_class=50)
    assert (len(kept), len(left), {reason for _, reason in left}) == (50, 49, {"small class"})


def test_queries_count_by_any_spelling_and_several_count_in_part(folder):
    crawl = [{"id": "a", "query": "Playing_Violin"}, {"id": "b", "query": "playing violin", "queries": []}]
    crawl += [{"id": "c", "queries": ["surfing", "playing-violin"]}, {"id": "d", "query": " "}]
    kept, left = run(folder, crawl, by="query", power=0.0)
    weights = [record["weight"] for record in kept]
    assert weights[0] == weights[1]
    violin, surfing = 1 / 2.5, 1 / 0.5
    assert weights[2] / weights[0] == pytest.approx((violin + surfing) / 2 / violin)
    assert [record["id"] for record, _ in left] == ["d"]


TAGS = {"burncandle": "Burning candle", "candleburn": "burning_candle", "beekeep": "beekeeping"}
ONE_OR_MORE_TAGS = [
    ["burncandle"],
    ["burncandle", "candleburn"],
    ["beekeep", "burncandle", "BeeKeep"],
    ["candleburn", "burncandle", "beekeep", "sunday"],
]


def test_tags_of_one_class_are_one_class(folder):
    crawl = [{"id": f"{tag}{i}", "query": tag} for tag, n in (("burncandle", 90), ("candleburn", 10)) for i in range(n)]
    crawl += [{"id": f"bee{i}", "query": "beekeep"} for i in range(100)]
    kept, _ = run(folder, crawl, by="query", query_names=QueryNames(TAGS), power=0.0)
    assert {record["weight"] for record in kept} == {1.0}
    raw, _ = run(folder, crawl, by="query", power=0.0)
    assert sum(record["weight"] for record in raw[:100]) == pytest.approx(
        2 * sum(record["weight"] for record in raw[100:])
    )


@pytest.mark.parametrize("tags", ONE_OR_MORE_TAGS)
def test_a_record_counts_for_classes_as_training_draws_them_from_its_tags(tags):
    classes = ClassIndex(["beekeeping", "burning candle"])
    [group] = group_by_class({("gg", None, tuple(tags)): "a:1"}, "query", QueryNames(TAGS, classes)).values()
    [taught] = read_auxiliary([Record({"id": "a", "queries": tags})], Queries(classes, TAGS), by="query", on_drop=print)
    drawn = [classes.names[label] for label in (taught.label, *taught.others)]
    for name in set(drawn):
        assert group.classes.count(name) / len(group.classes) == drawn.count(name) / len(drawn)


def test_a_record_counts_more_for_the_class_that_more_of_its_tags_mean(folder):
    crawl: list[dict] = [
        {"id": "a", "query": "burncandle"},
        {"id": "b", "query": "beekeep"},
        {"id": "c", "query": "beekeep"},
    ]
    crawl += [{"id": "d", "queries": ["burncandle", "candleburn", "beekeep"]}]
    kept, _ = run(folder, crawl, by="query", query_names=QueryNames(TAGS), power=0.0)
    candle, bee = 1 / (1 + 2 / 3), 1 / (2 + 1 / 3)
    weights = [record["weight"] for record in kept]
    assert weights[0] / weights[1] == pytest.approx(candle / bee)
    assert weights[3] / weights[1] == pytest.approx((2 * candle + bee) / 3 / bee)


def test_of_given_classes_a_query_that_means_none_leaves(folder):
    crawl = [
        {"id": "a", "query": "burncandle"},
        {"id": "b", "query": "sunday"},
        {"id": "c", "queries": ["sunday", "x"]},
    ]
    crawl += [{"id": "d", "queries": ["sunday", "beekeep"]}]
    named = QueryNames(TAGS, ClassIndex(["beekeeping", "burning candle"]))
    kept, left = run(folder, crawl, by="query", query_names=named)
    assert [record["id"] for record in kept] == ["a", "d"]
    assert [(record["id"], reason) for record, reason in left] == [("b", "no class"), ("c", "no class")]
    assert run(folder, crawl, by="query", query_names=QueryNames(TAGS))[1] == []


def test_a_label_and_its_name_are_one_class_even_where_one_is_missing():
    seen = {("", 3, "Tai_Chi"): "a:1", ("", None, "tai chi"): "a:2", ("", 3, None): "a:3", ("", 4, None): "a:4"}
    groups = group_by_class(seen, "pseudo_label")
    assert [group.classes for group in groups.values()] == [("tai chi",)] * 3 + [(4,)]
    several = group_by_class({("gg", (2, 1), ("b", "a")): "a:1", ("gg", (1, 2), None): "a:2"}, "label")
    assert set(several.values()) == {ClassGroup("gg", ("a", "b"))}


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ((3, "surfing"), "b:2: class 3 is 'surfing' here, but 3 is 'tai chi' elsewhere in the stream"),
        ((5, "tai chi"), "b:2: class 5 is 'tai chi' here, but 'tai chi' is 3 elsewhere in the stream"),
        (((1, 2), "x"), "b:2: 2 labels but 1 class names"),
    ],
)
def test_streams_that_number_their_classes_apart_are_refused(second, said):
    with pytest.raises(InputError) as error:
        group_by_class({("", 3, "tai chi"): "a:1", ("ig", *second): "b:2"}, "label")
    assert str(error.value) == said


def test_a_class_that_appears_between_passes_is_refused(tmp_path):
    web = tmp_path / "web.jsonl"
    web.write_text('{"id":"a","pseudo_label":1}\n')
    passes = MultipassInput(partial(find_records, [str(web)]), spooled=False)
    rewrite = lambda shares: web.write_text('{"id":"a","pseudo_label":2}\n')  # noqa: E731
    with pytest.raises(InputError, match="the input changed while it was read"):
        list(balance_records(passes, rule=BalanceRule(), by="pseudo_label", on_balance=rewrite))
