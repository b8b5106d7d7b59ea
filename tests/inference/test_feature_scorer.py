"""A row of features has the scores of its media, computed by the classifier alone."""

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from omnicli.errors import InputError, MediaError, ModelError, UsageError
from omnicli.inference import scorer as scoring
from omnicli.inference.scorer import extract_features, score_records
from omnicli.inference.video_sampling import VideoSampling
from omnicli.inference.video_scorer import score_videos
from omnicli.inference.views import ViewOptions
from omnicli.media.source import open_media
from omnicli.models.loading import load_model
from omnicli.stages.features import feature_records
from omnicli.streams.read.reader import read_records
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter


@pytest.fixture(scope="module")
def model(teacher):
    return load_model(teacher)


@pytest.fixture(scope="module")
def media(world):
    """Three images, then two long videos."""

    def first(kind, count):
        records = read_records([str(world / "web" / kind)], on_drop=lambda record, reason: None)
        return list(islice((record for record in records if is_readable(record)), count))

    return first("image", 3) + first("untrimmed", 2)


def is_readable(record):
    try:
        with open_media(record) as source:
            return bool(len(source.read([0])))
    except MediaError:
        return False


def store(media, model, folder, fps=1.0, **provenance):
    """Rows of a shard with the features of media."""
    writer = ShardWriter(folder, stage="features", kind="features", provenance={"fps": fps, **provenance})

    def extract(records, on_drop):
        return extract_features(records, model=model, fps=fps, root=None, batch_size=8, on_drop=on_drop)

    for position, record in enumerate(media):
        record.position = position
    for record in feature_records(media, extract=extract, on_drop=lambda *leaving: pytest.fail(str(leaving))):
        writer.add(record)
    writer.close()
    return list(read_shard(str(folder / "00000.h5")))


@pytest.fixture(scope="module")
def rows(media, model, tmp_path_factory):
    return store(media, model, tmp_path_factory.mktemp("features"), checkpoint=model.sha256)


def scored(records, model, **views):
    return list(
        score_records(
            records, models=[model], views=ViewOptions(**views), batch_size=8,
            on_drop=lambda *leaving: pytest.fail(str(leaving)),
        )
    )  # fmt: skip


def frame_scores_of(records, model, **options):
    return list(
        score_videos(
            records, models=[model], sampling=VideoSampling(**options), batch_size=8, skip=lambda record: False,
            on_drop=lambda *leaving: pytest.fail(str(leaving)),
        )
    )  # fmt: skip


def test_a_row_has_the_scores_of_its_media(media, rows, model, monkeypatch):
    from_media = scored(media[:3], model)
    monkeypatch.setattr(scoring, "predict_records", lambda *a, **k: pytest.fail("the backbone ran"))
    from_rows = scored(rows[:3], model)
    for (record, scores), (row, stored) in zip(from_media, from_rows, strict=True):
        assert row["id"] == record["id"]
        np.testing.assert_allclose(stored, scores, atol=2e-3)  # features are stored in half precision
    assert len({float(scores.max()) for _, scores in from_rows}) == 3


def test_rows_and_media_in_one_stream_keep_their_order(media, rows, model):
    mixed = [rows[0], media[1], rows[2], rows[1], media[0]]
    for position, record in enumerate(mixed):
        record.position = position
    got = scored(mixed, model)
    assert [record["id"] for record, _ in got] == [record["id"] for record in mixed]
    alone = [scored([record], model)[0][1] for record in mixed]
    np.testing.assert_allclose([scores for _, scores in got], alone, atol=1e-6)


def test_the_frames_of_a_row_are_scored_like_those_of_its_video(media, rows, model):
    from_media, from_rows = frame_scores_of(media[3:], model), frame_scores_of(rows[3:], model)
    for (_, expected), (_, found) in zip(from_media, from_rows, strict=True):
        assert found.times_sec.tolist() == expected.times_sec.tolist()
        np.testing.assert_allclose(found.scores, expected.scores, atol=2e-3)
    assert frame_scores_of(rows[:1], model)[0][1] is None  # an image is skipped


def test_an_image_whose_record_has_no_media_is_no_video_of_one_frame(media, model, tmp_path):
    unnamed = [Record({**record, "media": None}) for record in (media[0], media[3])]
    rows = store(unnamed, model, tmp_path, checkpoint=model.sha256)
    assert [scored is None for _, scored in frame_scores_of(rows, model)] == [True, False]


def test_features_at_another_frame_rate_are_refused(media, rows, model, tmp_path):
    with pytest.raises(InputError, match=r"features at 1 frames per second; give --fps 1"):
        frame_scores_of(rows[3:], model, fps=2.0)
    faster = store(media[3:4], model, tmp_path, fps=2.0, checkpoint=model.sha256)
    assert len(frame_scores_of(faster, model, fps=2.0)[0][1].scores) > len(
        frame_scores_of(rows[3:4], model)[0][1].scores
    )


