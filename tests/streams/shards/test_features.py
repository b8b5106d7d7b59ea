"""Rows of feature shards come back as they were stored, in whatever order they are asked for."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omnicli.errors import InputError
from omnicli.streams.record import Record
from omnicli.streams.shards import features as stored_features
from omnicli.streams.shards.features import StoredFeatures, check_backbone, is_stored, made_of, output_as_media
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    writer = ShardWriter(
        folder, stage="features", kind="features", provenance={"backbone": "tiny", "weights": None}, rows_per_shard=7
    )
    for i in range(17):
        record = Record({"id": f"{i}.mp4", "path": f"web/{i}.mp4", "media": "video"})
        record.arrays = {"features": np.full((i % 4, 3), i), "times": np.arange(i % 4) + i}
        writer.add(record)
    writer.close()
    return [record for path in sorted(folder.glob("*.h5")) for record in read_shard(str(path))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 16), max_size=40))
def test_any_order_gives_the_same_rows(shards, order):
    reader = StoredFeatures()
    for i in [*order, *range(17)]:
        features, times, made_of = reader.read(shards[i])
        np.testing.assert_array_equal(features, np.full((i % 4, 3), i))
        np.testing.assert_array_equal(times, np.arange(i % 4) + i)
        assert made_of == {"id": f"{i}.mp4", "path": f"web/{i}.mp4", "media": "video"}


def test_rows_in_order_are_read_in_runs(shards, monkeypatch):
    calls = []
    read_rows = stored_features._read_rows
    monkeypatch.setattr(stored_features, "_read_rows", lambda *asked: calls.append(asked[1:]) or read_rows(*asked))
    reader = StoredFeatures()
    for record in shards[:7]:
        reader.read(record)
    assert calls == [(0, stored_features.ROWS_AT_ONCE)]
    reader.read(shards[3 + 7])  # another shard, in the middle: one row is enough
    assert calls[1:] == [(3, 1)]


def test_a_shard_tells_which_model_made_it(shards):
    assert is_stored(shards[0]) and not is_stored(Record({"media": "video"}))
    assert StoredFeatures().backbone(shards[0]) == {"backbone": "tiny"}


@pytest.mark.parametrize(
    ("attributes", "fits"),
    [
        ({"backbone": "resnet50.tv_in1k", "looks": "tsn-resnet50 256/224", "content": "V1"}, True),
        ({"backbone": "resnet50", "looks": "tsn-resnet50 256/224", "content": "A1"}, False),  # another default of timm
        ({"backbone": "resnet50", "looks": "tsn-resnet50.tv_in1k 256/224", "content": "V1"}, True),  # an older version
        ({"backbone": "resnet50", "looks": "tsn-resnet50 256/224"}, True),  # one that stored no content
        ({"backbone": "resnet50.tv_in1k"}, True),
        ({"backbone": "resnet101"}, False),
    ],
)
def test_which_imagenet_weights_made_features_their_content_tells_and_the_tag_is_no_part_of_the_name(attributes, fits):
    def check():
        check_backbone(
            Record({"path": "f.h5"}), attributes, model="m", signature="tsn-resnet50 256/224", weights="", digests={""},
            content=lambda: "V1", advice="",
        )  # fmt: skip

    if fits:
        check()
    else:
        with pytest.raises(InputError, match="features by"):
            check()


def test_a_row_that_is_not_there_is_named(shards):
    with pytest.raises(InputError, match=r"00000\.h5: no row 7; it has rows 0 to 6"):
        StoredFeatures().read(shards[0].derive(row=7))


def test_what_a_row_was_made_of_is_known_without_its_features(shards, monkeypatch):
    monkeypatch.setattr(stored_features, "_read_rows", None)
    assert [made_of(record, None)["path"] for record in shards] == [f"web/{i}.mp4" for i in range(17)]
    with pytest.raises(InputError, match="no row 99; it has rows 0 to 6"):
        made_of(shards[0].derive(row=99), None)


def test_shards_of_scores_have_no_features(tmp_path):
    writer = ShardWriter(tmp_path, stage="filter", kind="scores", provenance={})
    record = Record({"id": "a"})
    record.arrays = {"scores": np.zeros(2)}
    writer.add(record)
    writer.close()
    with pytest.raises(InputError, match="holds scores, not features"):
        StoredFeatures().read(Record({"path": str(tmp_path / "00000.h5"), "row": 0, "media": "features"}))


def test_rows_leave_a_stage_as_their_media_with_what_they_learnt(shards):
    """All else in place: order, other media, and a row that is not there is a drop."""
    shards = [record.derive(confidence=i / 100) for i, record in enumerate(shards)]
    image = Record({"id": "a.jpg", "path": "a.jpg", "media": "image", "row": 3})
    dropped = []

    def every_other(records, on_drop):
        for place, record in enumerate(records):
            yield record if place % 2 == 0 else on_drop(record, "odd") or image

    stage = output_as_media(every_other, None)
    stream = [shards[9], shards[2], shards[3].derive(row=99), shards[4], shards[16]]
    left = list(stage(iter(stream), lambda record, reason: dropped.append((record["id"], reason))))
    assert left == [
        {"id": "9.mp4", "path": "web/9.mp4", "media": "video", "confidence": 0.09},
        image,
        image,
        {"id": "16.mp4", "path": "web/16.mp4", "media": "video", "confidence": 0.16},
    ]
    assert [name for name, _ in dropped] == ["2.mp4", "3.mp4", "4.mp4"]
    assert dropped[1][1].startswith("unreadable: ") and "no row 99" in dropped[1][1]
