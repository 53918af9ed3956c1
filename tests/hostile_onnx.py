"""ONNX files that are damaged or made to harm, each in the way that a number stands for, and commands given them."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lensmith.base.pictures import Form
from lensmith.ship.runtimes.file_facts import INPUT, KEY, FileFacts, TargetFacts

NAMES = ("disc", "square", "triangle")
HUGE = (2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -1, -2**31, -2**63, 0, 10**9, 65_536)
VALUES: list[Any] = [None, True, -1, 0, 1, 2.5, 1e308, float("nan"), float("inf"), 10**9, 10**30, "", "x", "../x",
                     "a\x00b", "\x1b[31m\n", "\udce9", "x" * 100_000, [], {}, [[]], [1, "x"], {"x": 1}, [0] * 10_000]
LOCATIONS = ("../weights.bin", "/etc/passwd", "/dev/zero", "/dev/stdin", "link.bin", "weights.bin", "model.onnx", "",
             ".", "absent.bin", "\udce9", "a/../../weights.bin", "//etc/passwd", "C:\\weights.bin",
             "file:///etc/passwd")
TYPES = tuple(range(25))
OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm", "Reshape", "Expand", "Tile", "Resize", "Pad", "Loop", "If",
             "Scan", "Gather", "ScatterND", "NonMaxSuppression", "OneHot", "Range", "Split", "Softmax", "Identity",
             "Einsum", "LSTM", "Unsqueeze", "Transpose", "QLinearConv", "NoSuchOperator", "")


def small_network(hidden: int = 8) -> onnx.ModelProto:
    """A classifier of pictures of 3 x 16 x 16, as others write one: float32 in, logits out."""
    draw = np.random.default_rng(0)
    weights = {"kernel": draw.normal(size=(hidden, 3, 3, 3)), "bias": draw.normal(size=hidden),
               "matrix": draw.normal(size=(hidden, len(NAMES))), "shift": draw.normal(size=len(NAMES))}
    nodes = [helper.make_node("Conv", ["values", "kernel", "bias"], ["maps"], pads=[1, 1, 1, 1], strides=[2, 2]),
             helper.make_node("Relu", ["maps"], ["kept"]),
             helper.make_node("GlobalAveragePool", ["kept"], ["means"]),
             helper.make_node("Flatten", ["means"], ["features"]),
             helper.make_node("Gemm", ["features", "matrix", "shift"], ["logits"])]
    graph = helper.make_graph(
        nodes, "small", [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(NAMES)])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def own_network() -> onnx.ModelProto:
    """The same as Lensmith would write it: pictures as they are in, probabilities out, and what it says of itself."""
    model = small_network()
    graph = model.graph
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["batch", 3, 16, 16]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("label", TensorProto.FLOAT, ["batch", len(NAMES)]))
    graph.node.insert(0, helper.make_node("Cast", [INPUT], ["values"], to=TensorProto.FLOAT))
    graph.node.append(helper.make_node("Softmax", ["logits"], ["label"], axis=1))
    facts = FileFacts({"label": TargetFacts("label", NAMES)}, Form(3, 16, 16), False, {"name": "classification"}, None,
                      "0")
    model.metadata_props.add(key=KEY, value=facts.as_json())
    return model


def is_own(model: onnx.ModelProto) -> bool:
    """Whether the file says of itself what it takes, so that it needs no form."""
    return any(entry.key == KEY for entry in model.metadata_props)


def damaged(whole: onnx.ModelProto, draw: random.Random, file: Path) -> str:
    """Write a damaged copy of the model as `file`; -> what was done, in words."""
    how = draw.choice([_bytes, _bytes, _cut, _field, _field, _field, _node, _node, _far_data, _loop, _huge_shape,
                       _facts, _facts])
    model = copy.deepcopy(whole)
    content = how(model, draw, file.parent)
    file.write_bytes(model.SerializeToString() if content is None else content)
    return how.__name__.strip("_").replace("_", " ")


def _bytes(model: onnx.ModelProto, draw: random.Random, folder: Path) -> bytes:
    content = bytearray(model.SerializeToString())
    for _ in range(draw.choice((1, 3, 30))):
        place, change = draw.randrange(min(len(content), draw.choice((3000, len(content))))), draw.randrange(3)
        if change == 0:
            content[place] = draw.randrange(256)
        elif change == 1:
            del content[place : place + draw.randrange(1, 50)]
        else:
            content[place:place] = content[place : place + draw.randrange(1, 50)]
    return bytes(content)


def _cut(model: onnx.ModelProto, draw: random.Random, folder: Path) -> bytes:
    content = model.SerializeToString()
    return content[: draw.randrange(len(content))] + draw.randbytes(draw.choice((0, 0, 100)))


def _messages(message: Any) -> Iterator[Any]:
    """The message and all that it holds."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if _is_repeated(field) else [value]:
                yield from _messages(inner)


