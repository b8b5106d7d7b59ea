"""Checkpoints are written atomically, have reproducible bytes and hold no code."""

import json
import os
import pickle
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from omnicli.errors import ModelError, OutputError
from omnicli.models.checkpoint import load_any, load_weights, read_torch_file, save_checkpoint, write_torch_file

META = {"model": {"name": "tsn-x"}, "temperature": None}
WEIGHTS = {"fc.weight": torch.arange(6.0).view(2, 3), "fc.bias": torch.zeros(2)}


class Bomb:
    """Content of a hostile file: unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)))
def test_what_is_saved_comes_back(tmp_path_factory, extra):
    path = tmp_path_factory.mktemp("saved") / "a.pth"
    sha256 = save_checkpoint(path, meta={"extra": extra}, state_dict=WEIGHTS)
    loaded = load_any(path)
    assert loaded.meta == {"extra": extra}
    assert loaded.sha256 == sha256
    assert all(torch.equal(loaded.state_dict[name], tensor) for name, tensor in WEIGHTS.items())


def test_the_same_weights_give_the_same_bytes_under_any_name(tmp_path):
    save_checkpoint(tmp_path / "a.pth", meta=META, state_dict=WEIGHTS)
    save_checkpoint(tmp_path / "other name.pth", meta=META, state_dict=dict(WEIGHTS))
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "other name.pth").read_bytes()


def test_a_file_that_holds_code_is_refused_and_never_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"format": "omni-checkpoint", "version": 1, "meta": "{}", "state_dict": Bomb(trace)}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"a\.pth: refused"):
        load_any(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(ModelError, match=r"b\.pth"):
        load_weights(tmp_path / "b.pth")
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_a_model_error_that_names_it(tmp_path, keep):
    path = tmp_path / "a.pth"
    save_checkpoint(path, meta=META, state_dict=WEIGHTS)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    with pytest.raises(ModelError, match=r"a\.pth"):
        load_any(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"format": "omni-checkpoint", "version": 2}, "version 2"),
        ({"format": "omni-checkpoint", "version": 1, "meta": "{", "state_dict": {}}, "damaged"),
        ({"format": "omni-checkpoint", "version": 1, "meta": "[]", "state_dict": {}}, "list"),
        ({"format": "omni-checkpoint", "version": 1}, "damaged"),
        ([1, 2], "no weights"),
    ],
)
def test_files_that_are_not_checkpoints_say_why(tmp_path, content, says):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=says):
        load_any(tmp_path / "a.pth")


def test_a_version_that_is_no_small_number_is_not_printed(tmp_path):
    laughs: list[object] = ["ha"]
    for _ in range(30):
        laughs = [laughs, laughs]
    for version in (laughs, 10**5000):
        torch.save({"format": "omni-checkpoint", "version": version}, tmp_path / "a.pth")
        with pytest.raises(ModelError, match=r"a\.pth: checkpoint version unknown, this omni reads version 1"):
            load_any(tmp_path / "a.pth")


def test_a_list_in_place_of_weights_is_damage(tmp_path):
    doubled: tuple[object, ...] = ()
    for _ in range(60):
        doubled = (doubled, doubled)  # to hash it would take years
    content = {"format": "omni-checkpoint", "version": 1, "meta": "{}", "state_dict": [[doubled, torch.zeros(1)]]}
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(ModelError, match=r"a\.pth: damaged checkpoint"):
        load_any(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty file"),
        (b"hello\n", "text"),
        (b"\x93NUMPY\x01\0", "NumPy array"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_files_of_other_kinds_are_named(tmp_path, data, says):
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(ModelError, match=rf"a\.pth: not a checkpoint \(.*{says}.*\)$"):
        load_any(tmp_path / "a.pth")


def test_a_single_changed_byte_of_the_weights_is_detected(tmp_path):
    path = tmp_path / "a.pth"
    save_checkpoint(path, meta=META, state_dict={"fc.weight": torch.full((1000,), 7.0)})
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((4,), 7.0).numpy().tobytes()) + 2001] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged: the checksum"):
        load_any(path)


def test_a_compressed_archive_is_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\0" * 10_000_000)
    for load in (load_any, load_weights):
        with pytest.raises(ModelError, match="refused: a compressed archive"):
            load(tmp_path / "a.pth")


def test_a_missing_file_is_a_model_error():
    with pytest.raises(ModelError, match="No such file"):
        load_any("nowhere.pth")


def test_a_special_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link.pth").symlink_to(tmp_path / "fifo")
    for name in ("fifo", "link.pth"):
        with pytest.raises(OutputError, match=rf"{name}: cannot write: not a regular file"):
            save_checkpoint(tmp_path / name, meta=META, state_dict=WEIGHTS)
    assert (tmp_path / "fifo").is_fifo()
    assert (tmp_path / "link.pth").is_symlink()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_missing_folder_is_an_output_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        save_checkpoint(tmp_path / "nowhere" / "a.pth", meta=META, state_dict=WEIGHTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrap", [lambda w: w, lambda w: {"state_dict": w}, lambda w: {"model": w, "epoch": 3}])
def test_weights_are_found_bare_and_nested_and_data_parallel(tmp_path, wrap):
    torch.save(wrap({f"module.{name}": tensor for name, tensor in WEIGHTS.items()}), tmp_path / "a.pth")
    assert load_weights(tmp_path / "a.pth").keys() == WEIGHTS.keys()


def test_safetensors_are_read_and_broken_ones_refused(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    assert torch.equal(load_weights(tmp_path / "a.safetensors")["fc.weight"], WEIGHTS["fc.weight"])
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-5])
    with pytest.raises(ModelError, match=r"b\.safetensors"):
        load_weights(tmp_path / "b.safetensors")


def test_a_file_without_tensors_is_refused(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(ModelError, match="no weights found"):
        load_weights(tmp_path / "a.pth")


def test_a_process_killed_while_saving_leaves_the_earlier_file_complete(tmp_path):
    path = tmp_path / "a.pth"
    write_torch_file(path, {"round": -1, "weights": torch.zeros(10)})
    script = (
        "import sys, torch\nfrom omnicli.models.checkpoint import write_torch_file\n"
        "for i in range(10_000):\n"
        "    write_torch_file(sys.argv[1], {'round': i, 'weights': torch.full((200_000,), float(i))})\n"
        "    print(i, flush=True)\n"
    )
    saver = subprocess.Popen([sys.executable, "-c", script, os.fspath(path)], stdout=subprocess.PIPE)
    assert saver.stdout is not None
    saver.stdout.readline()
    time.sleep(0.05)
    saver.kill()
    saver.wait()
    saver.stdout.close()
    content, _ = read_torch_file(path)
    assert content["round"] >= 0
    assert torch.equal(content["weights"], torch.full((200_000,), float(content["round"])))


def test_a_failed_write_leaves_the_earlier_file_and_no_partial_one(tmp_path):
    """As on a full disk, the write fails halfway."""
    path = tmp_path / "a.pth"
    write_torch_file(path, {"round": 0})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OutputError, match=r"a\.pth: cannot write the checkpoint \(File too large\)"):
            write_torch_file(path, {"round": 1, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


def test_links_are_followed_and_the_mode_is_that_of_any_new_file(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "a.pth").symlink_to(tmp_path / "real" / "b.pth")
    save_checkpoint(tmp_path / "a.pth", meta=META, state_dict=WEIGHTS)
    plain = tmp_path / "plain"
    plain.write_text("")
    assert (tmp_path / "a.pth").is_symlink()
    assert (tmp_path / "real" / "b.pth").stat().st_mode == plain.stat().st_mode
    assert json.loads(read_torch_file(tmp_path / "a.pth")[0]["meta"]) == META


def test_the_earlier_file_is_unchanged_until_the_rename(tmp_path, monkeypatch):
    """Covers a kill just before the rename, which killing a process at random may miss."""
    path = tmp_path / "a.pth"
    write_torch_file(path, {"round": 0})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_torch_file(path, {"round": 1})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_a_pointer_of_git_lfs_says_how_to_fetch_the_file(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(ModelError, match="a Git LFS pointer: fetch the file with git lfs pull"):
        load_weights(tmp_path / name)


def test_a_pointer_of_git_lfs_from_the_field_says_how_to_fetch_the_file():
    path = Path(__file__).resolve().parents[3] / "shared" / "cases" / "media" / "lfs.safetensors"
    if not path.exists():
        pytest.skip("no ../shared/cases")
    with pytest.raises(ModelError, match="a Git LFS pointer: fetch the file with git lfs pull"):
        load_any(path)


def test_a_device_is_no_checkpoint():
    with pytest.raises(ModelError, match=r"^/dev/zero: cannot read the checkpoint \(a device\)"):
        load_any("/dev/zero")
