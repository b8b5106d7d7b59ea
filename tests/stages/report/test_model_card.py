"""The model card says what the checkpoint stores, and what it does not."""

import pytest
import torch

from omnicli.errors import ModelError
from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.factory import model_spec
from omnicli.stages.report.model_card import read_card

STUDENT = {
    "temperature": 1.25,
    "metrics": {"val_top1_acc": 0.8125, "val_view": "3 segments, float32"},
    "provenance": {"layer_decay": 1.0, "epochs": 12, "lr": 0.01, "optimizer": "sgd", "flip": False, "mixup": "none",
                   "ratio": [2, 1],
                   "sources": ["gg", "ig"], "omni": "0.1.0",
                   "initial_weights": {"name": "resnet50.tv_in1k", "sha256": "ab"}},
    "trained_on": {"counts": {"target": 1234, "val": 50, "auxiliary": {"gg": 60_000}}},
    "strength": {"clips_per_class": 6.0, "cross_val_acc": 0.5, "is_student": True},
}  # fmt: skip


def card(tmp_path, name="tsn-resnet18", spec=None, **meta):
    described = {**model_spec(name, classes=["rain", "żagle"]).to_meta(), **(spec or {})}
    save_checkpoint(tmp_path / "m.pth", meta={"model": described, **meta}, state_dict={"fc.bias": torch.zeros(2)})
    return read_card(tmp_path / "m.pth")


def test_a_student_says_its_sources_counts_recipe_and_accuracy(tmp_path):
    made = card(tmp_path, **STUDENT)
    assert (made.title, made.classes) == ("m.pth", ("rain", "żagle"))
    assert made.groups["Training"] == {
        "target": "1,234 records", "auxiliary source gg": "60,000 records", "auxiliary source ig": "not stored",
        "validation": "50 records", "labelled clips per class": "6 (median)",
        "initial weights": "resnet50.tv_in1k, backbone SHA-256 ab", "omni": "0.1.0",
    }  # fmt: skip
    assert made.groups["Recipe"] == {
        "epochs": "12", "optimizer": "sgd", "lr": "0.01", "flip": "no", "ratio": "2:1",
    }  # fmt: skip
    assert made.groups["Validation accuracy"] == {
        "top-1": "81.2 %", "views": "3 segments, float32",
        "cross-validation": "50.0 % of labelled clips that were left out",
    }  # fmt: skip
    assert made.groups["Model"]["temperature"] == "1.25" and len(made.groups["Model"]["SHA-256"]) == 64
    assert made.groups["Input"]["frames"] == "3 of a video, one per segment; an image as it is"
    assert made.groups["Input"]["pixels"] == "224 x 224, resized to a short side of 256"
    limits = " ".join(made.limits)
    assert "6 labelled clips per class, which are few" in limits and "web media whose labels nobody" in limits
    assert "accuracy is not stored" not in limits and "No temperature" not in limits


def test_what_is_not_stored_is_a_limit(tmp_path):
    made = card(tmp_path, "slowonly-r50", {"licence": "cc-by-nc-4.0"}, temperature=None)
    assert "Validation accuracy" not in made.groups and "Recipe" not in made.groups
    assert made.groups["Training"]["target"] == "not stored"
    assert made.groups["Input"]["frames"] == "clips of 4, 16 source frames apart"
    assert made.groups["Model"]["licence of the weights"] == "cc-by-nc-4.0"
    assert made.limits == (
        "It knows 2 classes: media that show none of them get a class all the same.",
        "It takes clips: images cannot be scored.",
        "No temperature was fitted: its confidences may be too high.",
        "Its accuracy is not stored: test it with omni eval.",
        "Licence cc-by-nc-4.0: the weights, and models trained from them, are not for commercial use.",
    )


def test_a_zero_shot_teacher_names_its_source(tmp_path):
    made = card(
        tmp_path, spec={"multi_label": True}, temperature=None, strength={"clips_per_class": 0.0},
        provenance={"command": "zero-shot", "source": "ViT-B-16-SigLIP2:webli", "prompts": ["{}"] * 8},
    )  # fmt: skip
    assert made.groups["Training"] == {
        "learnt from": "names of classes alone (omni zero-shot)", "image-text model": "ViT-B-16-SigLIP2:webli",
        "prompts": "8",
    }  # fmt: skip
    assert made.limits[0] == "It knows 2 classes and scores each by itself: media of none have low scores only."
    assert "It learnt from no labelled clips: it knows no more than the words." in made.limits


def test_a_converted_file_says_where_it_is_from(tmp_path):
    provenance = {"command": "convert", "layout": "mmaction2", "sha256": "cd", "file": "tsn.pth"}
    assert card(tmp_path, provenance=provenance).groups["Training"] == {
        "converted from": "tsn.pth, mmaction2 layout", "SHA-256 of it": "cd",
    }  # fmt: skip


def test_a_checkpoint_of_another_program_is_refused(tmp_path):
    torch.save({"state_dict": {"fc.bias": torch.zeros(2)}}, tmp_path / "m.pth")
    with pytest.raises(ModelError, match=r"m\.pth: not a checkpoint of omni.*omni convert makes one"):
        read_card(tmp_path / "m.pth")
