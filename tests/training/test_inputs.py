"""The inputs of the model: clips, and the cached features of a frozen backbone."""

import torch

from omnicli.data.training_clips import Augmentation
from omnicli.training import inputs as inputs_module
from omnicli.training.batch_sampler import JointSampler, TrainingSource
from omnicli.training.context import TrainingContext
from omnicli.training.inputs import CachedFeatureInputs, ClipInputs

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
