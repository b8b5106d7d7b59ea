"""Where ``ulimit -v`` leaves hardly room for the libraries, a command ends with a message instead of a crash."""

import resource
import subprocess
import sys

import pytest

from omnicli import memory_limit
from omnicli.errors import OmniError

MIB = 1 << 20


def limited(monkeypatch, bytes_):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (bytes_, bytes_))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    memory_limit.try_libraries_first()
    return sys.meta_path[0]


@pytest.mark.parametrize("bytes_", [resource.RLIM_INFINITY, 64 << 30])
def test_without_a_limit_or_with_a_wide_one_imports_are_as_ever(monkeypatch, bytes_):
    before = sys.meta_path[0]
    assert limited(monkeypatch, bytes_) is before


@pytest.mark.parametrize(
    ("code", "is_refused"),
    [
        ("pass", False),
        ("raise ImportError('no such library')", False),  # the command itself says what is missing
        ("raise ImportError('libx.so: failed to map segment from shared object')", True),
        ("raise RuntimeError('operator torchvision::nms does not exist')", True),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", True),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", True),  # OpenBLAS without memory for a thread
    ],
)
def test_a_library_is_refused_if_loading_it_fails_for_lack_of_memory(monkeypatch, tmp_path, code, is_refused):
    (tmp_path / "made_library.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(memory_limit, "TRIED", {"made_library": ("Made", ("made_library",), MIB)})
    finder = limited(monkeypatch, 4000 * MIB)
    if is_refused:
        with pytest.raises(OmniError, match=r"out of memory: no room to load Made under ulimit -v 4096000; raise"):
            finder.find_spec("made_library", None)
    assert finder.find_spec("made_library", None) is None  # tried once
    assert finder.find_spec("another", None) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_AS")
def test_probing_media_under_any_limit_ends_with_one_line(sh, world, tmp_path):
    endings = set()
    for mib in (350, 400, 440, 1500):
        script = f"omni index --probe -q world/web/image -o {tmp_path}/o.jsonl"
        made = sh(f"(ulimit -v {mib * 1024}; ulimit -c 0; {script}) || echo $?", cwd=world.parent)
        lines = [line for line in made.stderr.splitlines() if line.strip()]
        assert (made.stdout, len(lines)) in (("", 0), ("1\n", 1)), (mib, made)
        endings.add(made.stdout)
    assert endings == {"", "1\n"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not enforce RLIMIT_AS")
def test_commands_with_models_under_any_limit_end_with_one_line(sh, world, teacher, tmp_path):
    """Limits around what PyTorch needs to be loaded: all else is far above or far below."""
    needed = _mib_to_load("torch")
    commands = {
        "filter": f"--teacher {teacher} world/web/image world/web/video -o {tmp_path}/o.jsonl",
        "segment": f"--teacher {teacher} world/web/untrimmed -o {tmp_path}/o.jsonl",
        "train": f"--target world/target/train --init {teacher} -o {tmp_path}/s.pth",
    }
    for command, options in commands.items():
        for mib in range(needed - 100, needed + 500, 100):
            script = f"(ulimit -v {mib * 1024}; ulimit -c 0; omni {command} -q {options} --device cpu) || echo $?"
            made = sh(script, cwd=world.parent)
            lines = [line for line in made.stderr.splitlines() if line.strip()]
            assert (made.stdout, len(lines)) in (("", 0), ("1\n", 1)), (command, mib, made)


def test_commands_that_load_no_library_run_under_a_low_limit(sh, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id": "a", "pseudo_label": 0}\n{"id": "b", "pseudo_label": 1}\n')
    (tmp_path / "names.txt").write_text("a\nb\n")
    sh("(ulimit -v 307200; omni balance in.jsonl -o out.jsonl; omni queries names.txt -o queries.txt)", cwd=tmp_path)
    assert (tmp_path / "out.jsonl").exists()


def _mib_to_load(library):
    """The address space of a process that has loaded a library, MiB."""
    code = f"import {library}; print(open('/proc/self/statm').read().split()[0])"
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(made.stdout) * resource.getpagesize() // MIB
