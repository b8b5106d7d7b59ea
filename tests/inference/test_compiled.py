"""A compiled network gives the scores of the network but for rounding, or the network itself runs."""

import contextlib
import os
import signal
import subprocess
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_runs import wait_until
from torch import nn

from omnicli.errors import Interrupted, ModelError, UsageError
from omnicli.inference import compiled
from omnicli.inference.compiled import Compiler, cache_folder, compile_function, find_compiler, with_compiler
from omnicli.models.exact import with_exact
from omnicli.models.factory import ModelSpec
from omnicli.models.loading import LoadedModel
from omnicli.models.onnx.onnx_model import OnnxModel
from omnicli.models.tsn import TSN

SIDE = 32


@pytest.fixture(scope="module")
def model():
    """A few random convolutions, with a residual."""
    torch.manual_seed(0)
    network = TSN(Small(), 32, 4, fc_std=1.0).eval()
    spec = ModelSpec(
        name="small", classes=("a", "b", "c", "d"), mean=(120.0,) * 3, std=(60.0,) * 3, short_side=36, crop_size=SIDE,
        num_segments=3,
    )  # fmt: skip
    return LoadedModel(network, spec, 1.0, "", "small.pth", torch.device("cpu"), torch.float32)


class Small(nn.Module):
    """Frames (N, 3, H, W) to features (N, 32)."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, 2)
        self.second = nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, frames):
        """Features."""
        found = torch.relu(self.first(frames))
        return torch.relu(self.second(found) + found).mean(dim=(2, 3))


@pytest.fixture
def calls(monkeypatch):
    """Shapes that a stand-in of PyTorch's compiler was called for, and shapes that its programs ran on."""
    made: list[tuple[int, ...]] = []
    ran: list[tuple[int, ...]] = []

    def compile_stand_in(function, clips):
        made.append(tuple(clips.shape))

        def program(clips):
            ran.append(tuple(clips.shape))
            return function(clips)

        return program

    monkeypatch.setattr(compiled, "compile_function", compile_stand_in)
    return made, ran


def double(clips):
    """(N, D) of clips."""
    return 2 * clips.flatten(1)


def clips_of(count, side=4):
    return torch.arange(count * 3 * side * side, dtype=torch.float32).view(count, 3, 1, side, side)


def test_the_first_call_compiles_for_its_shape_and_other_numbers_of_clips_are_cut_or_filled_up(calls):
    made, ran = calls
    run = Compiler("m", 0)(double)
    for count in (8, 3, 8, 17):
        assert torch.equal(run(clips_of(count)), double(clips_of(count)))
    assert made == [(8, 3, 1, 4, 4)]
    assert set(ran) == set(made)


def test_clips_of_another_shape_take_the_function_itself(calls):
    made, ran = calls
    run = Compiler("m", 0)(double)
    run(clips_of(8))
    num_before = len(ran)
    assert torch.equal(run(clips_of(8, side=5)), double(clips_of(8, side=5)))
    assert len(made) == 1
    assert len(ran) == num_before


def test_a_function_is_compiled_once_for_all_jobs_of_a_process(calls, model):
    made, _ = calls
    ready = with_compiler(model, "on")
    for _ in range(2):
        assert ready.compiler is not None
        ready.compiler(ready.network.features)(torch.zeros(2, 3, 1, SIDE, SIDE))
    assert len(made) == 1


@pytest.mark.parametrize("why", ["it broke\nat length", ""])
def test_the_function_runs_and_one_warning_says_why_where_the_compiler_fails(monkeypatch, why):
    tries = []

    def fail(function, clips):
        tries.append(clips.shape)
        raise RuntimeError(why)

    monkeypatch.setattr(compiled, "compile_function", fail)
    run = Compiler("tsn.pth", 0)(double)
    with pytest.warns(UserWarning, match=f"tsn.pth: not compiled.*: {why[:8] or 'RuntimeError'}$") as caught:
        for _ in range(3):
            assert torch.equal(run(clips_of(2)), double(clips_of(2)))
    assert len(caught) == len(tries) == 1


def test_a_wrong_program_is_not_used(monkeypatch):
    monkeypatch.setattr(compiled, "compile_function", lambda function, clips: lambda clips: function(clips) + 1e4)
    with pytest.warns(UserWarning, match=r"off by 1e\+04"):
        assert torch.equal(Compiler("m", 0)(double)(clips_of(2)), double(clips_of(2)))


def test_a_program_that_is_not_finite_is_not_used(monkeypatch):
    monkeypatch.setattr(compiled, "compile_function", lambda function, clips: lambda clips: function(clips) * np.nan)
    with pytest.warns(UserWarning, match="off by nan"):
        assert torch.equal(Compiler("m", 0)(double)(clips_of(2)), double(clips_of(2)))


