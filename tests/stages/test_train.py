"""Joint training on real files of the made world, at 32 pixels."""

import errno
import math
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from omnicli.data.training_clips import read_feature, read_training_clip
from omnicli.errors import InputError, Interrupted, MediaError, OutputError, UsageError
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.media.source import open_media
from omnicli.models.checkpoint import load_any
from omnicli.models.factory import create_model
from omnicli.models.loading import load_model
from omnicli.motion.camera import make_recipe
from omnicli.motion.homography import STILL, Gaussian
from omnicli.stages.pack import PackOptions, pack_record
from omnicli.stages.train import train_student
from omnicli.streams.record import Record
from omnicli.streams.shards.reader import read_shard
from omnicli.streams.shards.writer import ShardWriter
from omnicli.training import examples as examples_module
from omnicli.training import inputs as inputs_module
from omnicli.training import validation as validation_module
from omnicli.training.batch_sampler import alternate_turns, with_ratio
from omnicli.training.context import TrainingContext
from omnicli.training.distributed import World
from omnicli.training.loop import TrainingDiverged
from omnicli.training.objective import Objective
from omnicli.training.recipe_fields import StudentRecipe
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.saved_state import state_path

SCRATCH = StudentRecipe(**vars(TEACHER_RECIPES["few-clips-scratch"]))
SCRATCH = replace(
    SCRATCH, model="tsn-resnet10t", num_segments=2, short_side=36, crop_size=32, epochs=2, batch_size=4,
    auxiliary_label="query", ratio=(2, 1, 1),
)  # fmt: skip
FROZEN = replace(SCRATCH, freeze="backbone", epochs=12)


@pytest.fixture(scope="module")
def target(world: Path) -> list[Record]:
    """Two clips of each class."""
    records = []
    for folder in sorted((world / "target" / "train").iterdir()):
        for path in sorted(folder.iterdir())[:2]:
            row = {"id": path.relative_to(world).as_posix(), "path": str(path), "class_name": folder.name}
            records.append(Record(row, origin="t.jsonl", line=len(records) + 1, position=len(records)))
    return records


def crawled(world: Path, kind: str, suffix: str, per_query: int) -> list[Record]:
    records = []
    for folder in sorted((world / "web" / kind).iterdir()):
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == suffix and path.stat().st_size > 999]
        for path in paths[:per_query]:
            row = {"id": path.relative_to(world).as_posix(), "path": str(path), "query": folder.name}
            records.append(Record(row, origin=f"{kind}.jsonl", line=len(records) + 1, position=len(records)))
    return records


@pytest.fixture(scope="module")
def web(world: Path) -> dict[str, list[Record]]:
    """Images and videos, as a crawl brings them."""
    return {"gg": crawled(world, "image", ".jpg", 3), "ig": crawled(world, "video", ".mp4", 1)}


def train(
    target, web, out, recipe=SCRATCH, *, should_stop=lambda: False, compile_model=False, augmentations=(), **options
):
    """Metric records without seconds, and who left."""
    left: list[tuple[str, str]] = []
    setting = TrainingContext(
        workers=2, should_stop=should_stop, compile=compile_model, allow_overlap=True, augmentations=augmentations
    )
    lines = train_student(
        target, web, recipe=recipe, out=out, context=setting,
        on_drop=lambda record, reason: left.append((record["id"], reason)), **options,
    )  # fmt: skip
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines], left


def stop_after(num_asked):
    asked = iter(range(1, 100_000))
    return lambda: next(asked) >= num_asked


def test_four_clips_are_learnt_by_heart_beside_web_images(target, web, tmp_path):
    recipe = replace(SCRATCH, epochs=20, batch_size=4, min_area=0.9, dropout=0.0, ratio=(1, 1))
    lines, _ = train(target[::2], {"gg": web["gg"][::3]}, tmp_path / "a.pth", recipe)
    own = [line for line in lines if line["source"] == "target"]
    assert len(own) == 20
    assert max(line["train_top1_acc"] for line in own[-5:]) == 1.0
    assert own[-1]["train_loss"] < own[0]["train_loss"] / 2


