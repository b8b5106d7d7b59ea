"""What an exception becomes: one line on stderr, an exit code, nothing on stdout."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnicli import __version__
from omnicli.app import COMMANDS, app
from omnicli.commands import index
from omnicli.errors import InputError, Interrupted, ModelError, OutputError, TooManyBad, UsageError


def omni(*arguments):
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("words", "completed"),
    [("omni fil", {"filter"}), ("omni filter --teac", {"--teacher"}), ("omni segm", {"segment"})],
)
def test_a_shell_completes_commands_and_options(words, completed):
    environment = {"_OMNI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = CliRunner().invoke(app, [], env=environment, prog_name="omni")
    assert set(done.stdout.split()) == completed


@pytest.fixture
def failing(monkeypatch):
    """``failing(error)`` makes ``omni index .`` raise it."""

    def fail(error):
        def raises(*arguments, **options):
            raise error

        monkeypatch.setattr(index, "run_stage", raises)
        return omni("index", ".")

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("web.jsonl: why"), 2),
        (TooManyBad("web.jsonl: why"), 3),
        (InputError("web.jsonl: why"), 65),
        (ModelError("web.jsonl: why"), 66),
        (OutputError("web.jsonl: why"), 73),
        (Interrupted("web.jsonl: why"), 75),
        (Interrupted("web.jsonl: why", resumable=False), 143),
    ],
)
def test_an_error_is_one_line_and_its_code(failing, error, code):
    result = failing(error)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "omni index: web.jsonl: why\n"


def test_ctrl_c_is_130_and_a_closed_pipe_141_without_a_word(failing):
    assert failing(KeyboardInterrupt()).exit_code == 130
    result = failing(BrokenPipeError())
    assert (result.exit_code, result.stderr) == (141, "")


def test_a_bug_is_70_and_keeps_its_traceback_in_a_log(failing, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = failing(KeyError("x"))
    assert result.exit_code == 70
    assert result.stderr.startswith("omni index: internal error: KeyError: 'x'; the traceback is in ")
    log = Path(result.stderr.split(" is in ")[1].strip())
    assert "Traceback (most recent call last)" in log.read_text()


def test_omni_debug_shows_the_traceback(failing, monkeypatch):
    monkeypatch.setenv("OMNI_DEBUG", "1")
    assert "Traceback (most recent call last)" in failing(InputError("why")).stderr


def test_the_version_is_one_line_and_as_json_that_of_everything(monkeypatch):
    from importlib import metadata

    extras = ['typer>=1; extra == "clip"', "made-up[x]>=1; extra == 'ray'", 'pytest; extra == "dev"', "numpy>=2"]
    monkeypatch.setattr(metadata, "requires", lambda name: extras)
    assert omni("--version").stdout == f"omni {__version__}\n"
    versions = json.loads(omni("--version", "--json").stdout)
    assert versions["omni"] == __version__
    assert {"python", "torch", "av", "opencv-python-headless"} <= versions.keys()
    assert versions["extras"] == {"clip": {"typer": versions["typer"]}, "ray": {"made-up": "not installed"}}
    assert omni("--json").exit_code == 2


def test_help_lists_every_command_every_exit_code_and_every_variable():
    text = omni("--help").stdout
    for name in COMMANDS:
        assert f" {name} " in text
    for code in (0, 1, 2, 3, 65, 66, 70, 73, 75, 130, 141):
        assert f" {code}  " in text
    for variable in ("DEVICE", "PRECISION", "WORKERS", "BATCH_SIZE", "SEED", "DEBUG"):
        assert f"OMNI_{variable}" in text
    assert "<bool>" not in text  # as the type of an option without a value


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_opens_with_a_line_that_can_be_typed(name):
    text = omni(name, "--help").stdout
    assert f"$ omni {name} " in text


def test_no_argument_prints_the_help():
    result = omni()
    assert result.exit_code == 2
    assert "Usage: " in result.stdout + result.stderr


def test_help_is_readable_in_any_locale():
    for locale in ("C", "C.UTF-8"):
        run = subprocess.run(
            [sys.executable, "-m", "omnicli", "--help"],
            capture_output=True,
            env=os.environ | {"LC_ALL": locale},
            check=True,
        )
        assert b"filter" in run.stdout


@pytest.mark.parametrize("arguments", ["--help", "filter --help", "--version", "index -n"])
def test_a_full_disk_under_help_is_73_in_one_line(sh, arguments):
    made = sh(f"omni {arguments} > /dev/full || echo $?")
    assert made.stdout == "73\n"
    assert made.stderr.endswith("stdout: cannot write: No space left on device\n") and made.stderr.count("\n") == 1


def test_help_that_nobody_reads_is_141(sh):
    assert sh("(omni train --help || echo $? >&2) | true").stderr == "141\n"


def test_a_full_folder_for_temporary_files_is_73_and_named(sh, tmp_path):
    """Decisions over the whole stream put records aside there."""
    rows = "".join(
        json.dumps({"id": str(n), "pseudo_class": "a", "top_scores": [[0, 0.5]]}) + "\n" for n in range(20_000)
    )
    (tmp_path / "a.jsonl").write_text(rows)
    for command in ("balance", "filter --top 5 --classes c.txt"):
        (tmp_path / "c.txt").write_text("a\n")
        made = sh(f"(ulimit -f 64; cat a.jsonl | omni {command} - > /dev/null) || echo $?", cwd=tmp_path)
        assert made.stdout == "73\n"
        assert f"{tempfile.gettempdir()}: cannot write temporary data: File too large; set TMPDIR to" in made.stderr


def test_a_thread_that_still_computes_does_not_change_the_exit_code(shell_environment):
    """A thread inside PyTorch aborts the process if the interpreter ends it; a stopped training has such threads."""
    program = """
import sys, threading, torch
from omnicli.app import main

def compute():
    while True:
        torch.stack([torch.ones(200, 200)] * 50).sum()
        at_work.set()

at_work = threading.Event()
threading.Thread(target=compute, daemon=True).start()
at_work.wait()
sys.argv = ["omni", *sys.argv[1:]]
main()
"""
    for arguments, code in [(["--version"], 0), (["index", "no such folder"], 65)]:
        run = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=shell_environment
        )
        assert run.returncode == code, run.stderr
        assert run.stdout or run.stderr
