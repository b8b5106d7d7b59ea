"""Markers refuse what would be another result, and see an output that was changed since."""

import json
import os

import pytest

from omnicli.errors import OmniError
from omnicli.streams.write.markers import is_done, mark_done, unmark
from omnicli.streams.write.output_folder import Job

OPTIONS = {"teacher": ["abc"], "batch_size": 32, "device": "cuda", "root": "/mnt/a", "threshold": 0.5}


@pytest.fixture
def job(tmp_path):
    job = Job(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "in.jsonl", None, None, "")
    job.source.write_text('{"id": "a"}\n')
    job.out.write_text('{"id": "a"}\n')
    mark_done(job, options=OPTIONS, counters={"in": 1})
    return job


@pytest.mark.parametrize("change", [{"batch_size": 8}, {"device": "cpu"}, {"root": "/mnt/b"}])
def test_how_a_run_computes_may_change(job, change):
    """A smaller batch after a lack of memory, another device, another mount point."""
    assert is_done(job, OPTIONS | change)


@pytest.mark.parametrize("change", [{"teacher": ["abd"]}, {"threshold": 0.6}, {"classes": "def"}])
def test_what_decides_verdicts_may_not(job, change):
    with pytest.raises(OmniError, match=f"made with other options .{next(iter(change))} "):
        is_done(job, OPTIONS | change)


def test_another_root_gives_index_other_paths(job):
    options = {"command": "index", "root": "/mnt/a"}
    mark_done(job, options=options, counters={"in": 1})
    assert is_done(job, options)
    with pytest.raises(OmniError, match=r"made with other options .root '/mnt/a' then, '/mnt/b' now"):
        is_done(job, options | {"root": "/mnt/b"})


def test_an_output_that_another_process_wrote_to_is_made_again(job):
    with job.out.open("a") as file:
        file.write('{"id": "b"}\n')
    assert not is_done(job, OPTIONS)


def test_an_output_of_the_same_size_is_compared_by_its_digest(job):
    os.utime(job.out, (1, 1))
    assert is_done(job, OPTIONS)
    job.out.write_text('{"id": "b"}\n')
    assert not is_done(job, OPTIONS)


def test_markers_of_before_say_nothing_of_the_output(job):
    marker = json.loads(job.marker.read_text())
    del marker["output"]
    job.marker.write_text(json.dumps(marker))
    assert is_done(job, OPTIONS)


def test_without_its_marker_a_job_is_open(job):
    unmark(job)
    assert not is_done(job, OPTIONS)
