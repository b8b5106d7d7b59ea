"""An ONNX file is checked before any of it is computed: what could run code or open a file is refused by name."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_onnx import TensorProto, helper, node, numpy_helper, outside, program, subgraph

from omnicli.errors import ModelError
from omnicli.models.onnx.program import is_program, read_program

VALID = program().SerializeToString()
INFO = helper.make_tensor_value_info
HUGE = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=b"1234")
NEGATIVE = TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[-1, -4], raw_data=b"1234")
SIZES = numpy_helper.from_array(np.array([1 << 20, 1 << 20], np.int64), "sizes")


def branch(**inside):
    return helper.make_node("If", ["flag"], ["unread"], name="evil", then_branch=subgraph(**inside),
                            else_branch=subgraph())  # fmt: skip


def with_opset(version, domain=""):
    model = program()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid(domain, version))
    return model


def with_function():
    model = program()
    model.functions.append(helper.make_function("pkg", "mine", ["x"], ["y"], [], [helper.make_opsetid("", 17)]))
    return model


def with_sparse():
    model = program()
    model.graph.sparse_initializer.add()
    return model


REFUSED = {
    "custom operator": (program(extra=[node("Attack", "evil.domain")]), "operator Attack (evil) of evil.domain"),
    "file of a provider": (program(extra=[node("EPContext", "com.microsoft", ep_cache_context="/etc/passwd")]),
                           "operator EPContext (evil) of com.microsoft"),
    "custom operator inside": (program(extra=[branch(nodes=[node("Attack", "evil.domain")])]), "of evil.domain"),
    "function": (with_function(), "defines the function mine; inline it"),
    "weights elsewhere": (program(initializers=[outside()]), "tensor outside is in another file"),
    "constant elsewhere": (program(extra=[helper.make_node("Constant", [], ["unread"], value=outside())]),
                           "tensor outside is in another file"),
    "weights elsewhere inside": (program(extra=[branch(initializers=[outside()])]), "outside is in another file"),
    "claim": (program(initializers=[HUGE]), "tensor huge claims 1,099,511,627,776 numbers, which the file does not"),
    "negative claim": (program(initializers=[NEGATIVE]), "tensor huge claims -1 x -4 numbers"),
    "claim of a shape": (program(extra=[helper.make_node("ConstantOfShape", ["sizes"], ["unread"])],
                                 initializers=[SIZES]), "operator ConstantOfShape claims 1,048,576 x 1,048,576"),
    "damaged shape": (program(extra=[helper.make_node("ConstantOfShape", ["huge"], ["unread"])],
                              initializers=[TensorProto(name="huge", data_type=TensorProto.INT64, dims=[2],
                                                        raw_data=b"123")]), "tensor huge is damaged"),
    "sparse": (with_sparse(), "sparse weights"),
    "loop": (program(extra=[node("Loop", body=subgraph())]), "operator Loop (evil) may never end"),
    "random numbers": (program(extra=[node("RandomNormalLike")]), "draws random numbers"),
    "scores": (program(last="Softmax", outputs=[INFO("scores", 1, [1, 3])]), "output scores (1, 3) comes from Softmax"),
    "two inputs": (program(inputs=[INFO("images", 1, [1, 3, 8, 8]), INFO("more", 1, [1])]), "2 inputs (images, more)"),
    "two outputs": (program(outputs=[INFO("logits", 1, [1, 3]), INFO("flat", 1, [1, 3])]), "2 outputs (logits, flat)"),
    "bytes": (program(dtype=TensorProto.UINT8), "input images is not a tensor of float32 or float16"),
    "rows": (program(sizes=["n", 3]), "input images (?, 3): expected images (N, 3, H, W) or clips"),
    "maps": (program(outputs=[INFO("logits", 1, [1, 3, 4])]), "output logits (1, 3, 4): expected logits (N, K)"),
    "large input": (program(sizes=["n", 3, 1 << 20, 1 << 20]), "a size of 1,048,576; expected 1 to 4,096"),
    "large output": (program(outputs=[INFO("logits", 1, [1, 1 << 40])]), "a size of 1,099,511,627,776"),
    "old": (with_opset(6), "ONNX opset 6; expected 7 to"),
    "new": (with_opset(999), "ONNX opset 999; expected 7 to"),
    "no opset": (with_opset(17, "other"), "ONNX opset 0"),
}  # fmt: skip


def test_a_program_is_described():
    found = read_program("m.onnx", VALID)
    assert (str(found.images), str(found.logits), found.opset) == ("images (?, 3, 32, 32)", "logits (?, 3)", 17)
    assert found.images.dtype == "float32"
    assert (found.metadata, found.path) == ({}, "m.onnx")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_do_harm_is_refused_by_name_and_nothing_is_opened(kind):
    model, says = REFUSED[kind]
    opened = []
    _watch.append(opened)
    try:
        with pytest.raises(ModelError) as error:
            read_program("m.onnx", model.SerializeToString())
    finally:
        _watch.clear()
    assert str(error.value).startswith("m.onnx: ") and says in str(error.value)
    assert not [path for path in opened if "passwd" in str(path)]


_watch: list[list] = []
sys.addaudithook(lambda event, arguments: _watch[0].append(arguments[0]) if _watch and event == "open" else None)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an ONNX program (empty file)"),
        (b"\xff\xd8\xff\xe0" + bytes(60), "not an ONNX program, or a damaged one (JPEG)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "fetch the file with git lfs pull"),
        (VALID[:-20], "not an ONNX program, or a damaged one"),
        (b"\x08\x08", "not an ONNX program"),
    ],
)
def test_other_files_are_named(data, says):
    with pytest.raises(ModelError) as error:
        read_program("m.onnx", data)
    assert says in str(error.value)


@given(st.integers(0, len(VALID) - 1), st.binary(min_size=1, max_size=6))
def test_a_damaged_file_is_read_or_refused(start, junk):
    data = VALID[:start] + junk + VALID[start + len(junk) :]
    try:
        read_program("m.onnx", data)
    except ModelError as error:
        assert "m.onnx: " in str(error)


def test_fields_of_a_future_onnx_do_not_reach_onnxruntime():
    unknown = b"\xfa\x3e\x05evil!"  # field 1007, of five bytes
    assert read_program("m.onnx", VALID + unknown).data == VALID


def test_content_decides_what_is_a_program():
    assert is_program("m.onnx", b"") and is_program("m.pth", VALID)
    assert not is_program("m.pth", b"PK\3\4") and not is_program("m.pth", b'\x08\0\0\0\0\0\0\0{"')


def test_channels_that_are_named_are_three():
    found = read_program("m.onnx", program(sizes=["batch", "num_channels", "height", "width"]).SerializeToString())
    assert found.images.shape == (None, 3, None, None)
