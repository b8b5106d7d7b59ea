"""One output per input file, and a marker that proves it is finished."""

import json
import os

import pytest

from omnicli.errors import InputError, OmniError, UsageError
from omnicli.streams.partition import Part
from omnicli.streams.read.reader import read_records
from omnicli.streams.write.markers import is_done, mark_done
from omnicli.streams.write.output_folder import OutputFolders, find_jobs, missing_array

OPTIONS = {"threshold": 0.5, "teacher": ["abc"]}


@pytest.fixture
def crawl(tmp_path):
    for name in ("a/one.jsonl", "a/two.jsonl.gz", "b/three.tar", "b/four.h5", "b/notes.txt", "b/.one.jsonl.part"):
        path = tmp_path / "crawl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "crawl"


def find(*inputs, out, rejects=None, shards=None, part=None, skipped=None):
    """The jobs; ``skipped`` collects the names that are neither records nor media."""
    names = [] if skipped is None else skipped
    folders = OutputFolders(out, rejects, shards)
    on_skip = lambda path, what: names.append((path.name, what))  # noqa: E731
    return find_jobs([str(name) for name in inputs], folders, part=part, on_skip=on_skip)


def test_record_files_keep_their_path_below_the_common_parent(crawl, tmp_path):
    jobs = find(crawl, out=tmp_path / "out")
    outs = [job.out.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert outs == ["a/one.jsonl", "a/two.jsonl.gz", "b/four.jsonl", "b/three.jsonl"]


def test_every_file_of_records_that_a_reader_finds_has_an_output(crawl, tmp_path):
    """Every suffix and case, links to folders, no hidden files: the records are those of a run without -o DIR/."""
    (tmp_path / "elsewhere").mkdir()
    names = ("A.JSONL", "b.ndjson", "c.NDJSON.gz", "d.jsonl.zst", ".hidden.jsonl", "linked/e.jsonl")
    (crawl / "linked").symlink_to(tmp_path / "elsewhere")
    for letter in ("a", "b"):
        for path in (crawl / letter).iterdir():
            path.unlink()
    for name in names:
        (crawl / name).write_text(json.dumps({"id": name}) + "\n")
    read = [record["id"] for record in read_records([str(crawl)], on_drop=lambda *drop: None)]
    jobs = find(crawl, out=tmp_path / "out")
    assert [job.key for job in jobs] == read == sorted(set(names) - {".hidden.jsonl"})
    outs = [job.out.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert outs == ["A.jsonl", "b.ndjson", "c.ndjson.gz", "d.jsonl.zst", "linked/e.jsonl"]
    assert len({job.shard_prefix for job in jobs}) == len(jobs)


def test_files_without_records_are_reported(crawl, tmp_path):
    (crawl / "b" / "broken.jsonl").symlink_to("nowhere")
    skipped = []
    assert len(find(crawl, out=tmp_path / "out", skipped=skipped)) == 4
    assert skipped == [("broken.jsonl", "no such file"), ("notes.txt", "not media (text)")]


def test_media_in_a_folder_are_refused_and_named(crawl, tmp_path):
    (crawl / "b" / "image").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UsageError, match=r"crawl/b/image is media \(image\): use -o FILE, .* omni index .*crawl -o"):
        find(crawl, out=tmp_path / "out")
    (job,) = find(crawl / "b" / "image", out=tmp_path / "out")
    assert job.out == tmp_path / "out" / "image.jsonl"


def test_a_folder_that_cannot_be_listed_is_refused(crawl, tmp_path, monkeypatch):
    real = os.scandir

    def refuse(path):
        if path.endswith(b"/b"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="crawl/b: permission denied"):
        find(crawl, out=tmp_path / "out")


def test_an_output_is_never_an_input(crawl, tmp_path):
    """Whatever names it: -o, --rejects, --shards, a link, a parent of two inputs."""
    (tmp_path / "link").symlink_to(crawl)
    out = tmp_path / "out"
    with pytest.raises(UsageError, match=r"crawl/a/one.jsonl is an input and would be replaced"):
        find(crawl, out=crawl)
    with pytest.raises(UsageError, match=r"link/a/one.jsonl is an input"):
        find(crawl, out=tmp_path / "link")
    with pytest.raises(UsageError, match=r"crawl/a/one.jsonl is an input"):
        find(crawl / "a" / "one.jsonl", crawl / "b" / "four.h5", out=crawl)
    with pytest.raises(UsageError, match=r"crawl/a/one.jsonl is an input"):
        find(crawl, out=out, rejects=crawl)
    with pytest.raises(UsageError, match=r"crawl/a/one-00000.h5 would be an input of the next run"):
        find(crawl, out=out, shards=crawl)
    (crawl / "a" / "one.jsonl").rename(crawl / "a" / "one.tar")
    (crawl / "a" / "two.jsonl.gz").unlink()
    with pytest.raises(UsageError, match=r"crawl/a/one.jsonl would be an input of the next run"):
        find(crawl / "a", crawl / "b", out=crawl)


def test_folders_of_outputs_below_an_input_are_passed_over(crawl, tmp_path):
    places = {"out": crawl / "kept", "rejects": crawl / "b" / "left", "shards": crawl / "px"}
    first = find(crawl, **places)
    assert len(first) == 4
    for job in first:
        for path in (job.out, job.rejects, crawl / "px" / f"{job.shard_prefix}00000.h5"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"{}\n")
        mark_done(job, options=OPTIONS, counters={})
    assert find(crawl, **places) == first


def test_inputs_are_not_passed_over_because_outputs_will_lie_beside_them(crawl, tmp_path):
    (crawl / "b" / ".one.jsonl.part").unlink()
    for place in ("out", "rejects", "shards"):
        with pytest.raises(UsageError, match=r"crawl/b/\S+ is an input, and outputs would be written to \S+/b"):
            find(crawl, **{"out": tmp_path / "out", place: crawl / "b"})


def test_two_inputs_for_one_output_are_refused(crawl, tmp_path):
    (crawl / "b" / "three.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"three.jsonl and .*three.tar would both be written to"):
        find(crawl, out=tmp_path / "out")


def test_shards_pick_each_file_exactly_once(crawl, tmp_path):
    whole = find(crawl, out=tmp_path / "out")
    parts = [job for i in range(3) for job in find(crawl, out=tmp_path / "out", part=Part(i, 3))]
    assert sorted(parts, key=str) == sorted(whole, key=str)


def test_streams_and_missing_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="- is a stream: write it to a file"):
        find("-", out=tmp_path)
    with pytest.raises(InputError, match="no such file"):
        find(tmp_path / "gone.jsonl", out=tmp_path)


def finished(crawl, tmp_path):
    job = find(crawl / "a" / "one.jsonl", out=tmp_path / "out")[0]
    job.out.parent.mkdir(parents=True)
    job.out.write_bytes(b"{}\n")
    mark_done(job, options=OPTIONS, counters={"in": 1})
    return job


def test_a_job_is_done_only_with_marker_and_output(crawl, tmp_path):
    job = finished(crawl, tmp_path)
    assert is_done(job, OPTIONS)
    job.out.unlink()
    assert not is_done(job, OPTIONS)


def test_a_name_that_is_not_utf8_can_be_done(tmp_path):
    source = tmp_path / os.fsdecode(b"\xff.jsonl")
    source.write_bytes(b"{}\n")
    (job,) = find(source, out=tmp_path / "out")
    job.out.parent.mkdir()
    job.out.write_bytes(b"{}\n")
    mark_done(job, options=OPTIONS, counters={})
    assert is_done(job, OPTIONS)


def test_other_options_refuse_and_are_named(crawl, tmp_path):
    job = finished(crawl, tmp_path)
    with pytest.raises(OmniError, match=r"threshold 0.5 then, 0.7 now"):
        is_done(job, OPTIONS | {"threshold": 0.7})


def test_a_changed_input_refuses_and_a_touched_one_does_not(crawl, tmp_path):
    job = finished(crawl, tmp_path)
    os.utime(job.source, (1, 1))
    assert is_done(job, OPTIONS)
    job.source.write_bytes(b"a/two.jsonl")  # the same length
    with pytest.raises(OmniError, match="has changed since"):
        is_done(job, OPTIONS)


def test_missing_shards_are_printed_as_slurm_takes_them(crawl, tmp_path):
    jobs = find(crawl, out=tmp_path / "out")
    wanted = sorted({i for i in range(7) for job in jobs if Part(i, 7).holds_key(job.key)})
    printed = missing_array(jobs, OPTIONS, parts=7)
    assert printed.startswith("--array=")
    listed = []
    for run in printed.removeprefix("--array=").split(","):
        first, _, last = run.partition("-")
        listed += range(int(first), int(last or first) + 1)
    assert listed == wanted
    for job in jobs:
        job.out.parent.mkdir(parents=True, exist_ok=True)
        job.out.touch()
        mark_done(job, options=OPTIONS, counters={})
    assert missing_array(jobs, OPTIONS, parts=7) == ""
