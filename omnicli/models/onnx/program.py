"""An ONNX file as data: what it says of itself, checked before anything of it is computed. It can run no code.

Accepted are graphs of ONNX's own operators, in one file, with one input of images or clips and one output of logits.
Refused by name is what would load a library or another file (operators of other domains, weights outside the file),
what may never end (loops), what draws random numbers, and what claims more numbers than the file holds.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnicli.errors import ModelError
from omnicli.extras import need
from omnicli.streams.files.sniff import HEAD_BYTES, sniff

SUFFIX = ".onnx"
OWN_DOMAINS = ("", "ai.onnx")
MAX_BYTES = (2 << 30) - 1  # of a protobuf message
MIN_OPSET = 7  # the oldest that onnxruntime computes
MAX_SIDE, MAX_FRAMES, MAX_CLASSES = 4096, 1024, 1 << 20
MAX_NUMBERS = 1 << 31  # in one tensor that is not in the file
MAX_SHAPE_BYTES = 4096  # of a constant that may be a shape
FLOATS = {1: "float32", 10: "float16"}  # by TensorProto.DataType
SHAPE_INPUTS = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}  # which input says how many numbers come out
SCORES = ("Softmax", "Sigmoid")
RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
REFUSED = {
    **dict.fromkeys(("Loop", "Scan"), "may never end"),
    **dict.fromkeys(RANDOM, "draws random numbers, so that scores could not be repeated"),
}


@dataclass(frozen=True)
class Port:
    """The input or the output of a program.

    Attributes:
        name: in the file.
        shape: sizes; None where any size is taken.
        dtype: ``float32`` or ``float16``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('?' if size is None else str(size) for size in self.shape)})"


@dataclass(frozen=True)
class Program:
    """An ONNX file that was checked.

    Attributes:
        data: the program, without what this version of ONNX does not know.
        images: the input.
        logits: the output.
        opset: version of its operators.
        metadata: texts by key.
        path: as given.
    """

    data: bytes
    images: Port
    logits: Port
    opset: int
    metadata: Mapping[str, str]
    path: str


def is_program(path: str | Path, data: bytes) -> bool:
    """Whether a file is an ONNX program by its first bytes, or is named like one."""
    return Path(path).suffix == SUFFIX or (data[:1] == b"\x08" and data[8:10] != b'{"')


def read_program(path: str | Path, data: bytes) -> Program:
    """The program in the bytes of a file.

    Raises:
        ModelError: not an ONNX program, or one that is refused; the message names the operator, tensor or port.
        UsageError: the extra is not installed.
    """
    need("onnx", str(path))
    model = _parse(path, data)
    opset = _check_operators(path, model)
    graphs = list(_graphs_of(model.graph))
    constants = {}
    for graph in graphs:
        for name, tensor in _tensors_of(path, graph):
            _check_tensor(path, tensor)
            constants[name] = tensor
    for graph in graphs:
        _check_claims(path, graph, constants)
    given = {tensor.name for tensor in model.graph.initializer}
    images = _port(path, "input", [value for value in model.graph.input if value.name not in given])
    logits = _port(path, "output", list(model.graph.output))
    _check_ports(path, images, logits)
    _check_last(path, model.graph, logits)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return Program(model.SerializeToString(), images, logits, opset, metadata, str(path))


def _parse(path: str | Path, data: bytes) -> Any:
    import onnx  # noqa: PLC0415 (an extra)
    from google.protobuf.message import DecodeError  # noqa: PLC0415 (comes with onnx)

    if len(data) > MAX_BYTES:
        raise ModelError(f"{path}: larger than 2 GiB, the most that an ONNX file can hold")
    model = onnx.ModelProto()
    kind = sniff(data[:HEAD_BYTES])[1]
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelError(f"{path}: not an ONNX program, or a damaged one ({kind})") from None
    if not (model.ir_version and model.opset_import and model.graph.node):
        raise ModelError(f"{path}: not an ONNX program ({kind})")
    model.DiscardUnknownFields()  # what is not checked here is not seen by onnxruntime either
    return model


def _check_operators(path: str | Path, model: Any) -> int:
    """The version of the operators. Raises ModelError: one of them is refused."""
    import onnx  # noqa: PLC0415 (an extra)

    if model.functions:
        raise ModelError(
            f"{path}: defines the function {model.functions[0].name}; inline it: onnx.inliner.inline_local_functions"
        )
    for node in (node for graph in _graphs_of(model.graph) for node in graph.node):
        where = f"{path}: operator {node.op_type}{f' ({node.name})' if node.name else ''}"
        if node.domain not in OWN_DOMAINS:
            raise ModelError(f"{where} of {node.domain}: only ONNX's own are computed; export the model without it")
        if node.op_type in REFUSED:
            raise ModelError(f"{where} {REFUSED[node.op_type]}; export the model without it")
    newest = onnx.defs.onnx_opset_version()
    version = next((int(entry.version) for entry in model.opset_import if entry.domain in OWN_DOMAINS), 0)
    if not MIN_OPSET <= version <= newest:
        raise ModelError(f"{path}: ONNX opset {version}; expected {MIN_OPSET} to {newest}")
    return version


