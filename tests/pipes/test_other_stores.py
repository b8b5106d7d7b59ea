"""gs:// and hf:// with a local file system in their place, and shards on a store: what is read, written and counted."""

import json
import sys

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from remote_servers import serve
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.extras import EXTRAS
from omnicli.streams.files import remote
from omnicli.streams.files.stored import read_file
from omnicli.streams.files.urls import STORES, allow_typed

REGISTERED = sys.modules["fsspec.registry"]._registry


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _own_systems(monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "_systems", {})
    monkeypatch.setattr(remote, "PAUSES_SEC", (0.01,))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    allow_typed([])


@pytest.fixture
def images(tmp_path):
    import cv2

    (tmp_path / "web").mkdir()
    for number in range(200):
        pixels = np.random.default_rng(number).integers(0, 255, (320, 320, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "web" / f"{number:03d}.jpg"), pixels)
    return tmp_path


def stand_in(scheme):
    """A file system in memory under another scheme."""

    class Store(MemoryFileSystem):  # type: ignore[misc]
        protocol = scheme
        store, pseudo_dirs = {}, [""]

        @classmethod
        def _strip_protocol(cls, path):
            return super()._strip_protocol(path.removeprefix(f"{scheme}://"))

    return Store


@pytest.mark.parametrize("scheme", ["gs", "hf"])
def test_other_schemes_go_through_their_file_system(images, monkeypatch, scheme):
    monkeypatch.setitem(REGISTERED, scheme, stand_in(scheme))
    monkeypatch.setitem(EXTRAS, STORES[scheme], ())  # whose libraries are not needed now
    top = f"{scheme}://datasets/me/crawl"
    allow_typed([top])
    for path in sorted((images / "web").iterdir())[:3]:
        remote.upload(str(path), f"{top}/web/{path.name}")
    found = {}
    for place in (str(images), top):
        (images / "list.jsonl").write_text(
            "".join(json.dumps({"path": f"web/{n:03d}.jpg"}) + "\n" for n in (0, 1, 999))
        )
        allow_typed([top])
        remote.upload(str(images / "list.jsonl"), f"{top}/lists/a.jsonl")
        words = ["index", "--probe", f"{top}/lists/a.jsonl", "--root", place, "--summary", images / "sums.json"]
        result = omni(*words, "-o", f"{place}/out/", "--rejects", f"{place}/bad/")
        assert result.exit_code == 0, result.stderr
        allow_typed([top])
        found[place] = [read_file(f"{place}/{name}/a.jsonl") for name in ("out", "bad")]
        done = read_file(f"{place}/out/a.jsonl.done.json")
        assert json.loads(done)["input"] == f"{top}/lists/a.jsonl"
        again = omni(*words, "-o", f"{place}/out/", "--rejects", f"{place}/bad/")
        assert "1 of 1 files were done before" in again.stderr
    assert found[top] == found[str(images)]
    assert found[top][0].count(b"\n") == 2
    assert json.loads(found[top][1])["reason"] == "unreadable: no such file"


@pytest.mark.parametrize(
    ("scheme", "library", "extra"), [("gs", "gcsfs", "gcs"), ("hf", "huggingface_hub", "hf"), ("s3", "s3fs", "s3")]
)
def test_a_library_that_is_missing_is_named_with_its_extra(monkeypatch, scheme, library, extra):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(REGISTERED, scheme, raising=False)
    result = omni("index", f"{scheme}://bucket/a.jsonl")
    assert result.exit_code == 2, result.stderr
    assert f"pip install 'omnicli[{extra}]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_rows_of_a_shard_fetch_a_part_of_it_which_the_summary_counts(images):
    packed = omni("pack", images / "web", "--shards", images / "px", "-o", images / "packed.jsonl")
    assert packed.exit_code == 0, packed.stderr
    shard = images / "px" / "00000.h5"
    lines = (images / "packed.jsonl").read_text().splitlines()
    (images / "two.jsonl").write_text("".join(f"{line}\n" for line in (lines[3], lines[30])).replace(f"{images}/", ""))
    with serve(images) as server:
        for name, num_records in (("two.jsonl", 2), ("px/00000.h5", 200)):
            server.num_bytes = 0
            result = omni(
                "pack", "--short-side", "32", "--workers", "1", f"{server.url}/{name}", "--root", server.url,
                "--shards", images / f"small-{num_records}", "-o", images / f"{num_records}.jsonl", "--summary",
                images / "sums.json",
            )  # fmt: skip
            assert result.exit_code == 0, result.stderr
            sums = json.loads((images / "sums.json").read_text())
            assert (sums["kept"], sums["fetched_bytes"]) == (num_records, server.num_bytes)
            assert num_records == 200 or server.num_bytes < 0.5 * shard.stat().st_size
