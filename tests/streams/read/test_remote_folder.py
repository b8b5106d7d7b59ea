"""A folder of a store is walked like the same folder on disk."""

from pathlib import Path

import pytest

from omnicli.errors import InputError
from omnicli.streams.files import remote
from omnicli.streams.files.urls import allow_typed
from omnicli.streams.read.folder import walk_files

NAMES = (
    "b/2.jpg", "b/1.jpg", "b/c/1.jpg", "b/z.jpg", "b-/1.jpg", "a é.jpg", "v/img_1.jpg", "v/img_2.jpg", "v/img_10.jpg",
    "w/flow_x_1.jpg", "w/flow_x_2.jpg", "w/flow_y_1.jpg", "w/flow_y_2.jpg",
    ".hidden/x.jpg", "b/.x.jpg", "Thumbs.db", "a.jsonl.done.json", ".a.jsonl.part", "out/a.jsonl",
)  # fmt: skip


@pytest.fixture
def both(tmp_path):
    """The folder on disk and in memory."""
    allow_typed(["memory://"])
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"x")
        remote.upload(str(tmp_path / name), f"memory://{tmp_path.name}/{name}")
    yield str(tmp_path), f"memory://{tmp_path.name}"
    allow_typed([])


@pytest.mark.parametrize("frames", [True, False])
@pytest.mark.parametrize("below", ["", "/v", "/b-"])
def test_files_come_in_the_same_order_with_the_same_folders(both, frames, below):
    walks = []
    for top in both:
        hidden: list[bytes] = []
        found = walk_files(
            top + below, frames=frames, without=[Path(f"{top}/out")], name=b"q", on_hidden=hidden.append
        )  # fmt: skip
        walks.append([(found._replace(path=found.path[len(top) :])) for found in found])
        assert len(hidden) == (3 if not below else 0)
    assert walks[0] == walks[1]
    assert len(walks[0]) == {"": 14 - 5 * frames, "/v": 3 - 2 * frames, "/b-": 1}[below] - (not below and 1)


def test_a_folder_that_is_not_there_has_no_files_and_one_that_may_not_be_listed_stops(both):
    assert list(walk_files(f"{both[1]}/nothing")) == []
    allow_typed([])
    with pytest.raises(InputError, match="memory:// is not opened"):
        list(walk_files(both[1]))
