"""Another file, or another folder, is another run."""

import os
import threading

import pytest

from omnicli.commands.options.digests import digest_of, digests_of_inputs
from omnicli.errors import InputError
from omnicli.streams.read.reader import read_records


def test_files_that_decide_have_a_digest_or_a_name(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(tmp_path / "a", InputError) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match="gone: no such file"):
        digest_of(tmp_path / "gone", InputError)


def test_another_file_in_a_target_folder_is_another_target(tmp_path):
    """A run never goes on with a target that has gained, lost, renamed or replaced a file since it was killed."""
    target = tmp_path / "val"
    (target / "deep").mkdir(parents=True)
    (target / "deep" / "a.mp4").write_bytes(b"four")
    seen = [digests_of_inputs([str(target)])]
    for change in (
        lambda: (target / "b.mp4").write_bytes(b""),
        lambda: (target / "deep" / "a.mp4").write_bytes(b"fives"),
        lambda: (target / "b.mp4").rename(target / "c.mp4"),
    ):
        change()
        assert digests_of_inputs([str(target)]) not in seen
        assert digests_of_inputs([str(target)]) == digests_of_inputs([str(target)])
        seen.append(digests_of_inputs([str(target)]))
    (target / "c.mp4").rename(target / "b.mp4")
    assert digests_of_inputs([str(target)]) == seen[2]


def test_a_pipe_is_told_by_what_it_gives_and_its_records_are_read_all_the_same(tmp_path):
    """``--target <(command)`` has one name whatever the command writes."""
    digests = set()
    for name in "ab":
        os.mkfifo(tmp_path / name)
        line = f'{{"id": "{name}", "path": "{name}.jpg"}}\n'
        writer = threading.Thread(target=(tmp_path / name).write_text, args=[line])
        writer.start()
        [[shown, digest]] = digests_of_inputs([str(tmp_path / name)])
        assert shown == "a pipe"
        digests.add(digest)
        writer.join()
        assert [record["id"] for record in read_records([str(tmp_path / name)], on_drop=print)] == [name]
    assert len(digests) == 2
