"""Made frame features for the tests of de-duplication: a reader whose records carry their frames themselves."""

import numpy as np

from omnicli.stages.dedup.frame_features import Extractors, FrameReader
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter

WIDTH = 48
COARSENESS = 0.02


def frames_of(record):
    """Each frame is drawn from its number: equal numbers, equal frames; ``noise`` shifts them all a little."""
    rows = [np.random.default_rng(number).normal(size=WIDTH) for number in record["frames"]]
    noise = np.random.default_rng(len(rows)).normal(size=(len(rows), WIDTH)) * record.get("noise", 0.0)
    return (np.array(rows).reshape(-1, WIDTH) + noise).astype(np.float32)


def extract(records, *, fps=1.0, at_sec=None, crop=None, on_drop):
    """In place of ``scoring.extract_features``: frame i is on screen at i seconds; crops differ a little."""
    for record in records:
        if record.get("broken"):
            on_drop(record, "unreadable: truncated JPEG")
            continue
        features = frames_of(record)
        times = np.arange(len(features), dtype=np.float64)
        if at_sec is not None:
            features = features[np.asarray(at_sec(record), int)]
        if crop is not None:
            shifts = np.random.default_rng(7).normal(size=(5, WIDTH)) * 0.4
            features = (features[:, None] + shifts).reshape(-1, WIDTH).astype(np.float32)
        yield record, features, times


def coarsely(records, **options):
    """``extract`` with an error in each feature, always the same."""
    for record, features, times in extract(records, **options):
        seeds = np.abs(features[:, 0] * 2**20).astype(np.int64)
        errors = [np.random.default_rng(seed).normal(size=WIDTH) for seed in seeds]
        yield record, (features + COARSENESS * np.array(errors).reshape(features.shape)).astype(np.float32), times


def reader(usual=extract, exact=extract, **options):
    return FrameReader(lambda: Extractors(usual, exact), backbone={"backbone": "made"}, **options)


def target_records(count=60):
    """Videos of three frames each, numbered on from 0."""
    return [
        Record({"id": f"t{i}.mp4", "path": f"t{i}.mp4", "frames": [3 * i, 3 * i + 1, 3 * i + 2]}, position=i)
        for i in range(count)
    ]


def stored(folder, records, **backbone):
    """Rows of a shard with the features of these records, made before any of them broke."""
    writer = ShardWriter(folder, stage="features", kind="features", provenance={"backbone": "made", **backbone})
    for record in records:
        [(_, features, times)] = extract([record.derive(broken=False)], on_drop=None)
        made = record.derive()
        made.arrays = {"features": features, "times": times}
        writer.add(made)
    writer.close()
    return list(read_shard(str(folder / "00000.h5")))
