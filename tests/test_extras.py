"""A missing extra is named with its pip line before PyTorch is imported, by every command that needs it."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from omnicli import extras
from omnicli.errors import UsageError

CLIP = json.dumps({"model": {"name": "clip-ViT-B-16", "classes": ["a"]}})
COMMANDS = {
    "clip": [
        ["zero-shot", "classes.txt", "--clip", "x:y", "-o", "t.pth"],
        ["filter", "--teacher", "clip.pth", "web.jsonl"],
        ["segment", "--teacher", "clip.safetensors", "web.jsonl"],
        ["features", "--checkpoint", "clip.pth", "--shards", "f", "web.jsonl"],
        ["dedup", "--checkpoint", "clip.pth", "--target", "web.jsonl", "web.jsonl"],
        ["teacher-train", "clips", "--init", "clip.pth", "-o", "t.pth"],
        ["convert", "clip.pth", "t.safetensors"],
    ],
    "transformers": [
        ["eval", "--checkpoint", "folder", "web.jsonl"],
        ["teacher-train", "clips", "--model", "transformers-videomae", "--init", "scratch", "-o", "t.pth"],
        ["train", "--target", "a.jsonl", "--auxiliary", "b.jsonl", "--init", "folder", "-o", "t.pth"],
    ],
    "onnx": [
        ["filter", "--teacher", "model.onnx", "web.jsonl"],
        ["eval", "--checkpoint", "model.onnx", "web.jsonl"],
        ["convert", "clip.pth", "t.onnx"],
    ],
    "ray": [["filter", "--teacher", "t.pth", "web.jsonl", "-o", "out/", "--engine", "ray"]],
    "tensorboard": [
        ["train", "--target", "a.jsonl", "--auxiliary", "b.jsonl", "--model", "tsn-resnet50", "-o", "t.pth",
         "--tensorboard", "tb"],
    ],
    "s3": [["filter", "--teacher", "model.onnx", "s3://bucket/web.jsonl"], ["index", "web", "--root=s3://bucket"]],
    "gcs": [["index", "gs://bucket/web"]],
    "hf": [["index", "hf://datasets/a/b"]],
}  # fmt: skip
SCRIPT = """
import json, sys
from omnicli import extras
real = extras.find_spec
from omnicli.app import app
for extra, argv in json.load(sys.stdin):
    hidden = extras.EXTRAS[extra]
    extras.find_spec = lambda name: None if name in hidden else real(name)
    try:
        app(argv)
    except SystemExit as end:
        print(extra, end.code, "torch" in sys.modules, flush=True)
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text('{"model_type": "videomae"}')
    for name in ("web.jsonl", "a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"path": "a.jpg"}\n')
    (tmp_path / "t.pth").write_bytes(b"PK\3\4")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    with zipfile.ZipFile(tmp_path / "clip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02X" + CLIP.encode())
    header = json.dumps({"__metadata__": {"omni": json.dumps({"version": 1, "meta": json.loads(CLIP)})}}).encode()
    (tmp_path / "clip.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return tmp_path


def test_every_command_names_the_pip_line_before_pytorch_is_imported(files):
    runs = [(extra, argv) for extra, commands in COMMANDS.items() for argv in commands]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(runs), capture_output=True, text=True, cwd=files, timeout=300
    )
    assert done.stdout.splitlines() == [f"{extra} 2 False" for extra, _ in runs]
    said = [line for line in done.stderr.splitlines() if "pip install" in line]
    assert [re.search(r"pip install 'omnicli\[(\w+)\]'", line)[1] for line in said] == [extra for extra, _ in runs]
    assert "omni filter: clip.pth needs open_clip: pip install 'omnicli[clip]'" in said
    assert sorted(path.name for path in files.iterdir()) == sorted(
        ["folder", "web.jsonl", "a.jsonl", "b.jsonl", "t.pth", "model.onnx", "clip.pth", "clip.safetensors"]
    )


def test_extras_are_those_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert set(extras.EXTRAS) == set(project["optional-dependencies"]) - {"dev"}


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UsageError, match=r"^m\.onnx needs onnxruntime: pip install 'omnicli\[onnx\]'$"):
        extras.need("onnx", "m.onnx")
    extras.need("clip", "x")
