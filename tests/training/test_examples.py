"""The examples of a training: media that open, and clips held out for the temperature."""

import threading
from dataclasses import dataclass, replace

import pytest
from torch import nn

from omnicli.data.dataloader import Example
from omnicli.errors import InputError, Interrupted
from omnicli.models.recogniser import ClipModel
from omnicli.models.tsn import TSN
from omnicli.streams.record import Record
from omnicli.training import examples as examples_module
from omnicli.training.context import TrainingContext
from omnicli.training.distributed import World
from omnicli.training.examples import hold_out, openable
from omnicli.training.trainer import UnopenedMedia

CONTEXT = TrainingContext(workers=2)
FRAMES, CLIPS = TSN(nn.Identity(), 1, 1, 0.0), ClipModel(nn.Identity(), 1, 1, 0.0)


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

    kept = list(openable(examples, FRAMES, CONTEXT, tell, left_out=left_out, name="val"))
    assert kept == examples[:3] + examples[4:]
    assert left == [("bad", "unreadable: no such file")]
    assert left_out.rows == {"val": {3: "no such file"}}


def test_taken_up_again_the_same_ones_leave_whatever_can_be_opened_now(examples):
    """Else a file that comes or goes between two runs would give every step other clips."""
    left = []
    before = UnopenedMedia({"target": {1: "empty file"}}, is_known=True)
    kept = list(openable(examples, FRAMES, CONTEXT, lambda *drop: left.append(drop), left_out=before, name="target"))
    assert kept == [examples[0], *examples[2:]]
    assert left == [(examples[1].record, "unreadable: empty file")]


def test_ranks_share_the_opening_and_come_to_the_same_list(examples):
    shelf, meeting, found = ([], []), threading.Barrier(2), {}

    def check(rank):
        context = replace(CONTEXT, world=Threads(rank, 2, shelf=shelf, meeting=meeting))
        found[rank] = list(openable(examples, FRAMES, context, lambda *drop: None, left_out=UnopenedMedia(), name=""))

    threads = [threading.Thread(target=check, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found[0] == found[1] == examples[:3] + examples[4:]
    assert [len(reasons[0]) for reasons in shelf] == [3, 3]


def test_of_a_folder_of_clips_the_first_positive_one_is_opened(world, tmp_path):
    (tmp_path / "part_2.mp4").write_bytes(next((world / "target" / "train").rglob("*.mp4")).read_bytes())
    fields = {"path": str(tmp_path), "media": "clips"}
    videos = [Example(Record({"id": str(i), **fields, "positive_clips": [i]}), 0) for i in (2, 3)]
    left = []
    kept = list(openable(videos, CLIPS, CONTEXT, lambda *drop: left.append(drop[1]), left_out=UnopenedMedia(), name=""))
    assert (kept, left) == (videos[:1], ["unreadable: no such file"])


def test_an_image_for_a_3d_model_and_a_wish_to_stop_are_errors(examples, world):
    image = next((world / "web" / "image").rglob("*.jpg"))
    fresh = {"left_out": UnopenedMedia(), "name": ""}
    with pytest.raises(InputError, match="a 3D model learns from clips"):
        list(openable([Example(Record({"id": "p", "path": str(image)}), 0)], CLIPS, CONTEXT, print, **fresh))
    with pytest.raises(Interrupted):
        list(openable(examples, FRAMES, replace(CONTEXT, should_stop=lambda: True), print, **fresh))


def test_what_is_held_out_keeps_videos_together_and_every_class_trainable(monkeypatch):
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.3)
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


def test_of_long_videos_a_clip_is_held_out(monkeypatch):
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.3)
    fields = {"path": "v", "media": "clips", "positive_clips": [2, 4]}
    examples = [Example(Record({"id": str(i), **fields}), i % 2) for i in range(40)]
    held_out, kept = hold_out(examples, seed=0, stage="s", min_held_out=5)
    assert {example.record["path"] for example in held_out} == {"v/part_2.mp4"}
    assert all(example.record["media"] == "clips" for example in kept)


def test_a_class_that_is_one_of_several_of_a_record_stays_trainable(monkeypatch):
    """Of several queries; without it, the training stopped because the class has no clip."""
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.5)
    examples = [Example(Record({"id": str(n)}), 0, (n,) if n else ()) for n in range(40)]
    assert hold_out(examples, seed=0, stage="s", min_held_out=1)[0] in ([], examples[:1])
    twice = examples * 2
    _, kept = hold_out([replace(one, record=Record({"id": str(n)})) for n, one in enumerate(twice)],
                       seed=0, stage="s", min_held_out=1)  # fmt: skip
    assert len(kept) == 40
    assert {label for one in kept for label in one.others} == set(range(1, 40))


def test_a_class_of_one_video_is_never_held_out(monkeypatch):
    monkeypatch.setattr(examples_module, "HELD_OUT_SHARE", 0.5)
    examples = [Example(Record({"id": str(n)}), n) for n in range(10)]
    assert hold_out(examples, seed=0, stage="s", min_held_out=1) == ([], examples)
