"""The whole way from a crawl to a tested student, as a user's shell runs it; one line for each arrow."""

import json

import pytest

PIPELINE = """
omni index --labels --classes $world/classes.txt $world/target/train > train.jsonl
omni index --labels --classes $world/classes.txt $world/target/val > val.jsonl
omni inflate --fit train.jsonl -o motion.json
omni index $world/web/image --source images > crawl.jsonl
omni dedup --checkpoint $teacher --target val.jsonl --workers $workers --rejects copies.jsonl crawl.jsonl \
    | omni filter --teacher $teacher --threshold 0.3 --workers $workers --rejects left.jsonl - \
    | omni inflate --motion motion.json - \
    | omni balance --power 0.2 - > aux.jsonl
omni train --target train.jsonl --auxiliary aux.jsonl --classes $world/classes.txt --model tsn-resnet10t \
    --init $teacher --freeze nothing --num-segments 2 --short-side 36 --crop-size 32 --epochs 2 --batch-size 8 \
    --lr 0.01 --lr-schedule constant --precision float32 --workers $workers -o student.pth > metrics.jsonl
omni eval --checkpoint student.pth --precision float32 --workers $workers val.jsonl > eval.jsonl
"""
OUTPUTS = ["train.jsonl", "motion.json", "copies.jsonl", "left.jsonl", "aux.jsonl", "eval.jsonl", "student.pth"]


def run(sh, world, teacher, folder, workers):
    folder.mkdir()
    settings = f"export world='{world}' teacher='{teacher}' workers={workers}\n"
    result = sh(settings + PIPELINE, cwd=folder, timeout=400)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def done(sh, world, teacher, tmp_path_factory):
    return run(sh, world, teacher, tmp_path_factory.mktemp("pipeline") / "done", 2)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_from_a_crawl_to_a_student_every_record_is_accounted_for(done, world):
    """What entered left by one door: as a copy, unreadable, rejected by the teacher, or into training."""
    crawl, copies, left, kept = (lines(done / f"{name}.jsonl") for name in ("crawl", "copies", "left", "aux"))
    assert len(crawl) == len(copies) + len(left) + len(kept)
    assert {line["id"] for line in crawl} == {line["id"] for line in copies + left + kept}
    assert any(line["reason"] == "duplicate" for line in copies)
    classes = sorted(folder.name for folder in (world / "target" / "train").iterdir())
    for line in kept:
        assert classes[line["pseudo_label"]] == line["pseudo_class"]
        assert line["inflation"]["mode"] == "perspective-agnostic"
        assert line["weight"] > 0
    assert sum(line["weight"] for line in kept) / len(kept) == pytest.approx(1)
    *judged, summary = lines(done / "eval.jsonl")
    assert len(judged) == summary["num_videos"] == len(lines(done / "val.jsonl"))
    assert {line["source"] for line in lines(done / "metrics.jsonl")} == {"target", "aux"}


@pytest.mark.slow
def test_run_again_with_other_workers_every_file_has_the_same_bytes(done, sh, world, teacher, tmp_path):
    """Neither the number of threads nor the timing of a pipe changes a byte, from the crawl to the weights."""
    again = run(sh, world, teacher, tmp_path / "again", 1)
    differing = [name for name in OUTPUTS if (done / name).read_bytes() != (again / name).read_bytes()]
    assert differing == []
