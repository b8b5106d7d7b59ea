"""The mean over splits."""

import json

import pytest

from omnicli.errors import InputError
from omnicli.stages.eval.splits import mean_of_splits, read_summary


def write(folder, number, *, view="25 segments", **metrics):
    path = folder / f"split{number}.jsonl"
    summary = {"top1_acc": 0.9, "top5_acc": 0.99, "mean_class_acc": 0.8, "num_videos": 10, "view": view} | metrics
    path.write_text(json.dumps({"id": "a", "confidence": 0.5}) + "\n" + json.dumps(summary) + "\n\n")
    return path


def test_each_split_counts_once(tmp_path):
    paths = [
        write(tmp_path, i, top1_acc=acc, num_videos=n) for i, (acc, n) in enumerate([(0.9, 10), (0.6, 1000), (0.6, 5)])
    ]
    result = mean_of_splits(paths)
    assert result["top1_acc"] == pytest.approx(0.7), "not weighted by the videos"
    assert (result["num_videos"], result["view"]) == (1015, "25 segments")
    assert [split["top1_acc"] for split in result["splits"]] == [0.9, 0.6, 0.6]
    assert "mean_ap" not in result


def test_tests_that_differ_are_not_averaged(tmp_path):
    first = write(tmp_path, 0)
    with pytest.raises(InputError, match=r"split1\.jsonl: tested with 1 segment, but .*split0\.jsonl with 25 segments"):
        mean_of_splits([first, write(tmp_path, 1, view="1 segment")])
    with pytest.raises(InputError, match=r"split2\.jsonl: has other metrics than"):
        mean_of_splits([first, write(tmp_path, 2, mean_ap=0.4)])


@pytest.mark.parametrize("text", ["", "x", '{"id": "a", "top_scores": []}\n', "[1]"])
def test_other_files_are_named(tmp_path, text):
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"other\.jsonl: its last line is not a summary of omni eval"):
        read_summary(path)