def _is_repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _field(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """Any field of any message takes another value."""
    for _ in range(draw.choice((1, 1, 4))):
        message = draw.choice([found for found in _messages(model) if found.ListFields()])
        field, value = draw.choice(message.ListFields())
        if draw.random() < 0.1:
            message.ClearField(field.name)
            continue
        kinds: dict[int, Callable[[], Any]] = {
            field.TYPE_STRING: lambda: draw.choice(("", "x", "label", "pictures", "../x", "\x1b[31m", "x" * 10_000)),
            field.TYPE_BYTES: lambda: draw.randbytes(draw.choice((0, 4, 1000))),
            field.TYPE_FLOAT: lambda: draw.choice((float("nan"), float("inf"), -1e38, 0.0)),
            field.TYPE_INT64: lambda: draw.choice(HUGE), field.TYPE_INT32: lambda: draw.choice((*TYPES, -1, 2**31 - 1)),
            field.TYPE_ENUM: lambda: draw.choice(list(field.enum_type.values_by_number))}    # noqa: B023, called below
        if field.type not in kinds:    # a message: one that is there is doubled or taken away
            if not _is_repeated(field):
                message.ClearField(field.name)
            elif draw.random() < 0.5:
                value.append(copy.deepcopy(value[-1]))
            else:
                value.pop(0)
        elif _is_repeated(field):
            value[draw.randrange(len(value))] = kinds[field.type]()
        else:
            setattr(message, field.name, kinds[field.type]())


def _node(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """A node becomes another, reads another's output, its own among them, or has other numbers."""
    nodes = model.graph.node
    names = [name for node in nodes for name in (*node.input, *node.output)]
    for _ in range(draw.choice((1, 1, 3))):
        node = draw.choice(nodes)
        change = draw.randrange(5)
        if change == 0:
            node.op_type = draw.choice(OPERATORS)
        elif change == 1 and node.input:
            node.input[draw.randrange(len(node.input))] = draw.choice(names)
        elif change == 2:
            nodes.append(copy.deepcopy(node))
        elif change == 3 and node.attribute:
            attribute = draw.choice(node.attribute)
            attribute.i = draw.choice(HUGE)
            if attribute.ints:
                attribute.ints[draw.randrange(len(attribute.ints))] = draw.choice(HUGE)
        else:
            node.domain = draw.choice(("com.microsoft", "ai.onnx.ml", "x" * 300, "lensmith"))


def _far_data(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """Weights that lie in another file, or should."""
    link = folder / "link.bin"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    (folder / "weights.bin").write_bytes(bytes(500))
    tensor = draw.choice([found for found in _messages(model) if isinstance(found, TensorProto)])
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=draw.choice(LOCATIONS).encode("utf-8", "replace").decode())
    for key in draw.sample(("offset", "length", "checksum", "x"), draw.randrange(3)):
        tensor.external_data.add(key=key, value=str(draw.choice((*HUGE, "x", "1e9"))))


def _before(model: onnx.ModelProto, nodes: list[Any], result: str, *constants: tuple[str, Any]) -> None:
    """Put nodes before the others; what they make is added to what the network gives, so that none can be left out."""
    graph = model.graph
    for name, value in constants:
        graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    output = graph.output[0].name
    for node in graph.node:
        for number, name in enumerate(node.output):
            if name == output:
                node.output[number] = "without"
    added = [*nodes, helper.make_node("ReduceMax", [result], ["greatest"], keepdims=0),
             helper.make_node("Add", ["without", "greatest"], [output])]
    graph.node.extend(added)


def _loop(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """A loop that does not end, or in which a tensor grows."""
    grows, ends = draw.random() < 0.5, draw.random() < 0.3
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["goes"]),
         helper.make_node("Concat", ["x", "x"], ["y"], axis=0) if grows else helper.make_node("Neg", ["x"], ["y"])],
        "body", [helper.make_tensor_value_info("step", TensorProto.INT64, []),
                 helper.make_tensor_value_info("going", TensorProto.BOOL, []),
                 helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
         helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])])
    trips = draw.choice((40, 10**6, 2**62)) if ends or grows else 2**62
    _before(model, [helper.make_node("Loop", ["trips", "true", "one"], ["turned"], body=body)], "turned",
            ("trips", np.int64(trips)), ("true", np.bool_(True)), ("one", np.ones(1, np.float32)))