def test_features_of_another_backbone_are_refused(media, rows, model, tmp_path):
    """The file of the backbone decides: the model's own checkpoint, or the weights that stayed frozen."""
    frozen = dataclasses.replace(model, sha256="f" * 64, backbone="e" * 64)
    with pytest.raises(InputError, match=r"features by [0-9a-f]{12}, and .*tsn.pth is tsn-resnet10t 72/64 of eee"):
        scored(rows[:1], frozen)
    with pytest.raises(InputError, match=r"of weights of its own; give the media"):
        scored(rows[:1], dataclasses.replace(frozen, backbone=None))
    of_weights = store(media[:1], model, tmp_path / "weights", weights="e" * 64)
    assert len(scored(of_weights, frozen)) == 1
    of_imagenet = dataclasses.replace(model, sha256="f" * 64, backbone="")
    assert len(scored(store(media[:1], model, tmp_path / "same", backbone="resnet10t"), of_imagenet)) == 1
    with pytest.raises(InputError, match="features by resnet18 of ImageNet"):
        scored(store(media[:1], model, tmp_path / "other", backbone="resnet18"), of_imagenet)


def test_features_of_an_equal_backbone_in_another_file_are_scored(media, model, tmp_path):
    """Two teachers on one frozen backbone: the shard stores what the backbone is, beside the file it came from."""
    signature, content = model.spec.signature, model.backbone_content
    rows = store(media[:1], model, tmp_path / "a", checkpoint="a" * 64, looks=signature, content=content)
    other = dataclasses.replace(model, sha256="f" * 64, backbone="e" * 64)
    assert len(scored(rows, other)) == 1
    assert len(scored(rows, dataclasses.replace(other, backbone=None))) == 1
    without = store(media[:1], model, tmp_path / "b", checkpoint="a" * 64, looks=signature)  # of an older version
    with pytest.raises(InputError, match="features by tsn-resnet10t 72/64 of aaa"):
        scored(without, other)
    of_another = store(media[:1], model, tmp_path / "c", checkpoint="a" * 64, looks=signature, content="c" * 64)
    with pytest.raises(InputError, match="or another of the same backbone"):
        scored(of_another, other)
    with pytest.raises(InputError, match="features by tsn-resnet10t 72/64 of aaa"):
        scored(rows, dataclasses.replace(other, spec=dataclasses.replace(model.spec, crop_size=96)))


@pytest.mark.parametrize("changed", [{"name": "tsm-resnet10t"}, {"name": "slowonly-r18"}, {"crop_size": 96}])
def test_the_same_weights_in_another_architecture_or_at_another_size_are_another_backbone(
    media, model, tmp_path, changed
):
    rows = store(media[:1], model, tmp_path, weights="e" * 64, looks=model.spec.signature)
    frozen = dataclasses.replace(model, sha256="f" * 64, backbone="e" * 64)
    assert len(scored(rows, frozen)) == 1
    with pytest.raises(InputError, match="features by tsn-resnet10t 72/64 of eee"):
        scored(rows, dataclasses.replace(frozen, spec=dataclasses.replace(model.spec, **changed)))


def test_rows_of_missing_or_truncated_shards_are_rejects_and_later_rows_are_scored(media, rows, model, tmp_path):
    gone = rows[0].derive(path=str(tmp_path / "gone.h5"))
    (tmp_path / "cut.h5").write_bytes(Path(rows[0]["path"]).read_bytes()[:3000])
    dropped = []
    got = score_records(
        [gone, rows[1].derive(path=str(tmp_path / "cut.h5")), rows[2]], models=[model], views=ViewOptions(),
        batch_size=8, on_drop=lambda record, reason: dropped.append(reason),
    )  # fmt: skip
    assert [record["id"] for record, _ in got] == [rows[2]["id"]]
    assert all(reason.startswith("unreadable: ") for reason in dropped) and len(dropped) == 2


def test_a_frame_that_is_stored_repeatedly_is_scored_once(media, rows, model, tmp_path):
    writer = ShardWriter(tmp_path, stage="features", kind="features", provenance={"checkpoint": model.sha256})
    record = media[3].derive()
    features = np.random.default_rng(0).random((4, 512), np.float32).astype(np.float16)
    record.arrays = {"features": features, "times": np.array([0.0, 0.0, 0.0, 3.0])}
    row = writer.add(record)
    writer.close()
    [(_, found)] = frame_scores_of([row], model)
    assert found.times_sec.tolist() == [0.0, 3.0]
    assert len(found.scores) == 2


def test_a_model_that_does_not_score_single_frames_is_refused(rows, model):
    model.network.is_framewise = False  # as in a TSM
    try:
        with pytest.raises(ModelError, match="does not score single frames; give the videos"):
            frame_scores_of(rows[3:4], model)
    finally:
        del model.network.is_framewise


def test_view_options_have_no_effect_on_rows_and_are_refused(rows, model):
    with pytest.raises(UsageError, match="features are computed already"):
        scored(rows[:1], model, num_segments=5)
