"""The inputs of the model: clips, and the cached features of a frozen backbone."""

import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from omnicli.data.dataloader import Example, key_of
from omnicli.data.training_clips import Augmentation, read_training_clip
from omnicli.streams.record import Record
from omnicli.training import inputs as inputs_module
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.distributed import World
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs
from omnicli.training.saved_state import noting_in_flight

CONTEXT = TrainingContext(workers=2)
AUGMENTATION = Augmentation(num_segments=2, short_side=40, crop_size=32)


def test_clips_and_cached_features_have_the_same_examples_and_logits(loaded, examples):
    """Without dropout, the frozen backbone's features are those the clips would have given."""
    sampler = JointSampler([TrainingSource("", examples, 3)], ratio=[1])
    frozen = CachedFeatureInputs(loaded, sampler, AUGMENTATION, CONTEXT)
    clips = ClipInputs(loaded, sampler, AUGMENTATION, CONTEXT)
    for epoch in (0, 1):
        for ready, read in zip(frozen.batches({}, epoch, 1), clips.batches({}, epoch, 1), strict=True):
            [one], [other] = ready.parts, read.parts
            assert one.ids == other.ids
            assert torch.equal(one.labels, other.labels)
            with torch.no_grad():
                expected = clips.logits(clips.to_device(other))
                torch.testing.assert_close(frozen.logits(frozen.to_device(one)), expected, atol=1e-4, rtol=1e-4)


def test_views_repeat(loaded, examples, monkeypatch):
    monkeypatch.setattr(inputs_module, "NUM_FROZEN_VIEWS", 2)
    sampler = JointSampler([TrainingSource("", examples, 100)], ratio=[1])
    inputs = CachedFeatureInputs(loaded, sampler, AUGMENTATION, CONTEXT)
    epochs = []
    for epoch in range(3):
        [step] = inputs.batches({}, epoch, 0)
        [batch] = step.parts
        epochs.append(dict(zip(batch.ids, batch.clips, strict=True)))
    assert all(torch.equal(epochs[0][name], epochs[2][name]) for name in epochs[0])
    assert not any(torch.equal(epochs[0][name], epochs[1][name]) for name in epochs[0])


def test_an_example_that_kills_the_process_is_noted_and_then_left_unread(loaded, examples, tmp_path, monkeypatch):
    """Also while views of a frozen backbone are computed, which is nearly all reading of the default recipe."""
    sampler = JointSampler([TrainingSource("", examples, 100)], ratio=[1])
    noted = {}

    def read(record, **how):
        content = next(tmp_path.glob("*.reading")).read_bytes()
        noted[record["id"]] = {key_of(number - 1) for number in struct.unpack(f"<{len(content) // 8}q", content)}
        return read_training_clip(record, **how)

    monkeypatch.setattr(inputs_module, "read_training_clip", read)
    inputs = CachedFeatureInputs(loaded, sampler, AUGMENTATION, CONTEXT)
    with noting_in_flight(tmp_path / "a.pth", World()):
        [step] = inputs.batches({(0, 1): "died"}, 0, 0)
    assert sorted(noted) == sorted(one.id for row, one in enumerate(examples) if row != 1)
    assert all((0, row) in noted[one.id] for row, one in enumerate(examples) if row != 1)
    assert examples[1].id not in step.parts[0].ids and len(step.parts[0].ids) == len(examples) - 1


@pytest.fixture
def images(tmp_path):
    made = []
    for number in range(4):
        path = tmp_path / f"{number}.jpg"
        pixels = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_CUBIC))
        made.append(Example(Record({"id": path.stem, "path": str(path)}), 0))
    return made


@pytest.mark.parametrize("kind", [ClipInputs, CachedFeatureInputs])
def test_copies_of_a_record_are_different_draws_and_the_first_is_that_of_a_single_record(loaded, images, kind):
    copies = [images[0], images[1], images[0], images[0]]
    shown = []
    for rows in (copies, images[:2]):
        inputs = kind(loaded, JointSampler([TrainingSource("", rows, 100)], ratio=[1]), AUGMENTATION, CONTEXT)
        [step] = inputs.batches({}, 0, 0)
        shown.append([clip for name, clip in zip(step.parts[0].ids, step.parts[0].clips, strict=True) if name == "0"])
    of_copies, [of_one] = shown
    assert len({clip.numpy().tobytes() for clip in of_copies}) == 3
    assert sum(torch.equal(clip, of_one) for clip in of_copies) == 1


def count_frames(loaded, sources, *, ratio, augmentation=AUGMENTATION):
    """Frames that the backbone is given in a step, per source."""
    sampler = JointSampler([TrainingSource(str(n), rows, len(rows)) for n, rows in enumerate(sources)], ratio=ratio)
    inputs, seen = ClipInputs(loaded, sampler, augmentation, CONTEXT), []
    hook = loaded.network.backbone.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    try:
        [step] = inputs.batches({}, 0, 0)
        with torch.no_grad():
            logits = {part.source: inputs.logits(inputs.to_device(part)) for part in step.parts}
    finally:
        hook.remove()
    return dict(zip(logits, seen, strict=True)), logits


def test_an_image_costs_a_tsn_one_forward_pass_and_a_video_one_per_segment(loaded, examples, images):
    eight = replace(AUGMENTATION, num_segments=8)
    seen, logits = count_frames(loaded, [examples[:4], images], ratio=[1, 1], augmentation=eight)
    assert seen == {"0": 32, "1": 4}
    assert [len(found) for found in logits.values()] == [4, 4]


def test_the_logits_of_an_image_are_those_of_its_still_clip(loaded, images):
    loaded.network.eval()
    _, logits = count_frames(loaded, [images], ratio=[1])
    stills = np.stack([read_training_clip(one.record, AUGMENTATION, epoch=0) for one in images])
    assert stills.shape[1] == 2
    inputs = ClipInputs(loaded, JointSampler([TrainingSource("0", images, 4)], ratio=[1]), AUGMENTATION, CONTEXT)
    [step] = inputs.batches({}, 0, 0)
    order = [int(name) for name in step.parts[0].ids]
    whole = replace(step.parts[0], clips=torch.from_numpy(stills)[order])
    with torch.no_grad():
        torch.testing.assert_close(logits["0"], inputs.logits(inputs.to_device(whole)), atol=1e-4, rtol=1e-4)


def test_images_beside_videos_of_one_source_are_still_clips(loaded, examples, images):
    seen, logits = count_frames(loaded, [[*examples[:2], *images]], ratio=[1])
    assert seen == {"0": 2 * 6}
    assert len(logits["0"]) == 6
