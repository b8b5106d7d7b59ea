"""Small ONNX programs as other tools would export them, and hostile ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

REASON = "needs pip install 'omnicli[onnx]'"
onnx = pytest.importorskip("onnx", reason=REASON)
onnxruntime = pytest.importorskip("onnxruntime", reason=REASON)
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto
NUM_CLASSES = 3
ORDERS = {"NCHW": "NCHW", "NHWC": "NCHW", "NCTHW": "NCTHW", "NTCHW": "NCTHW", "NTHWC": "NCTHW"}


def weights(num_channels: int = 3) -> np.ndarray:
    """(C, K) of the only layer."""
    return np.random.default_rng(0).normal(size=(num_channels, NUM_CLASSES)).astype(np.float32)


def program(
    axes: str = "NCHW", sizes: Sequence[int | str | None] = ("batch", 3, 32, 32), *, dtype: int = TensorProto.FLOAT,
    extra: Sequence[Any] = (), initializers: Sequence[Any] = (), last: str = "", **changes: Any,
) -> Any:  # fmt: skip
    """A model whose logits are a linear function of the mean colours of images or clips."""
    to_ours = [axes.index(axis) for axis in ORDERS[axes]]
    outs = "scores" if last else "logits"
    nodes = [
        helper.make_node("Transpose", ["images"], ["ours"], perm=to_ours),
        helper.make_node("GlobalAveragePool", ["ours"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        *extra,
        *([helper.make_node(last, ["logits"], ["scores"])] if last else []),
    ]
    kind = np.float16 if dtype == TensorProto.FLOAT16 else np.float32
    inits = [numpy_helper.from_array(weights().astype(kind), "weights"), *initializers]
    fields = {
        "inputs": [helper.make_tensor_value_info("images", dtype, list(sizes))],
        "outputs": [helper.make_tensor_value_info(outs, dtype, ["batch", NUM_CLASSES])],
        "initializer": inits,
    }  # fmt: skip
    graph = helper.make_graph(nodes, "made", **{**fields, **changes})
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, domain: str = "", **attributes: Any) -> Any:
    """An operator beside the others, whose output nobody reads."""
    return helper.make_node(op, ["images"], ["unread"], name="evil", domain=domain, **attributes)


def outside(name: str = "outside") -> Any:
    """A tensor whose numbers are in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def subgraph(*, nodes: Sequence[Any] = (), initializers: Sequence[Any] = ()) -> Any:
    """A graph for a branch of an ``If``."""
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [])
    return helper.make_graph(list(nodes), "branch", [], [value], initializer=list(initializers))


def save(model: Any, path: Any, **metadata: str) -> Any:
    """Write a model with metadata; returns the path."""
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path
