"""Count how often fewer segments at test time rank two classifiers otherwise than all frames do.

    omni features --backbone NAME --weights FILE --fps 12 --shards feats/ my/train > feats.jsonl
    python examples/weak_teachers/rank_views.py feats/00000.h5

Records need a class (``query`` or ``class_name``) and a group in their name (``v_Surfing_g08_c01.avi``): classifiers
learn from 1, 2 or 4 clips per class of one group and are tested on the others, 24 of them per group.
"""

import itertools
import json
import re
import sys

import h5py
import numpy as np
from sklearn.linear_model import LogisticRegression

SEGMENTS = (1, 3, 5, 8, 10, 16, 25)


def of_segments(frames: np.ndarray, num_segments: int) -> np.ndarray:
    """Mean feature (D,) of the middle frames of ``num_segments`` equal segments of ``frames`` (F, D)."""
    middles = np.arange(num_segments) * len(frames) // num_segments + len(frames) // (2 * num_segments)
    return frames[np.minimum(middles, len(frames) - 1)].mean(0)


with h5py.File(sys.argv[1]) as shard:
    records = [json.loads(line) for line in shard["records"]]
    videos = np.split(shard["features"][:].astype(np.float32), np.cumsum(shard["counts"][:])[:-1])

classes, labels = np.unique([r.get("class_name") or r["query"] for r in records], return_inverse=True)
groups = np.array([re.search(r"_g(\d+)", r["id"]).group(1) for r in records])
views = {str(n): np.stack([of_segments(frames, n) for frames in videos]) for n in SEGMENTS}
views["all"] = np.stack([frames.mean(0) for frames in videos])
rng = np.random.default_rng(0)
accuracies = {view: [] for view in views}
tested_on = []
for group in np.unique(groups):
    train, test = np.flatnonzero(groups == group), np.flatnonzero(groups != group)
    for draw in range(24):
        shots = (1, 2, 4)[draw % 3]
        of_class = [train[labels[train] == k] for k in range(len(classes))]
        picked = np.concatenate([rng.choice(rows, min(shots, len(rows)), replace=False) for rows in of_class])
        frames = np.concatenate([videos[i][rng.integers(0, len(videos[i]), 8)] for i in picked])
        classifier = LogisticRegression(C=0.1, max_iter=300).fit(frames, np.repeat(labels[picked], 8))
        for view, features in views.items():
            accuracies[view].append(np.mean(classifier.predict(features[test]) == labels[test]))
        tested_on.append(group)

pairs = [(a, b) for a, b in itertools.combinations(range(len(tested_on)), 2) if tested_on[a] == tested_on[b]]
for view, found in accuracies.items():
    truth = [(a, b, np.sign(accuracies["all"][a] - accuracies["all"][b])) for a, b in pairs]
    flipped = [np.sign(found[a] - found[b]) == -sign for a, b, sign in truth if sign]
    row = {"segments": view, "accuracy": round(float(np.mean(found)), 4), "pairs": len(flipped)}
    print(json.dumps(row | {"flipped": int(np.sum(flipped))}))