def test_each_epoch_has_a_line_for_every_source_and_the_ratio_is_kept(target, web, tmp_path):
    lines, left = train(target, web, tmp_path / "a.pth", val=target[:2])
    assert [(line["epoch"], line["source"]) for line in lines] == [
        (epoch, source) for epoch in (0, 1) for source in ("target", "gg", "ig")
    ]
    assert [line["num_clips"] for line in lines[:3]] == [8, 4, 4]
    assert all(math.isfinite(line["train_loss"]) and 0 <= line["train_top1_acc"] <= 1 for line in lines)
    assert {"lr", "val_top1_acc"} <= set(lines[0])
    assert "lr" not in lines[1]
    assert left == []
    # lr 0.02 at 8 samples, and here a step has 4 + 2 + 2
    assert lines[0]["lr"] == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("recipe", "asked"),
    [(SCRATCH, 9), (SCRATCH, 11), (replace(SCRATCH, ema=0.9, mixup="cross", mixup_alpha=0.5), 11),
     (replace(SCRATCH, alternate=True, ratio=(1, 2, 1)), 14), (FROZEN, 40)],
    ids=["first step", "middle", "ema and cross-mixup", "alternate", "frozen"],
)  # fmt: skip
def test_interrupted_anywhere_it_ends_in_the_same_bytes(target, web, tmp_path, recipe, asked):
    expected, _ = train(target, web, tmp_path / "whole.pth", recipe, val=target[:1])
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, web, out, recipe, val=target[:1], should_stop=stop_after(asked))
    assert not out.exists()
    lines, _ = train(target, web, out, recipe, val=target[:1])
    assert lines == expected
    assert out.read_bytes() == (tmp_path / "whole.pth").read_bytes()
    assert not state_path(out).exists()


def test_killed_while_saving_the_state_before_stays_and_leads_to_the_same_bytes(target, web, tmp_path, monkeypatch):
    train(target, web, tmp_path / "whole.pth")
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, web, out, should_stop=stop_after(9))
    before = state_path(out).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(target, web, out)
    assert state_path(out).read_bytes() == before
    train(target, web, out)
    assert out.read_bytes() == (tmp_path / "whole.pth").read_bytes()


def test_a_full_disk_says_so_and_costs_nothing_that_was_saved(target, web, tmp_path, monkeypatch):
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, web, out, should_stop=stop_after(9))
    before = state_path(out).read_bytes()
    with monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(full))
        with pytest.raises(OutputError, match=r"cannot write the checkpoint \(No space left on device\)"):
            train(target, web, out)
    assert state_path(out).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.pth.state"]


def test_alternating_updates_follow_the_released_order(target, web, tmp_path, monkeypatch):
    taken = []
    whole = Objective.parts

    def noted(self, batch, *args):
        taken.append([(part.source, len(part.ids)) for part in batch.parts])
        return whole(self, batch, *args)

    monkeypatch.setattr(Objective, "parts", noted)
    recipe = replace(SCRATCH, alternate=True, batch_size=2, auxiliary_batch_sizes=(5, 3), ratio=(2, 1, 2))
    train(target, web, tmp_path / "a.pth", recipe)
    names = ["target", "gg", "ig"]
    turns = [turn for epoch in (0, 1) for turn in alternate_turns([4, 3, 2], [2, 1, 2], epoch)]
    sizes = {"target": [2] * 4, "gg": [5, 5, 2], "ig": [3, 1]}
    assert taken == [[(names[source], sizes[names[source]][batch])] for source, batch in turns]


def test_a_clip_that_vanishes_in_the_third_epoch_is_counted_and_leaves_a_gap(target, web, tmp_path, monkeypatch):
    whole = read_training_clip
    gone = {target[2]["id"], web["gg"][0]["id"]}

    def read(record, augmentation, *, epoch, draw):
        if epoch >= 2 and record["id"] in gone:
            raise MediaError("no such file")
        return whole(record, augmentation, epoch=epoch, draw=draw)

    monkeypatch.setattr(inputs_module, "read_training_clip", read)
    recipe = replace(SCRATCH, epochs=5, ratio=(1, 2, 1))
    lines, left = train(target, web, tmp_path / "a.pth", recipe)
    assert sorted(left) == sorted((name, "unreadable: no such file") for name in gone)
    assert [line["num_clips"] for line in lines if line["source"] == "target"] == [8, 8, 7, 7, 7]
    drawn = [line["num_clips"] for line in lines if line["source"] == "gg"]
    assert drawn[:2] == [16, 16]
    assert all(14 <= count <= 15 for count in drawn[2:])


