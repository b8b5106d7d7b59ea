"""The digest of a backbone is that of what it computes: not of its file, classifier or counters."""

import dataclasses

import pytest
import torch

from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.content import digest_of_backbone
from omnicli.models.factory import create_model, model_spec
from omnicli.models.loading import load_model

NAME = "tsn-resnet10t"
SPEC = model_spec(NAME, classes=("a", "b"), num_segments=2, short_side=72, crop_size=64)


def network(seed=0, num_classes=2):
    return create_model(NAME, num_classes=num_classes, init="scratch", seed=seed)


def test_classifiers_dropout_and_counters_make_no_difference():
    one = network()
    expected = digest_of_backbone(one.backbone, SPEC)
    with torch.no_grad():
        one.fc.weight.add_(1.0)
    for name, buffer in one.backbone.named_buffers():
        if name.endswith("num_batches_tracked"):
            buffer.add_(7)
    assert digest_of_backbone(one.backbone, SPEC) == expected
    assert digest_of_backbone(one.backbone.double(), dataclasses.replace(SPEC, classes=("c",))) == expected


@pytest.mark.parametrize("what", ["weight", "running mean", "normalisation", "other weights"])
def test_whatever_changes_the_features_changes_the_digest(what):
    one, spec = network(), SPEC
    before = digest_of_backbone(one.backbone, spec)
    with torch.no_grad():
        if what == "weight":
            next(one.backbone.parameters())[0, 0, 0, 0] += 1e-3
        elif what == "running mean":
            next(value for name, value in one.backbone.named_buffers() if name.endswith("running_mean"))[0] += 1e-3
        elif what == "normalisation":
            spec = dataclasses.replace(SPEC, std=(1.0, 1.0, 1.0))
        else:
            one = network(seed=1)
    assert digest_of_backbone(one.backbone, spec) != before


def test_a_loaded_model_has_the_digest_that_it_had_before_its_batch_norms_were_folded(tmp_path):
    path = tmp_path / "m.pth"
    one = network()
    meta = {"model": SPEC.to_meta(), "temperature": None, "metrics": {}, "provenance": {}}
    save_checkpoint(path, meta=meta, state_dict=one.state_dict())
    expected = digest_of_backbone(one.backbone, SPEC)
    for precision in (torch.float32, torch.bfloat16):
        assert load_model(path, precision=precision).backbone_content == expected
        assert load_model(path, precision=precision, with_content=True).content == expected
