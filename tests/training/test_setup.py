"""What teachers and students have in common before the first step and after each epoch."""

import threading
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from omnicli.data.dataloader import Example
from omnicli.errors import InputError, Interrupted, UsageError
from omnicli.models.checkpoint import load_checkpoint
from omnicli.streams.record import Record
from omnicli.training import setup as learning
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.distributed import World
from omnicli.training.recipes import TEACHER_RECIPES
from omnicli.training.setup import augmentation, create_learner, hold_out, measure_epoch, prepare_training, readable
from omnicli.training.trainer import UnopenedMedia

RECIPE = replace(
    TEACHER_RECIPES["few-clips-scratch"], model="tsn-resnet10t", num_segments=4, short_side=40, crop_size=32,
    classifier_prior=10.0,
)  # fmt: skip
SETTING = TrainingContext(workers=2)


@dataclass(frozen=True)
class Threads(World):
    """Two ranks as two threads: what each gives to ``gather`` is there for both."""

    shelf: tuple = ()
    meeting: threading.Barrier | None = None

    def gather(self, item):
        self.shelf[self.rank].append(item)
        self.meeting.wait(10)
        return [found[-1] for found in self.shelf]


@pytest.fixture
def examples(world):
    paths = sorted((world / "target" / "val").rglob("*.mp4"))[:5]
    records = [Record({"id": path.stem, "path": str(path)}) for path in paths]
    records[3:3] = [Record({"id": "bad", "path": "nowhere.mp4"})]
    return [Example(record, 0) for record in records]


def test_what_cannot_be_opened_leaves_and_the_rest_stays_in_order(examples):
    left = []
    left_out = UnopenedMedia()

    def tell(record, why):
        left.append((record["id"], why))

    kept = list(readable(examples, True, SETTING, tell, left_out=left_out, name="val"))
    assert kept == examples[:3] + examples[4:]
    assert left == [("bad", "unreadable: no such file")]
    assert left_out.places == {"val": {3: "no such file"}}


def test_taken_up_again_the_same_ones_leave_whatever_can_be_opened_now(examples):
    """Else a file that comes or goes between two runs would give every step other clips."""
    left = []
    before = UnopenedMedia({"target": {1: "empty file"}}, is_known=True)
    kept = list(readable(examples, True, SETTING, lambda *drop: left.append(drop), left_out=before, name="target"))
    assert kept == [examples[0], *examples[2:]]
    assert left == [(examples[1].record, "unreadable: empty file")]


