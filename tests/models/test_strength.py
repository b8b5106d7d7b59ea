"""What a checkpoint says of its teacher."""

import pytest
import torch

from omnicli.models.checkpoint import save_checkpoint
from omnicli.models.strength import Strength, read_strength


def checkpoint(path, **meta):
    save_checkpoint(path, meta={"model": {}, **meta}, state_dict={"fc.weight": torch.zeros(1)})
    return path


def test_few_clips_make_a_weak_teacher():
    assert Strength(2).is_weak
    assert not Strength(400, val_acc=0.7).is_weak


def test_cross_validation_comes_before_validation():
    assert Strength(2, cross_val_acc=0.6, val_acc=0.9).accuracy == 0.6
    assert Strength(2, val_acc=0.9).accuracy == 0.9
    assert Strength(2, val_acc=0.9, is_student=True).accuracy is None
    assert Strength(2, val_acc=0.9).describe().endswith("per class, recognises 90 % of validation clips")
    assert Strength(1).describe() == "learnt from 1 labelled clip per class"


def test_an_ensemble_is_as_strong_as_its_best_known_member(tmp_path):
    paths = [
        checkpoint(tmp_path / "a.pth", strength=Strength(2, 0.5).to_meta(), metrics={"val_top1_acc": 0.6}),
        checkpoint(tmp_path / "b.pth", strength=Strength(8, 0.7).to_meta(), metrics={}),
    ]
    assert read_strength(paths[:1]) == Strength(2, 0.5, 0.6)
    assert read_strength(paths) == Strength(8, pytest.approx(0.6), None)


@pytest.mark.parametrize(
    "meta", [{}, {"strength": None}, {"strength": {"clips_per_class": "many"}}, {"strength": [2], "metrics": 3}]
)
def test_a_checkpoint_that_says_nothing_is_unknown(tmp_path, meta):
    known = checkpoint(tmp_path / "known.pth", strength=Strength(2).to_meta())
    unknown = checkpoint(tmp_path / "unknown.pth", **meta)
    assert read_strength([unknown]) is None
    assert read_strength([known, unknown]) is None
    assert read_strength([known]) == Strength(2)
