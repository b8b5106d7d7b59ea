"""The network in a model folder of another library: as a classifier, or as the start of a training."""

import torch

from omnicli.errors import ModelError
from omnicli.models.checkpoint import Weights
from omnicli.models.video.library_model import LibraryModel
from omnicli.models.video.transformers_folder import ModelFolder, read_folder
from omnicli.models.video.transformers_video import load


def folder_classifier(folder: ModelFolder, *, num_classes: int) -> tuple[LibraryModel, Weights]:
    """The classifier, in ``eval`` mode, and what was read.

    Raises:
        ModelError: the weights do not fit, or have no classifier of so many classes.
    """
    weights, sha256 = folder.weights()
    backbone, num_features, classifier = load(
        folder.family, folder.config.options, weights, num_classes=num_classes, path=folder.path
    )
    if classifier is None:
        raise ModelError(
            f"{folder.path}: no classifier of {num_classes:,} classes; these are weights of a backbone: train a "
            "teacher on your classes with omni teacher-train --init"
        )
    model = LibraryModel(backbone, num_features, num_classes, folder.config.dropout)
    model.fc.load_state_dict(classifier.state_dict())
    return model.eval(), Weights({}, sha256, folder.path, folder.classes)


def folder_model(
    name: str, path: str, *, num_classes: int, dropout: float | None = None, seed: int = 0
) -> LibraryModel:
    """A model with the folder's backbone and a new classifier.

    Raises:
        ModelError: the folder is of another architecture, or its weights do not fit.
    """
    folder = read_folder(path)
    if folder.name != name:
        raise ModelError(f"{path}: a {folder.name}, not a {name}; remove --model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights, _ = folder.weights()
        backbone, num_features, _ = load(
            folder.family, folder.config.options, weights, num_classes=num_classes, path=path
        )
        return LibraryModel(backbone, num_features, num_classes, folder.config.dropout if dropout is None else dropout)