def _huge_shape(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """A tensor of more numbers than any machine holds, or so many that it takes minutes."""
    edge = draw.choice((30_000, 100_000, 10**6, 2**33, 2**40, 2**62))
    shape = ("shape", np.array([edge] * draw.choice((1, 2, 2, 3)), np.int64))
    one = ("one", np.ones([1] * len(shape[1]), np.float32))
    kind = draw.randrange(5)
    if kind == 0:
        _before(model, [helper.make_node("ConstantOfShape", ["shape"], ["large"])], "large", shape)
    elif kind == 1:
        _before(model, [helper.make_node("Expand", ["one", "shape"], ["large"])], "large", shape, one)
    elif kind == 2:
        _before(model, [helper.make_node("Tile", ["one", "shape"], ["large"])], "large", shape, one)
    elif kind == 3:
        _before(model, [helper.make_node("RandomNormal", [], ["large"], shape=shape[1].tolist()),
                        helper.make_node("MatMul", ["large", "large"], ["larger"])], "larger")
    else:
        _before(model, [helper.make_node("Range", ["begin", "end", "step"], ["large"])], "large",
                ("begin", np.float32(0)), ("end", np.float32(edge)), ("step", np.float32(draw.choice((1, 1e-6)))))


def _facts(model: onnx.ModelProto, draw: random.Random, folder: Path) -> None:
    """What the file says of itself has other types, other numbers, or is no JSON."""
    entry = next((entry for entry in model.metadata_props if entry.key == KEY), None)
    if entry is None:
        model.metadata_props.add(key=KEY, value="{}")
        return
    if draw.random() < 0.2:
        only = json.dumps({"form": json.loads(entry.value)["form"]})
        entry.value = draw.choice(("", "{", "[" * 100_000, "null", "[]", "9" * 10_000, only,
                                   entry.value[: draw.randrange(200)]))
        return
    content = json.loads(entry.value)
    for _ in range(draw.choice((1, 1, 3))):
        holder = content
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = draw.choice(keys)
            if not (isinstance(holder[key], dict | list) and holder[key] and draw.random() < 0.8):
                break
            holder = holder[key]
        if isinstance(holder, dict) and draw.random() < 0.15:
            del holder[key]
            if not content:
                break
        elif isinstance(holder, dict) and draw.random() < 0.1:
            holder["x" + str(key)] = draw.choice(VALUES)
        else:
            holder[key] = draw.choice(VALUES)
    # A lone surrogate cannot be in a file of UTF-8, and protobuf would refuse it here.
    entry.value = json.dumps(content, ensure_ascii=draw.random() < 0.5).encode("utf-8", "replace").decode()


def command_for(file: Path, picture: Path, form: Path | None, draw: random.Random) -> list[str]:
    """A command that is given the damaged file, and mostly the form that it needs."""
    runtime = ["--runtime", draw.choice(("onnxruntime", "onnxruntime", "openvino", "auto"))]
    others = ["--form", str(form)] if form is not None and draw.random() < 0.9 else []
    words = draw.choice((["predict", str(file), str(picture), *runtime], ["predict", str(file), str(picture), *runtime],
                         ["val", str(file), "--data", str(picture.parent), "-q", *runtime], ["inspect", str(file)]))
    return [*words, *others]