@pytest.mark.parametrize(("recipe", "asked"), [(replace(SCRATCH, epochs=3), 11), (replace(FROZEN, epochs=4), 60)])
def test_ids_that_stand_twice_are_told_apart_where_media_are_unreadable(target, web, tmp_path, recipe, asked):
    """Duplicate ids are legal: a broken image takes neither a clip nor an image of the same name with it."""
    gone = [record.derive(id=target[row]["id"], path="nowhere.jpg") for row, record in enumerate(web["gg"][:3])]
    images = [*gone, *(record.derive(id=gone[row]["id"]) for row, record in enumerate(web["gg"][3:6]))]
    recipe = replace(recipe, ratio=(1, 1))
    lines, left = train(target, {"gg": images}, tmp_path / "a.pth", recipe)
    reasons = sorted((record["id"], "unreadable: no such file") for record in gone)
    assert sorted(left) == reasons
    # every example once an epoch, or, of six images, eight times in all: three of them leave a gap
    assert {line["num_clips"] for line in lines if line["source"] == "target"} == {len(target)}
    assert all(3 <= line["num_clips"] <= 5 for line in lines if line["source"] == "gg")

    setting = TrainingContext(workers=2, should_stop=stop_after(asked), allow_overlap=True)
    with pytest.raises(Interrupted):
        for _ in train_student(
            target, {"gg": images}, recipe=recipe, out=tmp_path / "b.pth", context=setting,
            on_drop=lambda record, reason: None,
        ):  # fmt: skip
            pass
    assert state_path(tmp_path / "b.pth").exists()
    again, left = train(target, {"gg": images}, tmp_path / "b.pth", recipe)
    assert (again, sorted(left)) == (lines, reasons)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_media_that_vanish_on_the_way_keep_their_place_when_the_training_is_taken_up(target, web, tmp_path):
    """Interrupted after the files are gone, or not at all: the same bytes, and each loss told once a run."""
    gone = [tmp_path / "media" / name for name in ("clip.mp4", "image.jpg")]
    gone[0].parent.mkdir()
    own = [target[0].derive(path=str(gone[0])), *target[1:4], target[4].derive(path="nowhere.mp4"), *target[5:]]
    images = [web["gg"][0].derive(path=str(gone[1])), *web["gg"][1:3]]
    recipe = replace(SCRATCH, epochs=3, ratio=(2, 1))

    def until_the_end(out, should_stop=lambda: False):
        left = []
        for line in train_student(
            own, {"gg": images}, recipe=recipe, out=out,
            context=TrainingContext(workers=2, should_stop=should_stop, allow_overlap=True),
            on_drop=lambda record, reason: left.append((record["id"], reason)),
        ):  # fmt: skip
            if line["epoch"] == 1:
                for path in gone:
                    path.unlink(missing_ok=True)
        return sorted(left)

    def put_back():
        for path, record in zip(gone, (target[0], web["gg"][0]), strict=True):
            path.write_bytes(Path(record["path"]).read_bytes())

    put_back()
    lost = until_the_end(tmp_path / "whole.pth")
    assert lost == sorted((record["id"], "unreadable: no such file") for record in (target[0], target[4], web["gg"][0]))
    put_back()
    asked = iter(range(100))
    with pytest.raises(Interrupted):
        until_the_end(tmp_path / "a.pth", lambda: not gone[0].exists() and next(asked) >= 1)
    assert until_the_end(tmp_path / "a.pth") == lost
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "whole.pth").read_bytes()


