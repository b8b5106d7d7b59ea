"""Teachers from class names: their scores are those that open_clip computes."""

from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_clip import published
from PIL import Image

from omnicli.data.frame_sampling import segment_indices_test
from omnicli.errors import InputError, ModelError
from omnicli.inference.ensemble import sigmoid, softmax
from omnicli.inference.scorer import extract_features, score_records
from omnicli.inference.views import ViewOptions
from omnicli.models.clip.published import open_published
from omnicli.models.loading import load_model
from omnicli.stages.zero_shot import PROMPTS, class_embeddings, read_prompts, read_synonyms, zero_shot
from omnicli.streams.files.remote import upload
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.record import Record

open_clip = pytest.importorskip("open_clip", reason="needs pip install 'omnicli[clip]'")

CLASSES = ["riding a bike", "playing harp", "archery"]


def refuse(record, reason):
    raise AssertionError(f"{record}: {reason}")


def pixels(count, height=50, width=71, seed=0):
    """(T, H, W, 3) with large and small structures."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    frames = [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BILINEAR)) for one in coarse]
    return np.clip(np.stack(frames) + rng.integers(-20, 20, (count, height, width, 3)), 0, 255).astype(np.uint8)


def write_video(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=8, options={"crf": "0"})
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "rgb24"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module", params=["clip", "siglip", "mobileclip"])
def family(request, tmp_path_factory):
    return published(tmp_path_factory.mktemp("hub") / request.param, request.param)


@pytest.fixture(scope="module")
def teacher(family, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / "zero.pth"
    zero_shot(CLASSES, model=open_published(str(family)), out=out)
    return out


def scores_of(path, record, **views):
    model = load_model(path)
    ((_, scores),) = score_records(
        [Record(record, position=0)], models=[model], views=ViewOptions(**views), batch_size=2, workers=1,
        on_drop=refuse,
    )  # fmt: skip
    return scores


@torch.no_grad()
def scores_by_open_clip(folder, frames):
    """(K,) scores of frames (T, H, W, 3), by open_clip alone."""
    network, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    network.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    text = open_clip.build_zero_shot_classifier(network, tokenizer, CLASSES, PROMPTS)  # (D, K)
    images = torch.stack([preprocess(Image.fromarray(frame)) for frame in frames])
    features = network.encode_image(images, normalize=True).mean(dim=0)
    logits = network.logit_scale.exp() * features @ text
    if network.logit_bias is None:
        return logits.softmax(dim=0).numpy()
    return (logits + network.logit_bias).sigmoid().numpy()


@pytest.mark.parametrize(("height", "width"), [(50, 71), (71, 50), (33, 34), (32, 32), (20, 61)])
def test_scores_of_an_image_are_those_of_open_clip(family, teacher, tmp_path, height, width):
    (image,) = frames = pixels(1, height, width)
    Image.fromarray(image).save(tmp_path / "x.png")
    ours = scores_of(teacher, {"id": "x", "path": str(tmp_path / "x.png")})
    assert ours == pytest.approx(scores_by_open_clip(family, frames), abs=1e-5)
    assert ours.max() - ours.min() > 1e-3  # the classes differ by far more than that


def test_scores_of_a_video_are_those_of_its_mean_features(family, teacher, tmp_path):
    frames = pixels(9)
    write_video(tmp_path / "v.mp4", frames)
    shown = frames[segment_indices_test(9, num_segments=3)]
    ours = scores_of(teacher, {"id": "v", "path": str(tmp_path / "v.mp4")})
    assert ours == pytest.approx(scores_by_open_clip(family, shown), abs=1e-5)


def test_features_have_length_1_and_give_the_same_scores(teacher, tmp_path):
    Image.fromarray(pixels(1)[0]).save(tmp_path / "x.png")
    record = {"id": "x", "path": str(tmp_path / "x.png")}
    model = load_model(teacher)
    rows = extract_features(
        [Record(record, position=0)], model=model, fps=1, root=None, batch_size=1, workers=1, on_drop=refuse
    )
    ((_, features, _),) = rows
    assert np.linalg.norm(features, axis=1) == pytest.approx([1.0])
    logits = model.network.classify(torch.from_numpy(features)).detach().numpy()[0]
    ours = sigmoid(logits) if model.spec.multi_label else softmax(logits)
    assert ours == pytest.approx(scores_of(teacher, record), abs=1e-6)


def test_a_class_is_the_mean_of_its_names_in_all_prompts(tmp_path):
    model = open_published(str(published(tmp_path / "hub")))
    prompts = ["a photo of {}.", "{}"]
    texts = ["a photo of archery.", "archery", "a photo of bow shooting.", "bow shooting"]
    with torch.no_grad():
        each = model.network.encode_text(model.tokenize(texts), normalize=True)
    expected = each.mean(dim=0) / each.mean(dim=0).norm()
    ours = class_embeddings(model, [["archery", "bow shooting"]], prompts)
    torch.testing.assert_close(ours, expected[None])


def test_names_are_embedded_as_words(tmp_path):
    model = open_published(str(published(tmp_path / "hub")))
    ours, same = class_embeddings(model, [["PlayingHarp"], ["Playing Harp"]], ["{}"])
    torch.testing.assert_close(ours, same)


def test_scores_can_be_asked_for_as_softmax(tmp_path):
    folder = published(tmp_path / "hub", "siglip")
    model = open_published(str(folder))
    for kind, total in (("softmax", True), ("sigmoid", False)):
        _, spec = zero_shot(CLASSES, model=model, scores=kind, out=tmp_path / f"{kind}.pth")
        assert spec.multi_label is not total
    Image.fromarray(pixels(1)[0]).save(tmp_path / "x.png")
    softened = scores_of(tmp_path / "softmax.pth", {"id": "x", "path": str(tmp_path / "x.png")})
    assert softened.sum() == pytest.approx(1)


def test_the_checkpoint_remembers_where_it_is_from(tmp_path):
    folder = published(tmp_path / "hub", licence="mit-like")
    write = partial(zero_shot, CLASSES, model=open_published(str(folder)), synonyms={2: ["bow shooting"]})
    first, spec = write(out=tmp_path / "a.pth")
    second, _ = write(out=tmp_path / "b.pth")
    assert first == second  # the same inputs, the same bytes
    model = load_model(tmp_path / "a.pth")
    assert model.spec == spec and model.classes == tuple(CLASSES) and model.temperature == 1.0
    assert model.spec.licence == "mit-like" and model.spec.resize == "bicubic shortest"
    assert model.meta["provenance"]["synonyms"] == {"archery": ["bow shooting"]}
    assert model.meta["provenance"]["prompts"] == list(PROMPTS)
    assert model.spec.name == "clip-hub"


def test_prompts_and_synonyms_are_files_of_lines(tmp_path):
    (tmp_path / "prompts.txt").write_text("a photo of {}.\n\n{} in the rain\n")
    assert read_prompts(tmp_path / "prompts.txt") == ["a photo of {}.", "{} in the rain"]
    (tmp_path / "synonyms.tsv").write_text("Archery\tbow shooting\nplaying_harp\tharpist\tharps\narchery\tlongbow\n")
    assert read_synonyms(tmp_path / "synonyms.tsv", CLASSES) == {
        2: ["bow shooting", "longbow"],
        1: ["harpist", "harps"],
    }


def test_prompts_may_be_remote(tmp_path):
    (tmp_path / "prompts.txt").write_text("a photo of {}.\n")
    allow_typed(["memory://"])
    upload(str(tmp_path / "prompts.txt"), "memory://lists/prompts.txt")
    assert read_prompts(Path("memory://lists/prompts.txt")) == ["a photo of {}."]
    allow_typed([])


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_prompts, "a photo\n", ":1: 'a photo': expected {}"),
        (read_prompts, "\n", "no prompts"),
        (partial(read_synonyms, classes=CLASSES), "archery\n", ":1: expected class<TAB>synonym"),
        (partial(read_synonyms, classes=CLASSES), "archer\tx\n", ":1: no class 'archer'; near: archery"),
    ],
)
def test_bad_lines_are_named(tmp_path, read, text, message):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(InputError) as error:
        read(tmp_path / "x.txt")
    assert message in str(error.value)


def test_an_input_that_is_padded_is_refused(tmp_path):
    model = open_published(str(published(tmp_path / "hub")))
    model.preprocessing["resize_mode"] = "longest"
    with pytest.raises(ModelError, match="resized by longest: not supported"):
        zero_shot(CLASSES, model=model, out=tmp_path / "x.pth")
