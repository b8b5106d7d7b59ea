"""onnxruntime computes what the graph says, whatever the order of its axes and the size of its batch."""

import pytest
import torch
from made_onnx import TensorProto, node, onnxruntime, program, weights

from omnicli.errors import ModelError, UsageError
from omnicli.models.onnx.onnx_model import OnnxModel, axes_of
from omnicli.models.onnx.program import read_program

CPU = torch.device("cpu")
SIZES: dict[str, int | str] = {"N": "batch", "C": 3, "T": 4, "H": 8, "W": 8}


def started(model, **options):
    made = OnnxModel(read_program("m.onnx", model.SerializeToString()), **{"is_2d": True, **options})
    assert made.start(CPU) == CPU
    return made


def clips(count=5, frames=4, side=8):
    return torch.rand(count, 3, frames, side, side, generator=torch.Generator().manual_seed(0))


def expected(batch):
    return batch.mean(dim=(2, 3, 4)) @ torch.from_numpy(weights())


@pytest.mark.parametrize("axes", ["NCHW", "NHWC", "NCTHW", "NTCHW", "NTHWC"])
def test_the_axes_of_other_tools_are_recognised(axes):
    model = started(program(axes, [SIZES[axis] for axis in axes]), is_2d="T" not in axes)
    assert model.axes == axes
    assert model.is_framewise is model.is_2d is ("T" not in axes)
    torch.testing.assert_close(model(clips()), expected(clips()), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fixed", [1, 2, 8])
def test_a_fixed_batch_takes_any_number_in_parts(fixed):
    model = started(program(sizes=[fixed, 3, 8, 8]))
    torch.testing.assert_close(model(clips()), expected(clips()), atol=1e-6, rtol=1e-5)


def test_half_precision_is_its_own():
    model = started(program(dtype=TensorProto.FLOAT16, sizes=["n", 3, 8, 8]))
    logits = model(clips())
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected(clips()), atol=1e-2, rtol=1e-2)


def test_other_views_are_refused_by_name():
    with pytest.raises(UsageError, match=r"m\.onnx: its input is images \(\?, 3, 32, 32\), and the views are 3 x 8"):
        started(program())(clips())


def test_there_are_no_features_and_no_weights():
    model = started(program())
    for give in (lambda: model.features(clips()), model.state_dict, model.backbone.state_dict):
        with pytest.raises(ModelError, match=r"m\.onnx: an ONNX program scores media; it gives no features"):
            give()


def test_what_onnxruntime_refuses_is_a_line():
    with pytest.raises(ModelError, match=r"^m\.onnx: onnxruntime cannot compute it \(.*evil.*\)$"):
        started(program(extra=[node("NoSuchOperator")]))


def test_a_failure_while_it_runs_is_a_line():
    broken = started(program(sizes=["n", 3, None, None]))
    broken._session = None
    with pytest.raises(ModelError, match=r"^m\.onnx: onnxruntime cannot compute it \("):
        broken(clips())


def test_threads_are_those_of_the_process():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        options = started(program())._session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    finally:
        torch.set_num_threads(before)


def test_no_axis_of_three_channels_is_named():
    gray = read_program("m.onnx", program(sizes=["n", 1, 28, 28]).SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx: input images \(\?, 1, 28, 28\): expected images \(N, C, H, W\)"):
        axes_of(gray)


def test_without_cuda_it_says_that_it_runs_on_the_cpu(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    model = OnnxModel(read_program("m.onnx", program().SerializeToString()), is_2d=True)
    with pytest.warns(UserWarning, match=r"m\.onnx: runs on the CPU"):
        assert model.start(torch.device("cuda")) == CPU
