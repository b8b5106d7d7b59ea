"""The image tower alone: what builds it, and what is refused."""

import sys

import pytest
import torch
from made_clip import CLIP, MOBILE

from omnicli.errors import ModelError, UsageError
from omnicli.models.architectures import new_model
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.clip.tower import TextClassifier, check_options, new_clip, tower_options
from omnicli.models.factory import ModelSpec, model_spec
from omnicli.models.loading import load_model
from omnicli.models.mmaction2 import mmaction2_model

pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")


def test_frames_have_features_of_length_1_whose_mean_is_classified():
    model = new_clip("clip-x", tower_options(CLIP), 3, 0.0).eval()
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    frames = model.snippet_features(clips)
    torch.testing.assert_close(frames.norm(dim=-1), torch.ones(2, 4))
    torch.testing.assert_close(model.features(clips), frames.mean(dim=1))


def test_the_classifier_starts_as_the_texts_and_learns_the_difference():
    classifier = TextClassifier(16, 2)
    features = torch.nn.functional.normalize(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), dim=-1)
    classifier.text.copy_(torch.eye(2, 16))
    classifier.scale.fill_(10.0)
    classifier.shift.fill_(-3.0)
    torch.testing.assert_close(classifier(features), 10.0 * features[:, :2] - 3.0)
    with torch.no_grad():
        classifier.weight[1, 7] = 0.5
    torch.testing.assert_close(classifier(features)[:, 1], 10.0 * features[:, 1] - 3.0 + 0.5 * 4.0 * features[:, 7])
    assert [name for name, _ in classifier.named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embed_dim": 16}, "expected embed_dim and vision_cfg"),
        ({**tower_options(CLIP), "cast_dtype": "x"}, "not the configuration of an image tower: cast_dtype"),
        (
            {"embed_dim": 16, "vision_cfg": {**MOBILE["vision_cfg"], "timm_model_name": "hf-hub:evil/model"}},
            "names of files and hubs are refused",
        ),
        (
            {"embed_dim": 16, "vision_cfg": {**MOBILE["vision_cfg"], "timm_model_pretrained": True}},
            "timm_model_pretrained",
        ),
        ({"embed_dim": 16, "vision_cfg": {**CLIP["vision_cfg"], "output_tokens": True}}, "output_tokens"),
    ],
)
def test_options_that_name_other_things_are_refused(options, message):
    with pytest.raises(ModelError, match=message):
        check_options(options)


def test_a_tower_that_open_clip_cannot_build_is_refused():
    with pytest.raises(ModelError, match=r"open_clip cannot build this image tower .TypeError"):
        new_clip("clip-x", {"embed_dim": 16, "vision_cfg": {"no_such": 1}}, 3, 0.0)


def test_such_a_name_alone_says_that_it_needs_a_file():
    for build in (lambda: new_model("clip-ViT-B-16", 3), lambda: model_spec("clip-ViT-B-16", classes=())):
        with pytest.raises(UsageError, match="give --init FILE alone"):
            build()


def test_no_other_program_has_such_a_model():
    spec = ModelSpec("clip-x", ("a",), (0, 0, 0), (1, 1, 1), 36, 32, library=tower_options(CLIP))
    assert mmaction2_model(spec, 16) is None


def test_without_open_clip_the_message_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r"pip install 'omnicli\[clip\]'"):
        new_clip("clip-x", tower_options(CLIP), 3, 0.0)


def saved(path, **changes):
    spec = ModelSpec("clip-x", ("a",), (0, 0, 0), (1, 1, 1), 36, 32, resize="bicubic squash", **changes)
    save_checkpoint(path, meta={"model": spec.to_meta(), "temperature": None}, state_dict={"fc.bias": torch.zeros(1)})
    return path


def test_a_checkpoint_without_open_clip_names_the_pip_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(UsageError, match=r"pip install 'omnicli\[clip\]'"):
        load_model(saved(tmp_path / "x.pth", library=tower_options(CLIP)))


def test_a_hostile_checkpoint_is_refused_by_name(tmp_path):
    vision = {**MOBILE["vision_cfg"], "timm_model_name": "local-dir:/tmp/evil"}
    with pytest.raises(ModelError, match=r"x.pth: timm_model_name 'local-dir:/tmp/evil'"):
        load_model(saved(tmp_path / "x.pth", library={"embed_dim": 16, "vision_cfg": vision}))


def test_an_unknown_way_to_resize_is_a_damaged_checkpoint(tmp_path):
    path = tmp_path / "x.pth"
    meta = ModelSpec("clip-x", ("a",), (0, 0, 0), (1, 1, 1), 36, 32, library=tower_options(CLIP)).to_meta()
    meta = {"model": {**meta, "resize": "nearest squash"}, "temperature": None}
    save_checkpoint(path, meta=meta, state_dict={"fc.bias": torch.zeros(1)})
    with pytest.raises(ModelError, match="resize 'nearest squash', expected one of bicubic shortest"):
        load_model(path)
