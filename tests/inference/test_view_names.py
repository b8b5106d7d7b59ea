"""Views in a few words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnicli.inference.view_names import SeenViews, view_of_features, view_of_media
from omnicli.inference.views import ViewOptions
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import LoadedModel
from omnicli.streams.record import Record
from omnicli.streams.shards.writer import ShardWriter


@pytest.fixture(scope="module")
def tsn():
    spec = model_spec("tsn-resnet10t", classes=["a"], num_segments=3)
    network = create_model("tsn-resnet10t", num_classes=1, init="scratch")
    return LoadedModel(network, spec, 1.0, "", "tsn.pth", torch.device("cpu"), torch.float32)


def test_views_of_media_name_what_differs_from_training(tsn):
    assert view_of_media(tsn, ViewOptions()) == "3 segments, float32"
    many = ViewOptions(num_segments=25, crops="ten")
    assert view_of_media(replace(tsn, precision=torch.bfloat16), many) == "25 segments, 10 crops, bfloat16"
    other = ViewOptions(num_segments=1, crop_size=64, short_side=72, generation="0.x")
    assert view_of_media(tsn, other) == "1 segment, 64 of 72 pixels, frames of mmaction 0.x, float32"


def test_rows_are_named_by_their_rate_or_their_clips():
    assert view_of_features({}, is_2d=True) == view_of_features({"fps": 1.0}, is_2d=True) == "features at 1 fps"
    assert view_of_features({"fps": 2.5}, is_2d=True) == "features at 2.5 fps"
    assert view_of_features({"num_clips": 4}, is_2d=False) == "features of 4 clips"


def test_each_view_is_named_once(tsn, tmp_path):
    writer = ShardWriter(tmp_path, stage="features", kind="features", provenance={"fps": 2.0})
    record = Record({"id": "a", "path": "a.mp4"})
    record.arrays = {"features": np.zeros((1, 2)), "times": np.zeros(1)}
    writer.add(record)
    writer.close()
    seen = SeenViews(tsn, ViewOptions())
    assert str(seen) == ""
    row = {"id": "a", "path": str(Path(tmp_path) / "00000.h5"), "row": 0, "media": "features"}
    for fields in (row, {"media": "video"}, row, {"media": "image"}):
        seen.note(Record(fields))
    assert str(seen) == "features at 2 fps and 3 segments, float32"
