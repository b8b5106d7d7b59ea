"""What ``--summary`` and ``--dry-run`` write."""

import json
import sys
from pathlib import Path

import pytest

from omnicli import __version__
from omnicli.commands.run.summary import print_options, write_summary
from omnicli.errors import OutputError


def test_options_are_one_json_object_and_paths_are_text(capsys):
    print_options({"output": Path("a/b"), "class": "平泳ぎ", "limit": None})
    assert json.loads(capsys.readouterr().out) == {"output": "a/b", "class": "平泳ぎ", "limit": None}


def test_a_summary_starts_with_the_versions_and_replaces_the_file(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("a longer earlier summary" * 9)
    write_summary(path, {"in": 3, "paths": [Path("a")]})
    assert path.read_bytes().endswith(b"}\n")
    assert list(json.loads(path.read_text()).items()) == [
        ("omni", __version__), ("python", sys.version.split()[0]), ("in", 3), ("paths", ["a"]),
    ]  # fmt: skip


def test_a_summary_that_cannot_be_written_names_its_folder(tmp_path):
    with pytest.raises(OutputError, match="gone"):
        write_summary(tmp_path / "gone" / "summary.json", {})