def test_ranks_share_the_opening_and_come_to_the_same_list(examples):
    shelf, meeting, found = ([], []), threading.Barrier(2), {}

    def check(rank):
        setting = replace(SETTING, world=Threads(rank, 2, shelf=shelf, meeting=meeting))
        found[rank] = list(readable(examples, True, setting, lambda *drop: None, left_out=UnopenedMedia(), name=""))

    threads = [threading.Thread(target=check, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found[0] == found[1] == examples[:3] + examples[4:]
    assert [len(reasons[0]) for reasons in shelf] == [3, 3]


def test_an_image_for_a_3d_model_and_a_wish_to_stop_are_errors(examples, world):
    image = next((world / "web" / "image").rglob("*.jpg"))
    fresh = {"left_out": UnopenedMedia(), "name": ""}
    with pytest.raises(InputError, match="a 3D model learns from clips"):
        list(readable([Example(Record({"id": "p", "path": str(image)}), 0)], False, SETTING, print, **fresh))
    with pytest.raises(Interrupted):
        list(readable(examples, True, replace(SETTING, should_stop=lambda: True), print, **fresh))


def test_the_recipe_says_what_the_model_eats_and_what_it_has_no_use_for():
    spec, model = create_learner(RECIPE, ["a", "b"], 0, SETTING, multi_label=True)
    assert (spec.num_segments, spec.short_side, spec.crop_size, spec.multi_label) == (4, 40, 32, True)
    look = augmentation(spec, RECIPE, seed=3, stage="s", root="/r")
    assert (look.num_segments, look.crop_size, look.min_area, look.seed, look.root) == (4, 32, 0.5, 3, "/r")
    assert model.frozen == "nothing"
    with pytest.raises(UsageError, match="--num-segments is for 2D models"):
        create_learner(replace(RECIPE, model="r3d-r18"), ["a"], 0, SETTING)
    with pytest.raises(UsageError, match="--num-frames and --frame-interval are for 3D models"):
        create_learner(replace(RECIPE, num_frames=4), ["a"], 0, SETTING)


def training_of(tmp_path, *, ema=0.0, **changes):
    recipe = replace(RECIPE, **changes)
    _, model = create_learner(recipe, ["a", "b"], 0, SETTING)
    rows = [Example(Record({"id": str(n)}), 0) for n in range(40)]
    plan = JointSampler([TrainingSource("target", rows, 8), TrainingSource("gg", rows, 8)], [1, 1], seed=1, stage="s")
    return prepare_training(model, recipe, plan, tmp_path / "a.pth", {}, SETTING, ema=ema)


def test_the_learning_rate_grows_with_all_samples_of_a_step_unless_it_was_given_for_them(tmp_path):
    assert training_of(tmp_path, lr=0.1, reference_batch_size=32).lr == pytest.approx(0.05)
    assert training_of(tmp_path, lr=0.1, reference_batch_size=0).lr == pytest.approx(0.1)


def test_the_classifiers_prior_fades_with_the_samples_of_an_epoch(tmp_path):
    training = training_of(tmp_path)
    assert training.steps_per_epoch == 5
    assert [group["weight_decay"] for group in training.optimizer.param_groups] == [1e-4, 1e-4 + 10 / 80]
    assert list(training.progress.tallies) == ["target", "gg"]


def test_the_result_is_the_model_or_its_average(tmp_path):
    plain, averaged = training_of(tmp_path), training_of(tmp_path, ema=0.9)
    assert plain.result is plain.model
    name = "fc.bias"
    for value in (1.0, 2.0):
        nn.init.constant_(averaged.model.fc.bias, value)
        averaged.averages.update_parameters(averaged.model)
    assert torch.allclose(averaged.result.state_dict()[name], torch.tensor(0.9 * 1.0 + 0.1 * 2.0))


class Says:
    """A judge that says what it is told to."""

    def __init__(self, *accuracies):
        self.accuracies = iter(accuracies)

    def metrics(self, *, multi_label):
        return {"mean_ap" if multi_label else "top1_acc": next(self.accuracies)}


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_best_epoch_is_kept_the_earlier_of_equals(tmp_path, multi_label):
    training = training_of(tmp_path)
    spec, _ = create_learner(RECIPE, ["a", "b"], 0, SETTING)
    judge = Says(0.5, 0.75, 0.75, 0.25)
    for epoch in range(4):
        training.progress.epoch = epoch
        measure_epoch(training, judge=judge, spec=spec, multi_label=multi_label)
    metrics = load_checkpoint(tmp_path / "a.best.pth").meta["metrics"]
    assert metrics == {"epoch": 1, "val_mean_ap" if multi_label else "val_top1_acc": 0.75}


def test_what_is_held_out_keeps_videos_together_and_every_class_trainable(monkeypatch):
    monkeypatch.setattr(learning, "HELD_OUT_SHARE", 0.3)
    examples = [
        Example(Record({"id": f"{video}#{piece}", "parent": f"v{video}"}), video % 5)
        for video in range(40)
        for piece in range(3)
    ]
    held_out, kept = hold_out(examples, seed=0, stage="s", min_held_out=10)
    assert 10 <= len(held_out) <= 36
    assert len(held_out) + len(kept) == len(examples)
    assert not {e.record["parent"] for e in held_out} & {e.record["parent"] for e in kept}
    assert {e.label for e in kept} == set(range(5))
    assert hold_out(examples, seed=0, stage="s", min_held_out=37) == ([], examples)


def test_a_class_of_one_video_is_never_held_out(monkeypatch):
    monkeypatch.setattr(learning, "HELD_OUT_SHARE", 0.5)
    examples = [Example(Record({"id": str(n)}), n) for n in range(10)]
    assert hold_out(examples, seed=0, stage="s", min_held_out=1) == ([], examples)
