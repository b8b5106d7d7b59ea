"""The journal promises only what is on disk, and refuses what it did not begin."""

import os

import msgspec
import pytest

from omnicli.errors import ClaimedError, OmniError
from omnicli.streams.write import claims
from omnicli.streams.write.resume import Journal, chain_digest

OPTIONS = {"threshold": 0.5, "teacher": ["abc"]}


def start(tmp_path, *, rejects=False, options=OPTIONS, resume=True):
    rejects_path = tmp_path / "rejects.jsonl" if rejects else None
    return Journal.open(tmp_path / "out.jsonl", rejects=rejects_path, options=options, resume=resume)


def save(journal, consumed, *, finished=False):
    journal.save(consumed=consumed, digest="d", shards=0, counters={"in": consumed}, finished=finished)


def test_bytes_beyond_the_state_are_cut_off(tmp_path):
    journal = start(tmp_path)
    journal.kept.write(b"one\n")
    save(journal, 1)
    journal.kept.write(b"two, never promised\n")
    journal.close()
    again = start(tmp_path)
    assert again.resumed.consumed == 1
    again.kept.write(b"two\n")
    save(again, 2, finished=True)
    again.publish()
    assert (tmp_path / "out.jsonl").read_bytes() == b"one\ntwo\n"


def test_other_options_are_refused_and_named(tmp_path):
    journal = start(tmp_path)
    save(journal, 0)
    journal.close()
    with pytest.raises(OmniError, match=r"other options \(threshold 0.5 then, 0.7 now\).*--no-resume"):
        start(tmp_path, options=OPTIONS | {"threshold": 0.7})
    with pytest.raises(OmniError, match=r"\(part None then, '0/2' now\)"):  # by the option, not by the stored key
        start(tmp_path, options=OPTIONS | {"shard": "0/2"})


@pytest.mark.parametrize("rejects", [False, True])
def test_rejects_asked_for_or_given_up_halfway_are_refused(tmp_path, rejects):
    journal = start(tmp_path, rejects=rejects)
    save(journal, 3)
    journal.close()
    with pytest.raises(OmniError, match=f"rejects {rejects} then, {not rejects} now"):
        start(tmp_path, rejects=not rejects)
    again = start(tmp_path, rejects=rejects)
    assert again.resumed.consumed == 3
    again.close()


def test_no_resume_starts_over(tmp_path):
    journal = start(tmp_path)
    journal.kept.write(b"old\n")
    save(journal, 1)
    journal.close()
    fresh = start(tmp_path, resume=False)
    assert fresh.resumed is None
    assert fresh.kept.length == 0
    fresh.close()


def test_an_output_that_another_process_writes_is_refused(tmp_path):
    journal = start(tmp_path)
    with pytest.raises(OmniError, match="another process is writing it"):
        start(tmp_path)
    journal.close()


@pytest.mark.parametrize("published", ["nothing", "rejects", "both"])
def test_killed_while_publishing_the_next_start_publishes_the_rest(tmp_path, published):
    journal = start(tmp_path, rejects=True)
    journal.kept.write(b"kept\n")
    journal.rejects.write(b"rejected\n")
    save(journal, 2, finished=True)
    journal.close()
    if published != "nothing":
        (tmp_path / ".out.jsonl.rejects.part").rename(tmp_path / "rejects.jsonl")
    if published == "both":
        (tmp_path / ".out.jsonl.part").rename(tmp_path / "out.jsonl")
    again = start(tmp_path, rejects=True)
    assert again.resumed.finished
    again.publish()
    assert (tmp_path / "out.jsonl").read_bytes() == b"kept\n"
    assert (tmp_path / "rejects.jsonl").read_bytes() == b"rejected\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "rejects.jsonl"]


def test_an_empty_result_replaces_an_older_output_after_a_kill(tmp_path):
    (tmp_path / "out.jsonl").write_bytes(b"of an older run\n")
    journal = start(tmp_path)
    save(journal, 5, finished=True)
    journal.close()
    start(tmp_path).publish()
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_the_chained_digest_sees_changed_and_exchanged_lines():
    def chain(*lines):
        digest = ""
        for line in lines:
            digest = chain_digest(digest, line)
        return digest

    assert chain(b"a\n", b"b\n") == chain(b"a\n", b"b\n")
    assert len({chain(b"a\n", b"b\n"), chain(b"b\n", b"a\n"), chain(b"a\n"), chain(b"a\n", b"c\n")}) == 4


def test_what_a_kill_left_of_a_state_being_saved_is_gone_after_the_next_run(tmp_path):
    """Killed between writing and renaming the state: the half-born file does not stay behind."""
    (tmp_path / "..out.jsonl.state.tmp").write_bytes(b"{")
    (tmp_path / "..other.jsonl.state.tmp").write_bytes(b"{")
    journal = start(tmp_path)
    save(journal, 0, finished=True)
    journal.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["..other.jsonl.state.tmp", ".out.jsonl.part", ".out.jsonl.state"]


def test_a_process_that_comes_back_from_the_dead_publishes_nothing(tmp_path, monkeypatch):
    """Where locks of files say nothing: the second process has another inode, and the first one stops."""
    monkeypatch.setattr("fcntl.flock", lambda file, mode: None)
    first = start(tmp_path)
    first.kept.write(b"one\n")
    save(first, 1)
    with pytest.raises(ClaimedError):
        start(tmp_path)
    held = claims._read(tmp_path / ".out.jsonl.claim")
    silent = msgspec.structs.replace(held, host="node7", space="another boot")
    first.claim._holder = silent  # the same process, on another machine
    (tmp_path / ".out.jsonl.claim").write_bytes(msgspec.json.encode(silent))
    os.utime(tmp_path / ".out.jsonl.claim", (1, 1))
    second = start(tmp_path)
    assert second.resumed.consumed == 1
    second.kept.write(b"two\n")
    save(second, 2, finished=True)
    first.kept.write(b"from the dead\n")
    first.kept.flush()
    for act in (lambda: save(first, 2, finished=True), first.publish):
        with pytest.raises(OmniError, match="has taken the output over"):
            act()
    second.publish()
    first.close()
    assert (tmp_path / "out.jsonl").read_bytes() == b"one\ntwo\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
