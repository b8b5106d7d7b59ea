"""Training a teacher on real files of the made world, at 32 pixels."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnicli.data.overlap import Identity
from omnicli.data.trained_on import TrainedOn
from omnicli.data.training_clips import read_training_clip
from omnicli.errors import InputError, Interrupted, MediaError, OutputError, UsageError
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.models.checkpoint import load_any
from omnicli.models.factory import create_model
from omnicli.models.loading import load_model
from omnicli.stages.teacher_train import train_teacher
from omnicli.streams.record import Record
from omnicli.training import examples as examples_module
from omnicli.training import inputs as inputs_module
from omnicli.training.context import TrainingContext
from omnicli.training.loop import TrainingDiverged
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.saved_state import state_path

SCRATCH = replace(
    TEACHER_RECIPES["few-clips-scratch"], model="tsn-resnet10t", num_segments=2, short_side=36, crop_size=32,
    epochs=2, batch_size=3,
)  # fmt: skip
FROZEN = replace(SCRATCH, freeze="backbone", epochs=12)
PROBED = replace(SCRATCH, freeze="batch-norm", probe_epochs=2)


@pytest.fixture(scope="module")
def target(world: Path) -> list[Record]:
    """Two clips of each class."""
    records = []
    for folder in sorted((world / "target" / "train").iterdir()):
        for path in sorted(folder.iterdir())[:2]:
            name = path.relative_to(world).as_posix()
            row = {"id": name, "path": str(path), "class_name": folder.name}
            records.append(Record(row, origin="t.jsonl", line=len(records) + 1, position=len(records)))
    return records


def train(records, out, recipe=SCRATCH, *, should_stop=lambda: False, **options):
    """Metric records without seconds, and who left."""
    left: list[tuple[str, str]] = []
    lines = train_teacher(
        records, recipe=recipe, out=out,
        context=TrainingContext(workers=2, should_stop=should_stop, allow_overlap=True),
        on_drop=lambda record, reason: left.append((record["id"], reason)), **options,
    )  # fmt: skip
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines], left


def stop_after(num_asked):
    asked = iter(range(1, 100_000))
    return lambda: next(asked) >= num_asked


def test_four_clips_are_learnt_by_heart_in_20_steps(target, tmp_path):
    recipe = replace(SCRATCH, epochs=20, batch_size=4, min_area=0.9, dropout=0.0)
    lines, _ = train(target[::2], tmp_path / "a.pth", recipe)
    assert len(lines) == 20
    assert max(line["train_top1_acc"] for line in lines[-5:]) == 1.0
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 2


@pytest.mark.parametrize("recipe", [SCRATCH, FROZEN, replace(SCRATCH, mixup_alpha=0.5)], ids=["all", "frozen", "mixup"])
def test_the_same_seed_gives_the_same_bytes_with_any_workers_and_another_seed_others(target, tmp_path, recipe):
    first, _ = train(target, tmp_path / "a.pth", recipe)
    again, _ = train(target, tmp_path / "b.pth", recipe)
    train(target, tmp_path / "c.pth", recipe, seed=1)
    assert first == again
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()
    weights = [load_any(tmp_path / name).state_dict["fc.weight"] for name in ("a.pth", "c.pth")]
    assert not torch.equal(*weights)


@pytest.mark.parametrize(
    ("recipe", "asked"),
    [(SCRATCH, 1), (SCRATCH, 9), (SCRATCH, 12), (SCRATCH, 13), (SCRATCH, 18), (FROZEN, 12), (FROZEN, 21), (FROZEN, 40),
     (PROBED, 15), (PROBED, 20), (PROBED, 34), (PROBED, 38)],
)  # fmt: skip
def test_interrupted_anywhere_it_ends_in_the_same_bytes(target, tmp_path, recipe, asked):
    expected, _ = train(target, tmp_path / "whole.pth", recipe, val=target[:2])
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, out, recipe, val=target[:2], should_stop=stop_after(asked))
    assert not out.exists()
    lines, _ = train(target, out, recipe, val=target[:2])
    assert lines == expected
    assert out.read_bytes() == (tmp_path / "whole.pth").read_bytes()
    assert not state_path(out).exists()


def test_views_that_are_not_kept_give_the_same_bytes(target, tmp_path, monkeypatch):
    train(target, tmp_path / "a.pth", FROZEN)
    monkeypatch.setattr(inputs_module, "MAX_CACHED_BYTES", 0)
    train(target, tmp_path / "b.pth", FROZEN)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_a_frozen_backbone_stays_and_each_view_is_read_once(target, tmp_path, monkeypatch):
    reads = []
    whole = read_training_clip
    monkeypatch.setattr(inputs_module, "read_training_clip", lambda *a, **k: reads.append(k["epoch"]) or whole(*a, **k))
    train(target, tmp_path / "a.pth", FROZEN)
    assert sorted(reads) == sorted(list(range(inputs_module.NUM_FROZEN_VIEWS)) * len(target))
    before = create_model("tsn-resnet10t", num_classes=4).state_dict()
    after = load_any(tmp_path / "a.pth").state_dict
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_hashtags_are_the_labels_of_a_target_one_drawn_per_visit(target, tmp_path, monkeypatch):
    """IG-65M: the videos of a class bring its hashtag and one that all share; half of their visits learn each."""
    tagged = [
        Record({"id": one["id"], "path": one["path"], "queries": [one["class_name"], "fun"]}, origin="t", line=1)
        for one in target
    ]
    tagged.append(Record({"id": "x", "path": target[0]["path"], "query": "sunset"}, origin="t", line=9))
    seen = []
    real = inputs_module.ClipInputs._with_one_class
    monkeypatch.setattr(inputs_module.ClipInputs, "_with_one_class", lambda *a: seen.append(one := real(*a)) or one)
    recipe = replace(SCRATCH, target_label="query", epochs=10)
    classes = [*sorted({one["class_name"] for one in target}), "fun"]
    lines, left = train(tagged, tmp_path / "a.pth", recipe, classes=classes)
    assert left == [("x", "no class")]
    assert len(lines) == 10
    labels = [(one.id, classes[one.label]) for one in seen]
    assert set(labels) == {(one["id"], name) for one in target for name in (one["class_name"], "fun")}
    assert 0.3 < sum(name == "fun" for _, name in labels) / len(labels) < 0.7
    assert all(not one.others for one in seen)


def test_a_target_is_drawn_by_weight_for_a_length_in_clips(target, tmp_path):
    weighted = [one.derive(weight=float(row)) for row, one in enumerate(target)]
    lines, _ = train(weighted, tmp_path / "a.pth", replace(SCRATCH, train_clips=20, milestones=(1,)))
    assert sum(line["num_clips"] for line in lines) == 21
    assert [line["num_clips"] for line in lines] == [7, 7, 7]


def test_what_the_weights_of_init_were_trained_on_is_remembered_too(target, tmp_path):
    train(target[::2], tmp_path / "a.pth")
    others = target[1::2]
    train(others, tmp_path / "b.pth", replace(SCRATCH, init=str(tmp_path / "a.pth"), freeze="batch-norm"))
    first, second = (TrainedOn.from_meta(load_any(tmp_path / name).meta) for name in ("a.pth", "b.pth"))
    identity = Identity()
    assert [bool(first.why_known(record, identity)) for record in target] == [True, False] * (len(target) // 2)
    assert all(second.why_known(record, identity) == "same content" for record in target)


def test_the_checkpoint_says_how_it_was_made(target, tmp_path):
    lines, _ = train(target, tmp_path / "a.pth", val=target[:3])
    meta = load_any(tmp_path / "a.pth").meta
    assert meta["model"]["classes"] == sorted({record["class_name"] for record in target})
    assert meta["metrics"] == lines[-1]
    assert meta["provenance"]["lr"] == SCRATCH.lr
    assert len(meta["provenance"]["data"]) == 64
    assert meta["temperature"] is None


def test_validation_is_measured_each_epoch_and_the_best_one_kept(target, tmp_path):
    lines, _ = train(target, tmp_path / "a.pth", replace(SCRATCH, epochs=3), val=target)
    best = load_any(tmp_path / "a.best.pth").meta["metrics"]
    accuracies = [line["val_top1_acc"] for line in lines]
    assert best["epoch"] == int(np.argmax(accuracies))
    assert best["val_top1_acc"] == max(accuracies)
    assert {"val_top5_acc", "val_mean_class_acc", "train_loss", "train_top1_acc", "lr", "num_clips"} <= set(lines[0])


def test_media_that_cannot_be_opened_leave_before_the_first_step(target, tmp_path):
    (tmp_path / "empty.mp4").touch()
    shutil.copy(__file__, tmp_path / "page.mp4")
    bad = [
        Record({"id": name, "path": str(tmp_path / name), "class_name": "falling_rain"}, origin="t.jsonl", line=1)
        for name in ("empty.mp4", "page.mp4", "nowhere.mp4")
    ]
    lines, left = train([*bad, *target], tmp_path / "a.pth", val=[*target[:1], bad[0]])
    assert [name for name, _ in left] == ["empty.mp4", "page.mp4", "nowhere.mp4", "empty.mp4"]
    assert all(reason.startswith("unreadable: ") for _, reason in left)
    assert [line["num_clips"] for line in lines] == [len(target)] * 2


@pytest.mark.parametrize("recipe", [SCRATCH, FROZEN], ids=["all", "frozen"])
def test_a_clip_that_breaks_in_training_leaves_once_and_nobody_takes_its_place(target, tmp_path, monkeypatch, recipe):
    whole = read_training_clip

    def read(record, augmentation, *, epoch, draw):
        if epoch == 1 and record["id"] == target[2]["id"]:
            raise MediaError("decode error at 1.2 s")
        return whole(record, augmentation, epoch=epoch, draw=draw)

    monkeypatch.setattr(inputs_module, "read_training_clip", read)
    lines, left = train(target, tmp_path / "a.pth", replace(recipe, epochs=4))
    assert left == [(target[2]["id"], "unreadable: decode error at 1.2 s")]
    first = 7 if recipe is FROZEN else 8  # the views of a frozen backbone are computed before the first step
    assert [line["num_clips"] for line in lines] == [first, 7, 7, 7]


def test_clips_that_broke_before_an_interruption_are_told_again(target, tmp_path, monkeypatch):
    whole = read_training_clip

    def read(record, augmentation, *, epoch, draw):
        if record["id"] == target[2]["id"]:
            raise MediaError("decode error at 1.2 s")
        return whole(record, augmentation, epoch=epoch, draw=draw)

    monkeypatch.setattr(inputs_module, "read_training_clip", read)
    with pytest.raises(Interrupted):
        train(target, tmp_path / "a.pth", should_stop=stop_after(12))
    _, left = train(target, tmp_path / "a.pth")
    assert left == [(target[2]["id"], "unreadable: decode error at 1.2 s")]


def test_a_probe_teaches_the_classifier_and_leaves_the_backbone(target, tmp_path):
    recipe = replace(PROBED, probe_epochs=30, probe_lr=0.05, epochs=1, lr=1e-9)
    train(target, tmp_path / "a.pth", recipe)
    before = create_model("tsn-resnet10t", num_classes=4).state_dict()
    after = load_any(tmp_path / "a.pth").state_dict
    for name, tensor in before.items():
        if name.startswith("backbone."):
            torch.testing.assert_close(after[name], tensor, atol=1e-5, rtol=0)
    assert (after["fc.weight"] - before["fc.weight"]).abs().max() > 0.02


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda records: [], "no target records"),
        (lambda records: [records[0].derive(class_name=None), *records], "t.jsonl:1: no field 'class_name' or 'label'"),
        (lambda records: [records[0].derive(path="nowhere.mp4"), *records[2:]], "no readable clip of class"),
    ],
)
def test_a_target_that_cannot_be_learnt_stops_before_the_first_step(target, tmp_path, change, says):
    with pytest.raises(InputError, match=says):
        train(change(target), tmp_path / "a.pth")
    assert list(tmp_path.iterdir()) == []


def test_validation_records_of_other_classes_stop_before_the_first_step(target, tmp_path):
    with pytest.raises(InputError, match=r"t.jsonl:1: class 'swimming' is not among the 4 classes"):
        train(target, tmp_path / "a.pth", val=[target[0].derive(class_name="swimming")])


def test_a_classes_file_fixes_the_order_and_must_be_filled(target, tmp_path):
    names = sorted({record["class_name"] for record in target}, reverse=True)
    train(target, tmp_path / "a.pth", classes=names)
    assert load_any(tmp_path / "a.pth").meta["model"]["classes"] == names
    with pytest.raises(InputError, match="no readable clip of class 'swimming'"):
        train(target, tmp_path / "b.pth", classes=[*names, "swimming"])


def test_an_output_that_cannot_be_made_stops_before_anything_is_read(target, tmp_path):
    os.mkfifo(tmp_path / "fifo")  # as /dev/null is: no file to be replaced
    for name, says in (("fifo", "not a regular file"), ("nowhere/a.pth", "create it first")):
        with pytest.raises(OutputError, match=says):
            train(iter(()), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]


def test_a_loss_that_is_not_finite_leaves_no_checkpoint(target, tmp_path):
    with pytest.raises(TrainingDiverged, match=r"records .*\.mp4"):
        train(target, tmp_path / "a.pth", replace(SCRATCH, lr=1e30))
    assert not (tmp_path / "a.pth").exists()


def test_other_options_do_not_take_up_an_unfinished_training(target, tmp_path):
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, out, should_stop=stop_after(12))
    with pytest.raises(Exception, match=r"lr = 0.02, now 0.5"):
        train(target, out, replace(SCRATCH, lr=0.5))
    with pytest.raises(Exception, match="had data"):
        train(target[1:], out)
    train(target, out, replace(SCRATCH, lr=0.01), resume=False)
    assert out.exists()


def test_a_temperature_is_fitted_on_clips_that_are_not_trained_on(target, tmp_path, monkeypatch):
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.5)
    lines, _ = train(target, tmp_path / "a.pth", min_held_out=3)
    temperature = load_any(tmp_path / "a.pth").meta["temperature"]
    assert 0.5 <= temperature <= 5.0
    assert lines[0]["num_clips"] == len(target) // 2
    lines, _ = train(target, tmp_path / "b.pth", min_held_out=3, calibrate=False)
    assert load_any(tmp_path / "b.pth").meta["temperature"] is None
    assert lines[0]["num_clips"] == len(target)


CLIPS = replace(
    TEACHER_RECIPES["few-clips-scratch"], model="r3d-r18", num_frames=4, frame_interval=2, short_side=36, crop_size=32,
    epochs=2, batch_size=3,
)  # fmt: skip


@pytest.mark.parametrize("name", ["r3d-r18", "tsm-resnet18"])
def test_a_3d_model_and_a_tsm_learn_four_clips_by_heart(target, tmp_path, name):
    frames = {"num_segments": 4} if name.startswith("tsm-") else {"num_frames": 4, "frame_interval": 2}
    recipe = replace(SCRATCH, **{"num_segments": None, **frames})
    recipe = replace(recipe, model=name, epochs=20, batch_size=4, min_area=0.9, dropout=0.0)
    lines, _ = train(target[::2], tmp_path / "a.pth", recipe)
    assert max(line["train_top1_acc"] for line in lines[-5:]) == 1.0
    assert lines[-1]["train_loss"] < lines[0]["train_loss"] / 2


@pytest.mark.parametrize(
    "name",
    ["slowonly-r50", "ircsn-r50", "ipcsn-r50", "r2plus1d-r18", "r2d-r18", "i3d-r50", "i3d-nl-r50",
     "slowfast-r50", "slowfast-r50-8x8", "tsm-resnet50", "tsn-bninception",
     "tsn-torchvision.resnet18"],
)  # fmt: skip
def test_every_kind_of_model_takes_a_step_and_comes_back_as_a_teacher(target, tmp_path, name):
    frames = {} if name.startswith("ts") else {"num_frames": 8, "frame_interval": 1}
    recipe = replace(SCRATCH, model=name, num_segments=None, epochs=1, batch_size=2, **frames)
    val = target[2:3]
    lines, left = train(target[::2][:2], tmp_path / "a.pth", recipe, val=val, classes=sorted(
        {record["class_name"] for record in target[::2][:2]}))  # fmt: skip
    assert left == []
    assert np.isfinite(lines[0]["train_loss"])
    teacher = load_model(tmp_path / "a.pth")
    assert teacher.spec.name == name
    assert (teacher.spec.num_frames, teacher.spec.frame_interval) == (tuple(frames.values()) or (1, 1))
    scored = score_records(target[:1], models=[teacher], views=ViewOptions(num_clips=2), batch_size=2,
                           on_drop=lambda *drop: None)  # fmt: skip
    assert next(iter(scored))[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("recipe", [CLIPS, replace(CLIPS, freeze="backbone", epochs=12)], ids=["all", "frozen"])
def test_a_3d_training_interrupted_ends_in_the_same_bytes(target, tmp_path, recipe):
    whole, _ = train(target, tmp_path / "a.pth", recipe)
    with pytest.raises(Interrupted):
        train(target, tmp_path / "b.pth", recipe, should_stop=stop_after(13))
    again, _ = train(target, tmp_path / "b.pth", recipe)
    assert whole == again
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_an_image_for_a_3d_model_stops_before_the_first_step(target, world, tmp_path):
    path = next((world / "web" / "image").rglob("*.jpg"))
    image = target[0].derive(id="p", path=str(path))
    with pytest.raises(InputError, match=r"t\.jsonl:1: an image, and a 3D model learns from clips"):
        train([image, *target], tmp_path / "a.pth", CLIPS)
    train([image, *target], tmp_path / "b.pth", replace(SCRATCH, epochs=1))  # a 2D model takes it


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "tsn-resnet10t", "num_frames": 4}, "--num-frames.*takes segments"),
        ({"model": "r3d-r18", "num_segments": 3}, "--num-segments.*give --num-frames"),
        ({"model": "ircsn-r50", "num_segments": None, "init": "imagenet"}, "no 2D counterpart"),
        ({"model": "slowonly-r5", "num_segments": None}, "near: slowonly-r50"),
    ],
)
def test_options_that_a_model_has_no_use_for_are_refused(target, tmp_path, change, says):
    with pytest.raises(UsageError, match=says):
        train(target, tmp_path / "a.pth", replace(SCRATCH, **change))


def test_2d_weights_are_inflated_into_a_3d_model_and_r2d_into_r3d(target, tmp_path):
    frames = {"num_segments": None, "num_frames": 4, "frame_interval": 1, "epochs": 1}
    train(target, tmp_path / "r2d.pth", replace(SCRATCH, model="r2d-r18", **frames))
    flat = load_any(tmp_path / "r2d.pth").state_dict["backbone.layer1.0.conv1.weight"]
    frozen = replace(SCRATCH, model="r3d-r18", init=str(tmp_path / "r2d.pth"), freeze="backbone", **frames)
    train(target, tmp_path / "r3d.pth", frozen)
    deep = load_any(tmp_path / "r3d.pth").state_dict["backbone.layer1.0.conv1.weight"]
    assert deep.shape[2] == 3
    assert torch.allclose(deep.sum(dim=2), flat[:, :, 0], atol=1e-6)
