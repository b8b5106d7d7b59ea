"""What bfloat16 cannot decide has the scores of float32, in the order of the input."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from omnicli.data.query_labels import Queries
from omnicli.inference import compiled, rescoring
from omnicli.inference.compiled import Compiler
from omnicli.inference.predictor import predict
from omnicli.inference.rescoring import Again, made_views
from omnicli.inference.scorer import score_records
from omnicli.inference.views import ViewOptions
from omnicli.media.parallel import IDLE
from omnicli.models.exact import with_exact
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.tsn import TSN
from omnicli.stages.filter.rules import FilterRule
from omnicli.stages.filter.stage import filter_records
from omnicli.streams.class_names import ClassIndex
from omnicli.streams.record import Record

NUM_IMAGES = 24


@pytest.fixture(scope="module")
def model():
    """A few random convolutions."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    network = TSN(nn.Sequential(*layers, nn.Flatten()), 32, 4).eval()
    spec = ModelSpec(
        name="small", classes=("a", "b", "c", "d"), mean=(120.0,) * 3, std=(60.0,) * 3, short_side=36, crop_size=32,
        num_segments=3, num_frames=1, frame_interval=1,
    )  # fmt: skip
    return LoadedModel(network, spec, 1.0, "", "small.pth", torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def images(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(NUM_IMAGES):
        small = rng.integers(0, 255, (2 + number % 5, 3, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(small, (40, 40), interpolation=cv2.INTER_CUBIC))
    names = model.classes
    return [
        Record({"id": str(n), "path": str(folder / f"{n}.png"), "media": "image", "query": names[n % 4]}, position=n)
        for n in range(NUM_IMAGES)
    ]


def with_classifier(model, seed, scale):
    """The model with another random classifier, of which few images are sure."""
    torch.manual_seed(seed)
    network = TSN(model.network.backbone, 32, len(model.classes))
    torch.nn.init.normal_(network.fc.weight, std=scale)
    return replace(model, network=network.eval())


def kept_by(model, images, rule):
    """[(id, label)] and how many were scored again."""

    def score(records, **options):
        return score_records(records, models=[model], views=ViewOptions(), batch_size=8, workers=2, **options)

    left = []
    records = filter_records(
        iter(images), score=score, queries=Queries(ClassIndex(model.classes)), rule=rule,
        on_drop=lambda record, reason: left.append(record),
    )  # fmt: skip
    kept = list(records)
    return [(record["id"], record["pseudo_label"]) for record in kept], kept + left


rules = st.builds(
    FilterRule, label_by=st.sampled_from(["teacher", "query"]), agree=st.booleans(), threshold=st.floats(0.05, 0.95)
)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.3, 3.0, 30.0]), rule=rules, at=st.integers(0, 23))
def test_verdicts_in_bfloat16_are_those_of_float32(model, images, seed, scale, rule, at):
    """Also at a threshold that is the very score of a record."""
    exact = with_classifier(model, seed, scale)
    _, scored = kept_by(exact, images, replace(rule, threshold=0.0))
    some = scored[at % len(scored)].get("confidence")
    for threshold in (rule.threshold, some):
        chosen = replace(rule, threshold=threshold)
        expected, _ = kept_by(exact, images, chosen)
        got, _ = kept_by(with_exact(exact, torch.bfloat16), images, chosen)
        assert got == expected


def test_bfloat16_alone_decides_otherwise(model, images):
    """Else the property above would hold without scoring anything again."""
    exact = with_classifier(model, 1, 3.0)
    coarse = replace(with_exact(exact, torch.bfloat16), exact=None)
    _, scored = kept_by(exact, images, FilterRule(threshold=0.0))
    thresholds = [record["confidence"] for record in scored]
    rules = [FilterRule(threshold=threshold) for threshold in thresholds]
    assert any(kept_by(exact, images, rule)[0] != kept_by(coarse, images, rule)[0] for rule in rules)


@pytest.mark.parametrize("first_position", [0, NUM_IMAGES // 2])
def test_verdicts_of_a_compiled_model_are_those_of_float32(model, images, monkeypatch, first_position):
    """Its program is off by more than bfloat16, so that its own error has to be measured."""
    ran = []

    def coarse_program(function, clips):
        def program(clips):
            logits = function(clips)
            ran.append(len(logits))
            return logits + 0.02 * logits.abs().max() * torch.tensor([1.0, -1.0, 1.0, -1.0])

        return program

    monkeypatch.setattr(compiled, "compile_function", coarse_program)
    exact = with_classifier(model, 1, 3.0)
    ready = with_exact(exact, torch.bfloat16)
    ready = replace(ready, compiler=Compiler(ready.name, first_position))
    _, scored = kept_by(exact, images, FilterRule(threshold=0.0))
    for threshold in [record["confidence"] for record in scored[::5]]:
        rule = FilterRule(threshold=threshold)
        assert kept_by(ready, images, rule)[0] == kept_by(exact, images, rule)[0]
    assert ran
    _, by_program = kept_by(ready, images, FilterRule(threshold=0.0))
    _, by_network = kept_by(with_exact(exact, torch.bfloat16), images, FilterRule(threshold=0.0))
    same = [a["confidence"] == b["confidence"] for a, b in zip(by_program, by_network, strict=True)]
    assert all(same[:first_position])
    assert not all(same[first_position:])


@given(
    stream=st.lists(st.one_of(st.integers(0, 5), st.just(IDLE)), max_size=20),
    batch_size=st.integers(1, 7),
    max_wait=st.integers(1, 40),
)
def test_chosen_views_have_the_second_outputs_and_the_order_stays(stream, batch_size, max_wait):
    def first(views):
        return views.flatten(1).float().mean(1, keepdim=True)

    items = [
        IDLE if item is IDLE else (key, [np.full((item, 1, 2, 2, 3), key, np.uint8)]) for key, item in enumerate(stream)
    ]
    again = Again(lambda key, outputs, views: np.arange(len(views[0])) % 2 == 0 if key % 3 else None,
                  [lambda views: 1000 + first(views)])  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rescoring, "MAX_WAIT", max_wait)
        got = list(predict(items, [first], batch_size=batch_size, again=again))
    assert [key for key, _ in got] == [item[0] for item in items if item is not IDLE]
    for key, [outputs] in got:
        expected = [key + 1000 * (row % 2 == 0 and key % 3 > 0) for row in range(len(outputs))]
        assert outputs.reshape(-1).tolist() == expected


def test_records_wait_no_longer_than_a_number_of_batches(monkeypatch):
    monkeypatch.setattr(rescoring, "MAX_WAIT", 2)
    read_on = []

    def items():
        for key in range(100):
            read_on.append(key)
            yield key, [np.zeros((1, 1, 2, 2, 3), np.uint8)]

    again = Again(lambda key, outputs, views: None if key else slice(None), [lambda views: torch.ones(len(views), 1)])
    assert next(predict(items(), [lambda views: torch.zeros(len(views), 1)], batch_size=4, again=again))[1][0] == 1
    assert max(read_on) <= 12


def test_made_views_are_the_same_each_time_and_differ_among_themselves():
    views = made_views(3, (2, 16, 24, 3))
    assert (views.shape, views.dtype) == ((3, 2, 16, 24, 3), torch.uint8)
    assert torch.equal(views, made_views(3, (2, 16, 24, 3)))
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[0, 0], views[0, 1])
