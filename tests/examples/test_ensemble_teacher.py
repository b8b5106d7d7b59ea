"""The study of two teachers and their ensemble: renamed weights, mean scores, tables."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "examples" / "ensemble_teacher"

LINES = [json.dumps({"id": "a.jpg", "query": "red", "query_score": score, "confidence": 0.9}) for score in (0.25, 0.75)]


def write_run(out, setting, seed, num_right, kept):
    """A test of four clips of two recordings, and the kept images."""
    clips = [
        {"id": f"target/test/red/v_red_g0{1 + number // 2}_c0{number}.avi", "label": 0,
         "pseudo_label": int(number >= num_right), "top_scores": [[0, 0.8], [1, 0.2]]}
        for number in range(4)
    ]  # fmt: skip
    for path, records in (
        (out / "eval" / "ensemble" / setting, [*clips, {"top1_acc": num_right / 4, "view": "x"}]),
        (out / "kept" / setting, kept),
    ):
        path.mkdir(parents=True, exist_ok=True)
        (path / f"k2-s{seed}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_the_tables_have_means_and_paired_differences_by_query(tmp_path):
    names = [("red", "red"), ("red", "NOISE"), ("blue", "blue"), ("blue", "red")]
    images = [{"id": f"web/image/{number}.jpg", "query": query} for number, (query, _) in enumerate(names)]
    rows = [f"{image['id']},{query},{true},url" for image, (query, true) in zip(images, names, strict=True)]
    (tmp_path / "manifest.csv").write_text("path,query,true_label,source\n" + "\n".join(rows) + "\n")
    for seed in range(2):
        write_run(tmp_path, "lite0", seed, 2, images)
        write_run(tmp_path, "lite2", seed, 3, images[:3])
        write_run(tmp_path, "both", seed, 4, [images[0], images[2]])
    command = [sys.executable, FOLDER / "table.py", tmp_path, tmp_path]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout  # fmt: skip
    accuracy, gain, precision, gained, by_query = (part for part in shown.split("\n\n") if part.startswith("|"))
    assert "\n| 2 | 50.0 (" in accuracy
    assert "\n| 2 | +50.0 (" in gain
    assert "\n| 2 | 50.0 (50.0 to 50.0) | 75.0 (75.0 to 75.0) | 100.0 (100.0 to 100.0) |" in precision
    assert "\n| 2 | +50.0 (+50.0 to +50.0) | +25.0 (+25.0 to +25.0) |" in gained
    assert max(map(len, shown.splitlines())) <= 100  # columns of a screen
    assert "| blue | 50.0 | 100.0 | 100.0 |" in by_query
    assert "| red | 50.0 | 50.0 | 100.0 |" in by_query


def test_the_score_of_a_query_is_the_mean_of_the_teachers():
    mean_of = runpy.run_path(str(FOLDER / "mean.py"))["mean_of"]
    assert json.loads(mean_of(LINES)) == {"id": "a.jpg", "query": "red", "query_score": 0.5, "confidence": 0.9}
    with pytest.raises(SystemExit, match=r"expected the same record in every file, got a\.jpg, b\.jpg"):
        mean_of([LINES[0], LINES[1].replace("a.jpg", "b.jpg")])


def test_weights_get_other_names_in_the_same_order_and_every_shape_is_compared():
    renamed = runpy.run_path(str(FOLDER / "lite2.py"))["renamed"]
    wanted = {"conv.weight": torch.zeros(2, 3), "bn.weight": torch.zeros(2)}
    weights = {"_conv.weight": torch.ones(2, 3), "_bn.weight": torch.ones(2)}
    assert {name: float(tensor.sum()) for name, tensor in renamed(weights, wanted).items()} == {
        "conv.weight": 6, "bn.weight": 2,
    }  # fmt: skip
    with pytest.raises(SystemExit, match=r"_bn\.weight is \(3,\), and bn\.weight is \(2,\): another network"):
        renamed({**weights, "_bn.weight": torch.ones(3)}, wanted)
