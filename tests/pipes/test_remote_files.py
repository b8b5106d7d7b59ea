"""Commands on remote files: what is opened and what is refused, rejects with reasons, tars, videos by range."""

import io
import json
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest
from remote_servers import serve
from typer.testing import CliRunner

from omnicli.app import app
from omnicli.streams.files import remote, remote_file
from omnicli.streams.files.stored import file_exists, read_file
from omnicli.streams.files.urls import allow_typed


def omni(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setattr(remote, "PAUSES_SEC", (0.01, 0.01))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    allow_typed([])


@pytest.fixture
def crawl(tmp_path):
    """A folder of five images, one broken, and a file outside it."""
    import cv2

    folder = tmp_path / "crawl"
    (folder / "web" / "q é").mkdir(parents=True)
    for number in range(5):
        image = np.random.default_rng(number).integers(0, 255, (200 + number, 300, 3), np.uint8)
        cv2.imwrite(str(folder / "web" / "q é" / f"{number} a.jpg"), image)
    (folder / "web" / "page.jpg").write_bytes(b"<html>")
    (tmp_path / "secret.jpg").write_bytes((folder / "web" / "q é" / "0 a.jpg").read_bytes())
    return folder


def write_list(path, *paths):
    path.write_text("".join(json.dumps({"id": str(i), "path": name}) + "\n" for i, name in enumerate(paths)))
    return path


def test_a_record_opens_no_other_host_scheme_or_folder(crawl, tmp_path):
    """Server-side request forgery, each way."""
    with serve(tmp_path) as server, serve(tmp_path) as other:
        server.redirects["/crawl/away.jpg"] = f"{other.url}/secret.jpg"
        records = write_list(
            tmp_path / "list.jsonl", "web/q é/0 a.jpg", f"{other.url}/secret.jpg", "away.jpg", "s3://bucket/a.jpg",
            f"file://{tmp_path}/secret.jpg", "../secret.jpg", "web/../../../secret.jpg", f"{tmp_path}/secret.jpg",
            f"//127.0.0.1:{other.port}/secret.jpg", "memory://a.jpg", f"https://127.0.0.1:{server.port}/secret.jpg",
            f"http://127.0.0.1:{server.port}@127.0.0.1:{other.port}/secret.jpg",
        )  # fmt: skip
        result = omni(
            "index", "--probe", records, "--root", f"{server.url}/crawl", "--rejects", tmp_path / "bad.jsonl"
        )  # fmt: skip
        assert [record["id"] for record in lines(result.stdout)] == ["0"]
        assert other.requests == []
        assert not any("secret" in path and not path.startswith("/crawl/") for _, path, _ in server.requests)
    reasons = {record["id"]: record["reason"] for record in lines((tmp_path / "bad.jsonl").read_text())}
    assert len(reasons) == 11
    refused = "is not opened: no argument of the command names it"
    assert reasons["1"] == reasons["2"] == f"unreadable: http://127.0.0.1:{other.port} {refused}"
    assert reasons["3"] == f"unreadable: s3:// {refused}"
    assert reasons["5"] == reasons["6"] == reasons["7"] == "unreadable: HTTP 404 Not Found"


def test_a_list_opens_what_the_command_names_only(crawl, tmp_path):
    with serve(crawl) as server, serve(crawl) as other:
        (crawl / "urls").write_text(f"{server.url}/web/page.jpg\n{other.url}/web/page.jpg\n{server.url}/no.jpg\n")
        result = omni("index", "--files-from", f"{server.url}/urls", "--rejects", tmp_path / "bad.jsonl")
        assert result.exit_code == 3, result.stderr
        assert other.requests == []
    found = [record["reason"] for record in lines((tmp_path / "bad.jsonl").read_text())]
    assert found[0] == "unreadable: not media (HTML page)"
    assert "is not opened" in found[1]
    assert found[2] == "unreadable: HTTP 404 Not Found"


def test_failures_are_rejects_with_their_reason_and_bytes_are_counted(crawl, tmp_path):
    paths = [f"web/q é/{number} a.jpg" for number in range(5)]
    with serve(crawl) as server:
        names = [f"/web/q%20%C3%A9/{number}%20a.jpg" for number in range(5)]
        server.failures = {names[1]: [503] * 9, names[2]: [403] * 9, names[3]: [500, 429]}
        result = omni(
            "index", "--probe", write_list(tmp_path / "list.jsonl", *paths, "gone.jpg"), "--root", server.url,
            "--rejects", "memory://out/bad.jsonl", "--summary", "memory://out/summary.json", "-o", "memory://out/a.jsonl",
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        sent = server.num_bytes
    assert "6 in = 3 kept + 0 rejected + 3 unreadable" in result.stderr
    assert "1 unreadable: HTTP N Service Unavailable, such as 1" in result.stderr
    assert "fetched 0.4 MB in 9 requests" in result.stderr
    summary = json.loads(read_file("memory://out/summary.json"))
    assert summary["fetched_bytes"] == sent
    assert summary["fetch_requests"] == 9
    assert {record["reason"] for record in lines(read_file("memory://out/bad.jsonl").decode())} == {
        f"unreadable: HTTP {why}" for why in ("503 Service Unavailable", "403 Forbidden", "404 Not Found")
    }


def test_an_input_that_is_not_there_stops_with_its_reason(crawl):
    with serve(crawl) as server:
        for name, why in (("list.jsonl", "HTTP 404 Not Found"), ("gone.jpg", "HTTP 404 Not Found")):
            result = omni("index", f"{server.url}/{name}")
            assert result.exit_code == 65
            assert result.stderr == f"omni index: {server.url}/{name}: {why}\n"
        result = omni("index", f"{server.url}/web/page.jpg", "-o", f"{server.url}/out.jsonl")
        assert result.exit_code == 73
        assert "an HTTP server takes no files" in result.stderr
        result = omni("filter", "--teacher", f"{server.url}/no.pth", f"{server.url}/web/page.jpg")
        assert result.exit_code == 66
        assert result.stderr == f"omni filter: {server.url}/no.pth: HTTP 404 Not Found\n"


@pytest.mark.parametrize("ranges", [True, False])
def test_tars_lists_and_shards_are_read_as_local_ones(crawl, tmp_path, ranges):
    with tarfile.open(crawl / "x.tar", "w") as tar:
        for path in sorted((crawl / "web").rglob("*.jpg")):
            tar.add(path, f"q/{path.name}")
            info = tarfile.TarInfo(f"q/{path.stem}.json")
            info.size = 12
            tar.addfile(info, io.BytesIO(b'{"label": 3}'))
    assert omni("pack", crawl / "web", "--shards", crawl / "px", "-o", crawl / "packed.jsonl").exit_code == 0
    found = {}
    with serve(crawl, ranges=ranges) as server:
        for top in (str(crawl), server.url):
            runs = [["x.tar"], ["packed.jsonl"], ["px/00000.h5"]]
            results = [omni("index", "--probe", *(f"{top}/{name}" for name in names)) for names in runs]
            records = write_list(tmp_path / "list.jsonl", "x.tar#q/1 a.jpg", "x.tar#q/no.jpg")
            results.append(omni("index", "--probe", records, "--root", top))
            assert [result.exit_code for result in results] == [0] * 4, [result.stderr for result in results]
            found[top] = [
                result.stdout.replace(top.replace("//", "/"), "TOP").replace(top, "TOP").replace(str(crawl), "TOP")
                for result in results
            ]
    assert found[server.url] == found[str(crawl)]
    assert [len(text.splitlines()) for text in found[server.url]] == [5, 5, 5, 1]


@pytest.mark.parametrize(("ranges", "size"), [(True, 3_000), (True, 300_000), (False, 3_000)])
def test_a_tar_is_fetched_once(tmp_path, ranges, size):
    """By the readers of its first bytes, its headers, its records and its members."""
    import cv2

    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number in range(12):
            pixels = np.random.default_rng(number).integers(0, 255, (size // 300, 100, 3), np.uint8)
            content = cv2.imencode(".bmp", pixels)[1].tobytes()
            info = tarfile.TarInfo(f"q/{number:03d}.bmp")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with serve(tmp_path, ranges=ranges) as server:
        words = ["index", "--probe", f"{server.url}/x.tar", "--summary", tmp_path / "sums.json"]
        result = omni(*words)
        assert result.exit_code == 0, result.stderr
        assert "12 in = 12 kept" in result.stderr
        assert not ranges or server.num_bytes == (tmp_path / "x.tar").stat().st_size
    fetched = json.loads((tmp_path / "sums.json").read_text())["fetched_bytes"]
    assert fetched == (tmp_path / "x.tar").stat().st_size


def test_a_member_of_a_tar_is_read_by_range(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number in range(20):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 1 << 20
            tar.addfile(info, io.BytesIO(np.random.default_rng(number).bytes(info.size)))
    with serve(tmp_path) as server:
        allow_typed([server.url])
        from omnicli.streams.files.media_files import open_binary, read_bytes

        content = read_bytes(f"{server.url}/x.tar#7.jpg")
        assert content == np.random.default_rng(7).bytes(1 << 20)
        assert server.num_bytes < 4 << 20  # headers and this member, of 20 MiB
        with open_binary(f"{server.url}/x.tar#8.jpg") as file:
            file.seek(-5, io.SEEK_END)
            assert file.read() == np.random.default_rng(8).bytes(1 << 20)[-5:]


def test_frames_of_a_video_do_not_fetch_all_of_it(tmp_path, monkeypatch):
    """The bar for a video of 10 minutes is measured in benchmarks/bench_remote.py."""
    from omnicli.media.source import open_media
    from omnicli.streams.record import Record

    monkeypatch.setattr(remote_file, "BLOCK_BYTES", 1 << 12)
    with av.open(str(tmp_path / "long.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "5", "preset": "ultrafast", "crf": "20"})
        stream.width, stream.height = 96, 64
        for pixels in np.random.default_rng(0).integers(0, 255, (300, 64, 96, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    wanted = [100, 200]
    with serve(tmp_path) as server, open_media(Record({"path": str(tmp_path / "long.mp4")})) as local:
        allow_typed([server.url])
        with open_media(Record({"path": f"{server.url}/long.mp4"})) as source:
            np.testing.assert_array_equal(source.read(wanted), local.read(wanted))
        assert server.num_bytes < 0.2 * (tmp_path / "long.mp4").stat().st_size


def test_many_remote_files_to_a_remote_folder_are_done_once(crawl):
    allow_typed(["memory://"])
    for name in ("a.jsonl", "b/c.jsonl"):
        write_list(crawl / "list.jsonl", "web/q é/0 a.jpg", "web/page.jpg")
        remote.upload(str(crawl / "list.jsonl"), f"memory://lists/{name}")
    command = [
        "index",
        "--probe",
        "memory://lists",
        "--root",
        crawl,
        "-o",
        "memory://done/",
        "--rejects",
        "memory://bad/",
    ]
    assert omni(*command).exit_code == 0
    made = {name: read_file(f"memory://done/{name}") for name in remote.list_files("memory://done")}
    assert sorted(made) == ["a.jsonl", "a.jsonl.done.json", "b/c.jsonl", "b/c.jsonl.done.json"]
    assert json.loads(made["a.jsonl.done.json"])["input"] == "memory://lists/a.jsonl"
    assert "2 of 2 files were done before" in omni(*command).stderr
    remote.remove("memory://done/b/c.jsonl")
    assert "1 of 2 files were done before" in omni(*command).stderr
    assert file_exists(Path("memory://done/b/c.jsonl"))
    write_list(crawl / "list.jsonl", "web/q é/1 a.jpg")
    remote.upload(str(crawl / "list.jsonl"), "memory://lists/a.jsonl")
    result = omni(*command)
    assert result.exit_code == 1
    assert "has changed since" in result.stderr
