"""One output an input file, and a marker that cannot be fooled."""

import os

import pytest

from omnicli.errors import InputError, OmniError, UsageError
from omnicli.streams.folders import is_done, mark_done, missing_array, plan_jobs
from omnicli.streams.sharding import Shard

OPTIONS = {"threshold": 0.5, "teacher": ["abc"]}


@pytest.fixture
def crawl(tmp_path):
    for name in ("a/one.jsonl", "a/two.jsonl.gz", "b/three.tar", "b/four.h5", "b/notes.txt", "b/.one.jsonl.part"):
        path = tmp_path / "crawl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "crawl"


def test_record_files_keep_their_place_below_the_common_parent(crawl, tmp_path):
    jobs = plan_jobs([str(crawl)], tmp_path / "out", shard=None)
    outs = [job.out.relative_to(tmp_path / "out").as_posix() for job in jobs]
    assert outs == ["a/one.jsonl", "a/two.jsonl.gz", "b/four.jsonl", "b/three.jsonl"]


def test_two_inputs_for_one_output_are_refused(crawl, tmp_path):
    (crawl / "b" / "three.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match=r"three.jsonl and .*three.tar would both be written to"):
        plan_jobs([str(crawl)], tmp_path / "out", shard=None)


def test_shards_pick_each_file_exactly_once(crawl, tmp_path):
    whole = plan_jobs([str(crawl)], tmp_path / "out", shard=None)
    parts = [job for i in range(3) for job in plan_jobs([str(crawl)], tmp_path / "out", shard=Shard(i, 3))]
    assert sorted(parts, key=str) == sorted(whole, key=str)


def test_streams_and_missing_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="- is a stream"):
        plan_jobs(["-"], tmp_path, shard=None)
    with pytest.raises(InputError, match="no such file"):
        plan_jobs([str(tmp_path / "gone.jsonl")], tmp_path, shard=None)


def finished(crawl, tmp_path):
    job = plan_jobs([str(crawl / "a" / "one.jsonl")], tmp_path / "out", shard=None)[0]
    job.out.parent.mkdir(parents=True)
    job.out.write_bytes(b"{}\n")
    mark_done(job, options=OPTIONS, counters={"in": 1})
    return job


def test_a_job_is_done_only_with_marker_and_output(crawl, tmp_path):
    job = finished(crawl, tmp_path)
    assert is_done(job, OPTIONS)
    job.out.unlink()
    assert not is_done(job, OPTIONS)


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
    jobs = plan_jobs([str(crawl)], tmp_path / "out", shard=None)
    wanted = sorted({i for i in range(7) for job in jobs if Shard(i, 7).holds_key(job.key)})
    printed = missing_array(jobs, OPTIONS, shards_total=7)
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
    assert missing_array(jobs, OPTIONS, shards_total=7) == ""