@dataclass(frozen=True)
class Told(World):
    """The first rank of several: the others can open all of their media, and read what is given here."""

    others: str | None = None

    def gather(self, item):
        theirs = [""] if isinstance(item, list) else self.others or item
        return [item, *[theirs] * (self.size - 1)]


def test_a_rank_without_data_or_with_other_data_is_refused_before_the_first_step(target, tmp_path):
    gone = [target[0].derive(path="nowhere.mp4"), *target[1:]]  # 8, one of which nobody can read
    for world, says in (
        (Told(size=8), "7 target records for 8 processes: some would have none; start fewer"),
        (Told(size=8, others="digest"), "process 1 read other records than process 0"),
    ):
        setting = TrainingContext(workers=1, world=world)
        recipe = replace(SCRATCH, ratio=())
        with pytest.raises(UsageError, match=says):
            list(train_student(gone, {}, recipe=recipe, out=tmp_path / "a.pth", context=setting, on_drop=print))
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_names_step_source_and_records_and_leaves_the_checkpoint(
    target, web, tmp_path, monkeypatch
):
    out = tmp_path / "a.pth"
    out.write_bytes(b"an earlier student")
    whole = inputs_module.ClipInputs.to_device
    monkeypatch.setattr(
        inputs_module.ClipInputs,
        "to_device",
        lambda self, part: whole(self, part) * (math.nan if part.source == "ig" else 1.0),
    )
    with pytest.raises(TrainingDiverged, match=r"the loss of ig is nan at epoch 1, step 1, records web/video/.*\.mp4"):
        train(target, web, out)
    assert out.read_bytes() == b"an earlier student"


