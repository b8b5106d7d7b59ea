"""The network in a folder: classifier or start of a training."""

import pytest
import torch
from tiny_transformers import save_folder

from omnicli.errors import ModelError
from omnicli.models.factory import create_model
from omnicli.models.stored_options import published_config, stored_options
from omnicli.models.video.folder_model import folder_classifier, folder_model
from omnicli.models.video.transformers_folder import read_folder

CLASSES = ["a", "b", "c"]


def test_a_new_classifier_on_the_folders_backbone(tmp_path):
    theirs = save_folder(tmp_path / "m", "timesformer", CLASSES)
    assert stored_options(str(tmp_path / "m")) == {"model": "transformers-timesformer"}
    assert published_config(str(tmp_path / "m")).crop_size == 32
    model = create_model("transformers-timesformer", num_classes=5, init=str(tmp_path / "m"), seed=1)
    own = model.backbone.model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in theirs.state_dict().items() if name in own)
    assert model.fc.out_features == 5
    again = folder_model("transformers-timesformer", str(tmp_path / "m"), num_classes=5, seed=1)
    assert torch.equal(again.fc.weight, model.fc.weight)


def test_another_architecture_is_refused(tmp_path):
    save_folder(tmp_path / "m", "vivit", CLASSES)
    with pytest.raises(ModelError, match="a transformers-vivit, not a transformers-videomae"):
        folder_model("transformers-videomae", str(tmp_path / "m"), num_classes=2)


def test_other_numbers_of_classes_are_no_classifier(tmp_path):
    save_folder(tmp_path / "m", "vivit", CLASSES)
    with pytest.raises(ModelError, match="no classifier of 2 classes"):
        folder_classifier(read_folder(tmp_path / "m"), num_classes=2)