def _graphs_of(graph: Any) -> Iterator[Any]:
    """The graph and all graphs inside it."""
    yield graph
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graphs_of(inner)


def _tensors_of(path: str | Path, graph: Any) -> Iterator[tuple[str, Any]]:
    """The constants of one graph by name. Raises ModelError: a sparse one."""
    if graph.sparse_initializer:
        raise ModelError(f"{path}: sparse weights; save them as dense ones")
    yield from ((tensor.name, tensor) for tensor in graph.initializer)
    for node in graph.node:
        name = node.output[0] if node.op_type == "Constant" and node.output else ""
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise ModelError(f"{path}: sparse weights; save them as dense ones")
            for tensor in (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else [])):
                yield name, tensor


def _check_tensor(path: str | Path, tensor: Any) -> None:
    where = f"{path}: tensor {tensor.name or 'without a name'}"
    if tensor.data_location or tensor.external_data:
        raise ModelError(f"{where} is in another file; save the model as one file, without external data")
    if any(size < 0 for size in tensor.dims) or math.prod(tensor.dims) > 2 * tensor.ByteSize():  # 4-bit numbers
        raise ModelError(f"{where} claims {_shown(tensor.dims)} numbers, which the file does not hold")


def _check_claims(path: str | Path, graph: Any, constants: Mapping[str, Any]) -> None:
    """Raise ModelError for an operator whose constant shape is too large to be meant."""
    from onnx import numpy_helper  # noqa: PLC0415 (an extra)

    for node in graph.node:
        index = SHAPE_INPUTS.get(node.op_type, len(node.input))
        constant = constants.get(node.input[index]) if index < len(node.input) else None
        if constant is None or constant.ByteSize() > MAX_SHAPE_BYTES:
            continue
        try:
            sizes = [int(size) for size in numpy_helper.to_array(constant).reshape(-1)]
        except (ValueError, TypeError) as error:
            raise ModelError(f"{path}: tensor {node.input[index]} is damaged ({error})") from None
        if math.prod(sizes) > MAX_NUMBERS:
            raise ModelError(f"{path}: operator {node.op_type} claims {_shown(sizes)} numbers")


def _port(path: str | Path, what: str, values: list[Any]) -> Port:
    """The only input or output. Raises ModelError: there are others, or it is no tensor of floats."""
    if len(values) != 1:
        names = ", ".join(str(value.name) for value in values[:5])
        raise ModelError(f"{path}: {len(values)} {what}s ({names}); expected one")
    tensor = values[0].type.tensor_type
    if tensor.elem_type not in FLOATS:
        raise ModelError(f"{path}: {what} {values[0].name} is not a tensor of float32 or float16")
    return Port(values[0].name, tuple(_size_of(dim) for dim in tensor.shape.dim), FLOATS[tensor.elem_type])


def _size_of(dim: Any) -> int | None:
    if "channel" in str(dim.dim_param).lower():  # Ours: exporters that leave all sizes open name them
        return 3
    return int(dim.dim_value) if dim.HasField("dim_value") else None


def _check_ports(path: str | Path, images: Port, logits: Port) -> None:
    if len(images.shape) not in (4, 5):
        raise ModelError(f"{path}: input {images}: expected images (N, 3, H, W) or clips (N, 3, T, H, W)")
    if len(logits.shape) != 2:
        raise ModelError(f"{path}: output {logits}: expected logits (N, K)")
    for port, most in ((images, MAX_SIDE), (logits, MAX_CLASSES)):
        for size in port.shape:
            if size is not None and not 0 < size <= most:
                raise ModelError(f"{path}: {port}: a size of {size:,}; expected 1 to {most:,}")


def _check_last(path: str | Path, graph: Any, logits: Port) -> None:
    """Raise ModelError for an output of scores, which could be neither averaged nor calibrated as logits are."""
    last = next((node for node in graph.node if logits.name in node.output), None)
    if last is not None and last.op_type in SCORES:
        raise ModelError(f"{path}: output {logits} comes from {last.op_type}; export the logits before it")


def _shown(sizes: Any) -> str:
    return " x ".join(f"{size:,}" for size in sizes)