def test_other_options_do_not_take_up_an_unfinished_training(target, web, tmp_path):
    out = tmp_path / "a.pth"
    with pytest.raises(Interrupted):
        train(target, web, out, should_stop=stop_after(9))
    with pytest.raises(UsageError, match=r"ratio = \(2, 1, 1\), now \(1, 1, 1\)"):
        train(target, web, out, replace(SCRATCH, ratio=(1, 1, 1)))
    with pytest.raises(UsageError, match="had data"):
        train(target, {**web, "gg": web["gg"][1:]}, out)
    with pytest.raises(UsageError, match="had other classes or labels for these records"):
        train(target, web, out, classes=sorted({record["class_name"] for record in target}, reverse=True))
    with pytest.raises(UsageError, match="or other ones of them in --target, --val or --auxiliary"):
        train(target[:-1], web, out, val=target[-1:])  # the same records in the same order


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda t, w: ([], w), InputError, "no target records"),
        (lambda t, w: (t, {**w, "gg": [w["gg"][0].derive(query="x")]}), InputError, "gg: none of its queries"),
        (lambda t, w: (t, {"gg": w["gg"]}), UsageError, "--ratio 2:1:1: expected 2 numbers"),
        (lambda t, w: ([t[0].derive(label=9), *t[1:]], w), InputError, "t.jsonl:1"),
    ],
)
def test_sources_that_cannot_be_learnt_stop_before_the_first_step(target, web, tmp_path, change, error, says):
    with pytest.raises(error, match=says):
        target, web = change(target, web)
        train(target, web, tmp_path / "a.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [["ig"], []])
def test_a_source_of_which_nothing_was_kept_is_left_out_by_name(target, web, tmp_path, kept):
    recipe = replace(SCRATCH, epochs=1, ratio=(2, 1, 1), mixup="cross", mixup_alpha=0.2)
    empty = []
    sources = {name: records if name in kept else [] for name, records in web.items()}
    train(target, sources, tmp_path / "a.pth", recipe, on_empty=empty.append)
    assert empty == [name for name in web if name not in kept]
    alone = replace(recipe, ratio=(2, 1)) if kept else replace(recipe, ratio=(1,), mixup="none", mixup_alpha=0.0)
    train(target, {name: web[name] for name in kept}, tmp_path / "b.pth", alone)
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_initial_weights_where_the_best_epoch_would_be_saved_are_refused(target, web, tmp_path):
    recipe = replace(SCRATCH, init=str(tmp_path / "a.best.pth"))
    with pytest.raises(UsageError, match="the best epoch on --val is saved there"):
        train(target, web, tmp_path / "a.pth", recipe, val=target[:1])


def test_the_default_ratio_of_the_others_stays_if_a_source_is_empty(target, web, tmp_path):
    recipe = replace(SCRATCH, epochs=1, ratio=())  # 2:1:1 of two sources
    lines, _ = train(target, {**web, "gg": []}, tmp_path / "a.pth", recipe)
    assert {line["source"]: line["num_clips"] for line in lines} == {"target": 8, "ig": 4}


def test_labels_of_web_records_are_checked_before_the_first_step(target, web, tmp_path):
    believed = [record.derive(pseudo_label=number % 4) for number, record in enumerate(web["gg"])]
    believed[7] = believed[7].derive(pseudo_label=4)
    recipe = replace(SCRATCH, auxiliary_label="pseudo_label", ratio=(1, 1))
    with pytest.raises(InputError, match=r"image.jsonl:8: pseudo_label 4 is outside \[0, 4\)"):
        train(target, {"gg": believed}, tmp_path / "a.pth", recipe)
    other_order = [record.derive(pseudo_label=0, pseudo_class="spinning_fan") for record in web["gg"]]
    with pytest.raises(InputError, match="its classes are in another order"):
        train(target, {"gg": other_order}, tmp_path / "a.pth", recipe)


def test_averaged_weights_are_measured_and_kept(target, web, tmp_path):
    recipe = replace(SCRATCH, epochs=1, dropout=0.0)
    train(target, web, tmp_path / "last.pth", recipe)
    train(target, web, tmp_path / "mean.pth", replace(recipe, ema=1.0 - 1e-9), val=target[:4])
    name = "fc.weight"
    first = create_model("tsn-resnet10t", num_classes=4).state_dict()[name]
    last, mean = (load_any(tmp_path / file).state_dict[name] for file in ("last.pth", "mean.pth"))
    assert 0 < (mean - first).norm() < (last - first).norm()  # the average began after the first of two steps
    best = load_any(tmp_path / "mean.best.pth").state_dict[name]
    assert torch.equal(best, mean)


@pytest.mark.filterwarnings("ignore:Guards may run slower:RuntimeWarning")  # Python 3.13.0
def test_a_translated_model_learns_the_same_under_the_same_names(target, web, tmp_path, monkeypatch):
    whole = torch.nn.Module.compile
    calls = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: calls.append(self) or whole(self, backend="eager"))
    recipe = replace(SCRATCH, epochs=1)
    train(target[:4], web, tmp_path / "a.pth", recipe)
    assert calls == []
    train(target[:4], web, tmp_path / "b.pth", recipe, compile_model=True)
    assert len(calls) == 1
    plain, translated = (load_any(tmp_path / name).state_dict for name in ("a.pth", "b.pth"))
    assert plain.keys() == translated.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(translated[name], tensor, atol=1e-4, rtol=1e-3)


def test_the_student_is_a_checkpoint_like_a_teachers(target, web, tmp_path):
    lines, _ = train(target, web, tmp_path / "a.pth")
    meta = load_any(tmp_path / "a.pth").meta
    assert meta["metrics"] == lines[-3]
    assert meta["provenance"]["sources"] == ["gg", "ig"]
    teacher = load_model(tmp_path / "a.pth")
    scored = score_records(target[:1], models=[teacher], views=ViewOptions(), batch_size=2, on_drop=lambda *_: None)
    assert next(iter(scored))[1].sum() == pytest.approx(1)


def test_a_student_gets_a_temperature_from_target_clips_that_it_never_learns_from(target, web, tmp_path, monkeypatch):
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.5)
    recipe = replace(SCRATCH, epochs=1)
    lines, _ = train(target, web, tmp_path / "a.pth", recipe, min_held_out=3)
    assert 0.5 <= load_any(tmp_path / "a.pth").meta["temperature"] <= 5.0
    assert load_model(tmp_path / "a.pth").temperature == load_any(tmp_path / "a.pth").meta["temperature"]
    assert lines[0]["num_clips"] == len(target) // 2
    lines, _ = train(target, web, tmp_path / "b.pth", recipe, min_held_out=3, calibrate=False)
    assert load_any(tmp_path / "b.pth").meta["temperature"] is None
    assert lines[0]["num_clips"] == len(target)
    train(target, web, tmp_path / "c.pth", replace(recipe, multi_label=True), min_held_out=3)
    assert load_any(tmp_path / "c.pth").meta["temperature"] is None  # a sigmoid each


