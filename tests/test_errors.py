"""Each error has the exit code that the drawing at the top of the module and `omni --help` promise."""

import re
import resource

import pytest

from omnicli import errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OmniError, 1),
        (errors.UsageError, 2),
        (errors.TooManyBad, 3),
        (errors.InputError, 65),
        (errors.MediaError, 65),
        (errors.ModelError, 66),
        (errors.OutputError, 73),
        (errors.Interrupted, 75),
    ],
)
def test_codes_are_as_designed_and_as_drawn(error, code):
    assert error("why").exit_code == code
    drawn = dict(re.findall(r"(\w+) +(\d+)  ", errors.__doc__))
    if error is not errors.UsageError:
        assert int(drawn[error.__name__]) == code


def test_an_interruption_says_whether_the_state_is_saved():
    assert errors.Interrupted("stopped").resumable
    assert not errors.Interrupted("stopped", resumable=False).resumable


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to ..."
        ),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_a_lack_of_memory_is_known_by_any_name(error):
    assert errors.is_out_of_memory(error)
    assert not errors.is_out_of_memory(errors.InputError(str(error)))
    assert not errors.is_out_of_memory(ValueError("expected 3"))


@pytest.mark.parametrize(("limit", "expected"), [(1 << 30, True), (resource.RLIM_INFINITY, False)])
def test_a_failure_without_a_reason_is_a_lack_of_memory_only_under_a_limit(monkeypatch, limit, expected):
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert errors.is_out_of_memory(SystemError("error return without exception set")) is expected
    assert errors.is_out_of_memory(RuntimeError("could not create a primitive")) is expected
