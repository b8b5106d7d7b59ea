"""The shared teacher, and examples of the validation clips that it knows."""

import pytest

from omnicli.data.dataloader import Example
from omnicli.models.loading import load_model
from omnicli.streams.record import Record


@pytest.fixture(scope="module")
def loaded(teacher):
    return load_model(teacher)


@pytest.fixture(scope="module")
def examples(world, loaded):
    paths = sorted((world / "target" / "val").rglob("*.mp4"))[::2]
    labels = [loaded.classes.index(path.parent.name) for path in paths]
    return [
        Example(Record({"id": path.stem, "path": str(path)}, position=row), label)
        for row, (path, label) in enumerate(zip(paths, labels, strict=True))
    ]