def test_several_queries_are_all_learnt_one_of_them_at_a_time(target, web, tmp_path, monkeypatch):
    seen: Counter[int] = Counter()
    whole = Objective.parts

    def noted(self, batch, *args):
        seen.update(label for part in batch.parts if part.source == "gg" for label in part.labels.tolist())
        return whole(self, batch, *args)

    monkeypatch.setattr(Objective, "parts", noted)
    both = [record.derive(queries=["falling rain", "spinning fan"]) for record in web["gg"]]
    train(target, {"gg": both}, tmp_path / "a.pth", replace(FROZEN, ratio=(1, 1), epochs=12))
    assert set(seen) == {0, 2}
    assert min(seen.values()) > sum(seen.values()) / 4


def test_without_web_sources_it_is_training_on_the_target(target, tmp_path):
    lines, _ = train(target, {}, tmp_path / "a.pth", replace(SCRATCH, ratio=()))
    assert [line["source"] for line in lines] == ["target", "target"]
    assert with_ratio(StudentRecipe(), 0).ratio == (1,)


def test_several_labels_give_a_student_of_sigmoids(target, web, tmp_path):
    names = sorted({record["class_name"] for record in target})
    several = [record.derive(class_name=[record["class_name"], names[0]]) for record in target]
    recipe = replace(SCRATCH, multi_label=True, ratio=(1, 1), epochs=1)
    lines, _ = train(several, {"gg": web["gg"]}, tmp_path / "a.pth", recipe, val=several[:3])
    assert 0 < lines[0]["val_mean_ap"] <= 1
    teacher = load_model(tmp_path / "a.pth")
    assert teacher.spec.multi_label
    scored = score_records(target[:1], models=[teacher], views=ViewOptions(), batch_size=2, on_drop=lambda *_: None)
    scores = next(iter(scored))[1]
    assert ((scores > 0) & (scores < 1)).all()
    assert scores.sum() != pytest.approx(1)


def test_every_kind_of_media_is_learnt_from_in_one_run(target, web, world, tmp_path):
    """Images with and without a motion, videos, pieces, segmented videos, folders of frames, packed rows."""
    untrimmed = next((world / "web" / "untrimmed").rglob("*.mp4"))
    video = web["ig"][0]
    frames = tmp_path / "frames"
    frames.mkdir()
    with open_media(video) as source:
        for index, image in enumerate(source.read(range(5))):
            cv2.imwrite(str(frames / f"img_{index:05d}.png"), image)
    packed = ShardWriter(tmp_path / "packed", stage="pack", kind="frames", provenance={})
    row = packed.add(pack_record(video.derive(id="packed"), PackOptions(short_side=36)))
    packed.close()
    motion = Gaussian(STILL + 1e-4, np.diag(np.full(8, 1e-6)))
    recipe_of_motion = make_recipe("perspective-agnostic", motion, seed=0)
    images = [record.derive(inflation=recipe_of_motion) for record in web["gg"][:2]]
    mixed = [
        *images, *web["gg"][2:4], video, row, video.derive(id="piece", start_sec=0.2, end_sec=0.9),
        video.derive(id="frames", path=str(frames), media="frames"),
    ]  # fmt: skip
    segmented = video.derive(id="seg", path=str(untrimmed), positive_sec=[0.0], negative_sec=[1.0, 2.0])
    names = sorted({record["class_name"] for record in target})
    for recipe in (
        replace(SCRATCH, num_segments=3, mixup="cross", mixup_alpha=0.5, epochs=1),
        replace(SCRATCH, model="r3d-r18", num_segments=None, num_frames=2, frame_interval=2, epochs=1),
    ):
        sources = {"mixed": mixed, "more": [segmented] if recipe.num_segments else [video]}
        lines, left = train(target, sources, tmp_path / "a.pth", recipe, classes=names)
        assert left == []
        assert [line["num_clips"] for line in lines] == [8, 4, 4]
    with pytest.raises(InputError, match="positive and negative frames are for 2D models"):
        train(target, {"mixed": mixed, "more": [segmented]}, tmp_path / "b.pth", recipe, classes=names)
    with pytest.raises(UsageError, match="--snippets 1:3: 4 snippets, and tsn-resnet10t takes 2"):
        train(target, web, tmp_path / "b.pth", replace(SCRATCH, snippets=(1, 3)))


