"""Scores of two streams: matched by id, averaged with weights, and nothing taken silently that does not belong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.stages.eval.fusion import (
    CLASS_NAMES,
    SCORE_FUNCTION,
    check_common_records,
    common_classes,
    fuse_scores,
    open_scores,
    read_score_records,
)
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter

CLASSES = ["archery", "bowling", "climbing"]


def write(folder, rows, *, classes=CLASSES, rows_per_shard=10_000, kind="scores", function=None):
    """Score shards as eval leaves them, of (id, label, scores)."""
    provenance = {CLASS_NAMES: classes or None, SCORE_FUNCTION: function}
    writer = ShardWriter(folder, stage="eval", kind=kind, provenance=provenance, rows_per_shard=rows_per_shard)
    for name, label, scores in rows:
        record = Record({"id": name, "label": label})
        record.arrays = {"scores": np.asarray(scores, np.float32)}
        writer.add(record)
    writer.close()
    return folder


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(seed, count=7):
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(0).integers(0, 3, count)
    return [(f"v{n}", int(labels[n]), row) for n, row in enumerate(softmax(rng.normal(size=(count, 3))))]


def fused(paths, ratio, **options):
    sets = [open_scores(path) for path in paths]
    common_classes(sets, None)
    check_common_records(sets)
    pairs = fuse_scores(read_score_records(sets[0]), sets=sets, ratio=ratio, on_drop=lambda *_: None, **options)
    return {record["id"]: scores for record, scores in pairs}


def test_fusion_before_the_softmax_ranks_as_the_mean_of_the_logits(tmp_path):
    """As TSN and mmaction2 fuse RGB and flow: a sure stream outvotes others."""
    logits = np.random.default_rng(3).normal(scale=4, size=(2, 9, 3))
    paths = [
        write(tmp_path / str(n), [(f"v{row}", 0, scores) for row, scores in enumerate(softmax(each))])
        for n, each in enumerate(logits)
    ]
    made = np.array(list(fused(paths, [1, 1.5], logits=True).values()))
    np.testing.assert_allclose(made, softmax(np.average(logits, axis=0, weights=[1, 1.5])), atol=1e-5)
    after = np.array(list(fused(paths, [1, 1.5]).values()))
    assert (made.argmax(axis=1) != after.argmax(axis=1)).any()
    sure = write(tmp_path / "sure", [("v", 0, [1, 0, 0])])
    other = write(tmp_path / "other", [("v", 0, [0, 1, 0])])
    np.testing.assert_allclose(fused([sure, other], [1, 1], logits=True)["v"], [0.5, 0.5, 0], atol=1e-6)


@settings(max_examples=15)
@given(
    seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=3),
    ratio=st.lists(st.floats(0.1, 10), min_size=3, max_size=3),
    scale=st.floats(0.1, 10),
    order=st.permutations(range(7)),
    rows_per_shard=st.integers(1, 7),
)
def test_the_weighted_mean_of_numpy_in_any_order_of_rows_and_at_any_scale_of_the_ratio(
    tmp_path_factory, seeds, ratio, scale, order, rows_per_shard
):
    folder = tmp_path_factory.mktemp("fused")
    rows, ratio = [drawn(seed) for seed in seeds], ratio[: len(seeds)]
    paths = [write(folder / str(n), each) for n, each in enumerate(rows)]
    expected = np.average([[scores for _, _, scores in each] for each in rows], axis=0, weights=ratio)
    made = fused(paths, ratio)
    assert list(made) == [f"v{n}" for n in range(7)]
    np.testing.assert_allclose(list(made.values()), expected, atol=1e-7)
    shuffled = write(folder / "shuffled", [rows[-1][n] for n in order], rows_per_shard=rows_per_shard)
    again = fused([*paths[:-1], shuffled], [scale * weight for weight in ratio])
    assert again.keys() == made.keys()
    for name, scores in made.items():
        np.testing.assert_allclose(again[name], scores, atol=1e-12)


def test_a_set_fused_with_itself_and_a_set_with_all_the_weight_stay_what_they_are(tmp_path):
    a, b = write(tmp_path / "a", drawn(1)), write(tmp_path / "b", drawn(2))
    alone = {name: scores.astype(np.float64) for name, _, scores in drawn(1)}
    for paths, ratio in (([a, a], [1, 1]), ([a, b], [1, 0]), ([a, b], [3, 0])):
        made = fused(paths, ratio)
        assert all(np.array_equal(made[name], scores) for name, scores in alone.items())


def test_a_single_file_is_a_set_as_a_folder_is(tmp_path):
    a = write(tmp_path / "a", drawn(1))
    assert open_scores(a / "00000.h5").rows.keys() == open_scores(a).rows.keys()


def test_the_shards_of_jobs_are_found_in_all_folders(tmp_path):
    rows = drawn(1)
    write(tmp_path / "scores", rows[:2])
    write(tmp_path / "scores" / "b" / "c", rows[2:])
    assert open_scores(tmp_path / "scores").rows.keys() == {name for name, _, _ in rows}


def test_an_id_that_occurs_twice_is_named_at_both_places(tmp_path):
    rows = drawn(1)
    path = write(tmp_path / "a", [*rows[:5], rows[1]], rows_per_shard=4)
    with pytest.raises(InputError, match=r"a/00001\.h5:2: id 'v1' is already at .*a/00000\.h5:2"):
        open_scores(path)


@pytest.mark.parametrize("turned", [False, True])
def test_records_that_all_have_are_fused_and_the_others_named(tmp_path, turned):
    whole, part = write(tmp_path / "whole", drawn(1)), write(tmp_path / "part", drawn(2)[2:])
    paths = [part, whole] if turned else [whole, part]
    sets = [open_scores(path) for path in paths]
    [line] = check_common_records(sets)
    assert line.startswith(f"{part}: no scores for 2 of 7 records, such as 'v0', 'v1'; only records that every --fuse")
    gone = []
    pairs = fuse_scores(read_score_records(sets[0]), sets=sets, ratio=[1, 1], on_drop=lambda *drop: gone.append(drop))
    assert [record["id"] for record, _ in pairs] == [f"v{n}" for n in range(2, 7)]
    expected = [] if turned else [(name, f"no scores: not in {part}") for name in ("v0", "v1")]
    assert [(record["id"], reason) for record, reason in gone] == expected


def test_sets_without_a_common_record_are_refused(tmp_path):
    rows = drawn(1)
    a, b, c = write(tmp_path / "a", rows[:2]), write(tmp_path / "b", rows[2:]), write(tmp_path / "c", rows[1:4])
    with pytest.raises(InputError, match=r"b: no scores for id 'v0' and all others of .*a; streams of one video"):
        fused([a, b], [1, 1])
    d = write(tmp_path / "d", rows[:1])
    with pytest.raises(InputError, match="no id that all of the other --fuse have too"):
        check_common_records([open_scores(path) for path in (a, c, d)])


@pytest.mark.parametrize(
    ("rows", "classes", "says"),
    [
        (drawn(2), CLASSES[::-1], "other classes than .*, or another order: class 0 is 'archery' and 'climbing'"),
        ([("v0", 0, [0.5, 0.5])], ["x", "y"], "scores 2 classes, but .*a 3"),
        (
            [(name, (label + 1) % 3, scores) for name, label, scores in drawn(2)],
            CLASSES,
            r"b/00000.h5:1: id 'v0' has l",
        ),
        ([(name, label, 3 * scores) for name, label, scores in drawn(2)], CLASSES, r"b/00000.h5:1: not softmax scores"),
        ([(name, label, scores * np.nan) for name, label, scores in drawn(2)], CLASSES, "not softmax scores"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, rows, classes, says):
    a, b = write(tmp_path / "a", drawn(1)), write(tmp_path / "b", rows, classes=classes)
    with pytest.raises(InputError, match=says):
        fused([a, b], [1, 1])


def test_shards_without_names_take_those_that_are_given(tmp_path):
    bare = open_scores(write(tmp_path / "a", drawn(1), classes=None))
    named = open_scores(write(tmp_path / "b", drawn(2)))
    assert common_classes([bare, bare], CLASSES) == common_classes([bare, named], None) == tuple(CLASSES)
    with pytest.raises(InputError, match="names no classes; --classes FILE"):
        common_classes([bare, bare], None)
    with pytest.raises(InputError, match="scores 3 classes, but --classes names 2"):
        common_classes([bare, bare], CLASSES[:2])
    with pytest.raises(InputError, match="b: has other classes than --classes"):
        common_classes([bare, named], ["a", "b", "c"])


def test_scores_of_several_labels_are_fused_with_their_like_alone(tmp_path):
    rows = [("v0", [0, 2], [0.9, 0.1, 0.8]), ("v1", [1], [0.3, 0.6, 0.2])]
    a, b = (write(tmp_path / name, rows, function="sigmoid") for name in "ab")
    assert fused([a, b], [1, 3])["v0"] == pytest.approx([0.9, 0.1, 0.8])
    softmax_too = write(tmp_path / "c", drawn(1, 2))
    with pytest.raises(InputError, match=r"a: sigmoid scores, but softmax in .*c$"):
        fused([softmax_too, a], [1, 1])
    write(tmp_path / "d", drawn(1, 2))
    (tmp_path / "d" / "00000.h5").rename(a / "00001.h5")
    with pytest.raises(InputError, match=r"00001\.h5: scores other classes than .*00000\.h5, or in another way"):
        open_scores(a)


def test_many_long_names_fit_into_a_shard(tmp_path):
    """HDF5 keeps small attributes within 64 KiB; the names of a large vocabulary take more."""
    names = [f"class number {n} with a long name" for n in range(5000)]
    scores = np.full(5000, 1 / 5000)
    assert open_scores(write(tmp_path / "a", [("v0", 0, scores)], classes=names)).classes == tuple(names)


def test_other_shards_and_empty_folders_are_refused(tmp_path):
    writer = ShardWriter(tmp_path / "f", stage="features", kind="features", provenance={})
    record = Record({"id": "v0"})
    record.arrays = {"features": np.zeros((1, 4)), "times": np.zeros(1)}
    writer.add(record)
    writer.close()
    with pytest.raises(InputError, match=r"00000\.h5: holds features, not scores"):
        open_scores(tmp_path / "f")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: no \.h5 shard in this folder"):
        open_scores(tmp_path / "empty")
