"""Options of engines that would do nothing are refused."""

import subprocess
import sys

import pytest

from omnicli import extras
from omnicli.commands.options.streams import StreamOptions
from omnicli.errors import UsageError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "local"}, "give -o DIR/"),
        ({"processes": 2}, "--processes needs --engine local"),
        ({"engine": "local", "output": "out/", "ray_address": "a:1"}, "--ray-address needs --engine ray"),
        ({"engine": "local", "output": "out/", "gpus_per_worker": 0.0}, "--gpus-per-worker needs --engine ray"),
        ({"output": "out/", "cpus_per_worker": 2}, "--cpus-per-worker needs --engine ray"),
        ({"engine": "local", "output": "out/", "missing": True, "parts": 2}, "--missing runs nothing"),
    ],
)
def test_options_that_do_nothing_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        StreamOptions(**options).check(whole_stream=None)


def test_decisions_over_the_whole_stream_refuse_the_engine():
    with pytest.raises(UsageError, match="--top decides over the whole stream and cannot be combined with --engine"):
        StreamOptions(engine="local", output="out/").check(whole_stream="--top")


def test_without_ray_the_line_to_install_it_is_the_message(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--engine ray needs ray: pip install 'omnicli\[ray\]'$"):
        StreamOptions(engine="ray", output="out/")


def test_this_is_said_before_anything_heavy_is_imported():
    script = """
import sys, importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "ray" else real(name, *more)
from omnicli.app import app
try:
    app(["filter", "--teacher", "missing.pth", "web/", "-o", "out/", "--engine", "ray"])
except SystemExit as end:
    print(end.code, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "2 False\n"
    assert "pip install 'omnicli[ray]'" in done.stderr
