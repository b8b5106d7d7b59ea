"""A command line as data: what it would run, without running it."""

import pytest

from omnicli.commands.invocation import current_argv, prepare, running
from omnicli.errors import InputError, UsageError


def test_a_prepared_command_has_loaded_and_written_nothing(tmp_path):
    prepared = prepare(["inflate", "--mode", "still", "--seed", "3", "a.jsonl", "-o", f"{tmp_path}/out/"])
    assert prepared.spec.name == "inflate"
    assert prepared.spec.options["seed"] == 3
    assert prepared.streams.inputs == ["a.jsonl"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "jobs are made of index"),
        (["train", "--target", "t.jsonl"], "train: jobs are made of index"),
        (["inflate", "--mode", "sideways", "a.jsonl"], "inflate: .*sideways"),
        (["inflate", "--nonsense"], "inflate: .*--nonsense"),
        (["inflate", "--fit", "a.jsonl", "-o", "motion.json"], "--fit makes one result"),
        (["index", "--help"], "run nothing"),
    ],
)
def test_what_cannot_become_jobs_is_a_usage_error(argv, message):
    with pytest.raises(UsageError, match=message):
        prepare(argv)


def test_files_of_options_are_checked(tmp_path):
    with pytest.raises(InputError, match=r"motion\.json: no such file"):
        prepare(["inflate", "--motion", f"{tmp_path}/motion.json", "a.jsonl"])


def test_the_words_of_the_running_command_are_known_in_its_block():
    with running(["index", "web"]):
        assert current_argv() == ("index", "web")
    assert current_argv() == ()