@pytest.fixture
def shards(tmp_path):
    """Features of 60 target and 200 web records in three clusters, some web labels wrong."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 512)) * 0.3
    made = {}
    for name, count in (("t", 60), ("w", 200)):
        writer = ShardWriter(tmp_path / name, stage="features", kind="features", provenance={})
        for row in range(count):
            label = row % 3
            features = centres[label] + rng.normal(size=(2, 512)) * 0.5
            said = (label + (name == "w" and row % 10 == 0)) % 3
            record = Record({"id": f"{name}{row}", "class_name": "abc"[label], "pseudo_label": said})
            record.arrays = {"features": features.astype(np.float16), "times": np.arange(2.0)}
            writer.add(record)
        writer.close()
        made[name] = list(read_shard(str(tmp_path / name / "00000.h5")))
    return made


def test_on_ready_features_it_is_logistic_regression_as_scikit_learn_has_it(shards, tmp_path, monkeypatch):
    """IG-65M's fc-only: no media, no backbone; the classifier is the L2 solution on the same features."""
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(validation_module, "predict_records", lambda *a, **k: iter(()))
    recipe = replace(
        FROZEN, model="tsn-resnet18", dropout=0.0, epochs=500, batch_size=60, ratio=(1, 1), lr=0.5,
        reference_batch_size=0, weight_decay=1e-2, auxiliary_label="pseudo_label",
    )  # fmt: skip
    lines, left = train(shards["t"], {"w": shards["w"][:60]}, tmp_path / "a.pth", recipe, val=shards["t"][:9])
    rows = shards["t"] + shards["w"][:60]
    features = np.stack([read_feature(row, 512) for row in rows])
    labels = np.array([row["pseudo_label"] for row in rows])
    with_bias = np.hstack([features, np.ones((len(rows), 1), np.float32)])  # the bias decays too
    oracle = LogisticRegression(C=1 / (1e-2 * len(rows)), fit_intercept=False, tol=1e-8, max_iter=5000)
    theirs = oracle.fit(with_bias, labels).decision_function(with_bias)
    state = load_any(tmp_path / "a.pth").state_dict
    ours = features @ state["fc.weight"].numpy().T + state["fc.bias"].numpy()
    assert np.abs((ours - ours.mean(1, keepdims=True)) - (theirs - theirs.mean(1, keepdims=True))).max() < 1e-2
    assert lines[-2]["val_top1_acc"] > 0.8
    assert left == []


def test_augmentations_that_ready_features_do_not_have_are_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="--flip has no effect on rows of features"):
        train(shards["t"], {}, tmp_path / "a.pth", replace(FROZEN, ratio=()), augmentations=("--flip",))


def test_features_cannot_train_a_backbone_nor_another_one(shards, world, tmp_path):
    with pytest.raises(InputError, match=r"00000.h5:1: features, from which only a classifier learns"):
        train(shards["t"], {}, tmp_path / "a.pth", replace(SCRATCH, ratio=()))
    weights = tmp_path / "w.safetensors"
    from safetensors.torch import save_file

    backbone = create_model("tsn-resnet18", num_classes=3).backbone
    save_file({name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}, weights)
    recipe = replace(FROZEN, model="tsn-resnet18", init=str(weights), ratio=())
    with pytest.raises(InputError, match="features by ImageNet, and the model is tsn-resnet18"):
        train(shards["t"], {}, tmp_path / "a.pth", recipe)