def test_ctrl_c_ends_the_compiler(monkeypatch):
    def interrupt(function, clips):
        raise KeyboardInterrupt

    monkeypatch.setattr(compiled, "compile_function", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Compiler("m", 0)(double)(clips_of(2))


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_stop_signal_ends_the_compiler_even_where_it_catches_it(monkeypatch, is_wrapped):
    def stop(function, clips):
        try:
            raise Interrupted("stopped by SIGTERM")
        except Interrupted as error:
            if not is_wrapped:
                raise
            raise RuntimeError("backend failed") from error

    monkeypatch.setattr(compiled, "compile_function", stop)
    with pytest.raises(Interrupted, match="SIGTERM"):
        Compiler("m", 0)(double)(clips_of(2))


def test_without_a_compiler_nothing_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(torch, "compile", None)
    with pytest.raises(ModelError, match=r"no C\+\+ compiler"):
        compile_function(double, clips_of(2))


@pytest.mark.parametrize(("given", "expected"), [("my++", "my++"), (None, "clang++")])
def test_the_compiler_is_the_one_of_cxx_or_an_installed_one(monkeypatch, tmp_path, given, expected):
    for name in ("my++", "clang++"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CXX", given) if given else monkeypatch.delenv("CXX", raising=False)
    assert find_compiler() == str(tmp_path / expected)


def test_compiled_code_is_kept_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "omnicli" / "compiled"


def test_a_program_of_another_runtime_is_refused(model):
    with pytest.raises(UsageError, match=r"--compile on: small\.pth is an ONNX program"):
        with_compiler(replace(model, network=OnnxModel.__new__(OnnxModel)), "on")


@pytest.mark.parametrize(
    ("name", "dtype", "device", "first"),
    [
        ("tsn-tf_efficientnet_b0", torch.bfloat16, "cpu", 4096),
        ("tsn-tf_efficientnet_b0", torch.float32, "cpu", None),
        ("tsn-resnet50", torch.bfloat16, "cpu", 16384),
        ("tsn-vit_tiny_patch16_224", torch.bfloat16, "cpu", 16384),
        ("slowonly-r50", torch.bfloat16, "cpu", 4096),
        ("tsm-resnet50", torch.bfloat16, "cpu", None),
        ("tsn-bninception", torch.bfloat16, "cpu", None),
        ("tsn-tf_efficientnet_b0", torch.bfloat16, "cuda", None),
    ],
)
def test_auto_compiles_models_that_are_known_to_gain(model, name, dtype, device, first):
    chosen = replace(model, spec=replace(model.spec, name=name), precision=dtype, device=torch.device(device))
    ready = with_compiler(chosen, "auto")
    assert (ready.compiler and ready.compiler.first_position) == first
    assert first is not None or ready is chosen
    always = with_compiler(chosen, "on").compiler
    assert always is not None
    assert always.first_position == 0


def test_auto_begins_earlier_where_records_cost_more(model):
    chosen = replace(model, spec=replace(model.spec, name="slowonly-r50"), precision=torch.bfloat16)
    ready = with_compiler(chosen, "auto", is_long=True)
    assert ready.compiler is not None
    assert ready.compiler.first_position == compiled.FIRST_RECORDS["long"]


def test_a_model_that_takes_too_long_to_compile_is_refused(model):
    chosen = replace(model, spec=replace(model.spec, name="torchvision-swin3d_b"), precision=torch.bfloat16)
    with pytest.raises(UsageError, match="swin3d_b takes too long to compile"):
        with_compiler(chosen, "on")
    assert with_compiler(chosen, "auto") is chosen


def test_auto_leaves_a_program_of_another_runtime_as_it_is(model):
    other = replace(model, network=OnnxModel.__new__(OnnxModel))
    assert with_compiler(other, "auto") is other


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pytorchs_compiler_gives_the_logits_but_for_rounding(model, dtype, monkeypatch, tmp_path):
    if find_compiler() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setenv(compiled.CACHE_VARIABLE, str(tmp_path))
    chosen = with_exact(model, dtype)
    clips = torch.randn((4, 3, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), warnings.catch_warnings():
        expected = chosen.network(clips)
        program = compile_function(chosen.network, clips)
        assert any(name.endswith(".so") for _, _, names in os.walk(tmp_path) for name in names)
        error = (program(clips) - model.network(clips)).abs().max()
        assert error <= {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype] * expected.abs().max()
        assert not torch._inductor.config.freezing


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_stopped_run_does_not_wait_for_the_compiler(teacher, world, shell_environment, tmp_path, number, code):
    """The C++ compiler of this test never ends."""
    begun, slow = tmp_path / "begun", tmp_path / "slow-c++"
    slow.write_text(f"#!/bin/sh\ntouch {begun}\nexec sleep 3600\n")
    slow.chmod(0o755)
    command = ["omni", "filter", "--teacher", str(teacher), "--precision", "bfloat16", "--compile", "on", "-q",
               "--threshold", "0.5", "-o", str(tmp_path / "kept.jsonl"), str(world / "web")]  # fmt: skip
    environment = shell_environment | {"CXX": str(slow), "XDG_CACHE_HOME": str(tmp_path)}
    with subprocess.Popen(
        command, env=environment, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job starts with it ignored
    ) as process:  # fmt: skip
        try:
            wait_until(begun.exists, 300)
            process.send_signal(number)
            assert process.wait(60) == code
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
