"""Result files of mmaction2: scores in the order of an annotation list."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from omnicli.errors import InputError
from omnicli.stages.eval.fusion import fuse_scores, read_score_records
from omnicli.stages.eval.result_files import open_results

SCORES = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]
LIST = "a.mp4 0\nb.mp4 1\n"


@pytest.fixture(autouse=True)
def _in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text(LIST)


def write(kind: str, scores=SCORES, labels=(0, 1)) -> str:
    contents = {
        "0.x.pkl": [np.array(row, np.float32) for row in scores],
        "0.x.json": scores,
        "views.pkl": [np.array([row], np.float32) for row in scores],
        "1.x.pkl": [
            {"pred_score": torch.tensor(row), "gt_label": torch.tensor([label])}
            for row, label in zip(scores, labels, strict=True)
        ],
        "1.0.pkl": [
            {"pred_scores": {"item": torch.tensor(row)}, "gt_labels": {"item": torch.tensor([label])}}
            for row, label in zip(scores, labels, strict=True)
        ],
    }  # fmt: skip
    content = contents[kind]
    Path(kind).write_bytes(json.dumps(content).encode() if kind.endswith(".json") else pickle.dumps(content, 2))
    return kind


@pytest.mark.parametrize("kind", ["0.x.pkl", "0.x.json", "views.pkl", "1.x.pkl", "1.0.pkl"])
def test_scores_of_every_generation_get_the_ids_of_the_list(kind):
    found = open_results(write(kind), "list.txt", "shards")
    assert (found.name, found.num_classes, list(found.rows)) == (kind, 3, ["a.mp4", "b.mp4"])
    fused = fuse_scores(read_score_records(found), sets=[found, found], ratio=[1, 2], on_drop=pytest.fail)
    np.testing.assert_allclose([scores for _, scores in fused], SCORES, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "changed", "expected"),
    [
        ("0.x.pkl", {"scores": SCORES[:1]}, "0.x.pkl: scores of 1 records, but list.txt has 2; give the list that was"),
        ("1.x.pkl", {"labels": (0, 2)}, "1.x.pkl:2: label 2, but 1 at list.txt:2; the file is of another list, or of"),
        ("0.x.json", {"scores": [[3.0, -1.0, 2.0], SCORES[1]]}, "0.x.json:1: not softmax .*average_clips='prob'"),
        ("0.x.json", {"scores": [[SCORES[0], SCORES[0]], SCORES[1]]}, "0.x.json:1: scores of 2 views; test with"),
        ("0.x.json", {"scores": [SCORES[0], [0.5, 0.5]]}, "0.x.json:2: scores of 2 classes, but 3 in the first"),
        ("0.x.json", {"scores": ["x", "y"]}, "0.x.json:1: not a result of mmaction2"),
        ("0.x.json", {"scores": {"top1": 1}}, "0.x.json: not a result file of mmaction2: expected a list"),
    ],
)
def test_what_does_not_belong_together_is_named(kind, changed, expected):
    with pytest.raises(InputError, match=f"^{expected}"):
        open_results(
            write(kind, **changed) if kind == "1.x.pkl" else _written(kind, changed["scores"]), "list.txt", "s"
        )


def _written(kind: str, scores) -> str:
    content = [np.array(row, np.float32) for row in scores] if kind.endswith(".pkl") else scores
    Path(kind).write_bytes(json.dumps(content).encode() if kind.endswith(".json") else pickle.dumps(content))
    return kind


def test_pickles_that_would_run_are_refused():
    Path("x.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(InputError, match=r"^x\.pkl: refused"):
        open_results("x.pkl", "list.txt", "s")
    assert not Path("ran").exists()
