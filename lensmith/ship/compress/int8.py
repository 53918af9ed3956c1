"""INT8: an ONNX file in float32 as one with weights of 7 bits and activations of 8, by ranges measured on pictures."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lensmith.base.errors import ModelError, UserError, first_line, no_memory
from lensmith.ship.runtimes.file_facts import INPUT
from lensmith.ship.runtimes.packages import check_installed, import_quietly

# What has weights, and what stands between two of them and may stay in 8 bits.
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_BETWEEN = ("Add", "Mul", "Concat", "Relu", "Clip", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "Pad",
            "Resize", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split")
_PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")    # onnxruntime's note on a file that is ready for INT8
_FATAL = 4                                                     # the severity from which onnxruntime logs
Outputs = Mapping[str, Tensor]


class Quantiser:
    """One file in float32, whose ranges are measured once, and its INT8 forms.

    The nodes in front of the last layers with weights are quantised; what stands behind these, as softmax or the
    decoding of boxes, needs more than 8 bits. Weights are quantised by output channel, symmetrically, with 7 bits:
    processors without VNNI add two products of 8 bits in 16 with saturation, so that with 8 the answers would depend on
    the processor (onnxruntime's "Quantize ONNX models", reduce_range). Activations are uint8, a range a tensor.
    """

    layers: tuple[str, ...]    # that have weights and are quantised, by name, in the order in which they are computed

    def __init__(self, source: Path, pictures: Sequence[Tensor], folder: Path):
        """
        source: the file.
        pictures: batches of training pictures as the file takes them.
        folder: a temporary one, the caller's, for what is in between.

        Raises UserError where a package is missing, ModelError for a file without such layers.
        """
        check_installed("onnx", "onnxruntime")
        self.pictures, self.folder, self.prepared = pictures, folder, folder / "prepared.onnx"
        names = _layer_names(source)
        with _as_errors_of(folder):
            graph = _prepared(source, self.prepared)
        weighted, self._inside = _inside(graph)
        self._nodes = {names.get(node, node): node for node in weighted}
        self.layers = tuple(self._nodes)
        if not self.layers:
            raise ModelError("the network has no layer that INT8 could be computed in: it has no "
                             f"{', '.join(_WEIGHTED)} with weights of its own")

    def write(self, path: Path, *, floating: Collection[str] = ()) -> None:
        """Write the file in INT8, with the layers `floating` in float32."""
        kept = {self._nodes[name] for name in floating}
        self._write(path, [name for name in self._inside if name not in kept])

    def errors(self, outputs: Sequence[str], run: Callable[[Path, Tensor], Outputs]) -> dict[str, float]:
        """What each layer costs, the most costly first: the mean square by which the `outputs` of the file for the
        first pictures change where that layer alone is in INT8. `run` gives the outputs of a file by name."""
        pictures, alone = self.pictures[0], self.folder / "alone.onnx"
        expected = run(self.prepared, pictures)
        found: dict[str, float] = {}
        for layer, node in self._nodes.items():
            self._write(alone, [node])
            answers = run(alone, pictures)
            found[layer] = sum(float((answers[name] - expected[name]).square().mean()) for name in outputs)
        return dict(sorted(found.items(), key=lambda each: each[1], reverse=True))

    def _write(self, path: Path, nodes: Sequence[str]) -> None:
        with _as_errors_of(self.folder):
            quantization = import_quietly("onnxruntime.quantization")
            kind = quantization.QuantType
            quantization.quantize_static(
                self.prepared, path, _Reader(self.pictures), op_types_to_quantize=[*_WEIGHTED, *_BETWEEN],
                nodes_to_quantize=list(nodes), per_channel=True, reduce_range=True, activation_type=kind.QUInt8,
                weight_type=kind.QInt8, calibration_cache_path=self.folder / "ranges.json")
            _clean(path, self.prepared)


class _Reader:
    """The batches, one after the other, as onnxruntime's calibration asks for them."""

    def __init__(self, batches: Sequence[Tensor]):
        self.batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch.contiguous().numpy()}


def _layer_names(file: Path) -> dict[str, str]:
    """The name of the layer in the network of each node with weights, by the node's name: `backbone.conv1`."""
    import onnx

    graph = onnx.load(file, load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    return {node.name: node.input[1].removeprefix("network.").removesuffix(".weight") for node in graph.node
            if node.op_type in _WEIGHTED and node.input[1] in constants and node.input[1].endswith(".weight")}


def _prepared(source: Path, path: Path) -> Any:
    """Write the file as `path` with batch norm folded and constants computed, each node with a name of its own; -> its
    graph."""
    import onnx

    onnxruntime = import_quietly("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath, options.log_severity_level = str(path), _FATAL
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    taken: set[str] = set()
    for number, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
        taken.add(node.name)
    model.metadata_props.add(key=_PREPARED[0], value=_PREPARED[1])
    onnx.save(model, path)
    return model.graph


def _inside(graph: Any) -> tuple[list[str], list[str]]:
    """The names of the nodes that have weights of their own, and of those that are quantised: these, and what stands
    between the pictures and one of them."""
    constants = {tensor.name for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    of_pictures = {INPUT}    # tensors; what is computed of their shape is none of them
    for node in graph.node:
        if node.op_type != "Shape" and of_pictures.intersection(node.input):
            of_pictures.update(node.output)
    weighted = [node for node in graph.node if node.op_type in _WEIGHTED and node.input[0] in of_pictures
                and node.input[1] in constants]
    names, before, todo = {node.name for node in weighted}, set[str](), list(weighted)
    while todo:
        node = todo.pop()
        if node.name not in before:
            before.add(node.name)
            todo += [makers[name] for name in node.input if name in makers and name in of_pictures]
    return ([node.name for node in weighted],
            [node.name for node in graph.node if node.name in before
             and (node.name in names or node.op_type in _BETWEEN)])


def _clean(path: Path, prepared: Path) -> None:
    """Give the file the metadata of the one that it was made of, and none of onnxruntime's notes. Raises ModelError
    where the file is not whole."""
    import onnx

    model, facts = onnx.load(path), onnx.load(prepared, load_external_data=False).metadata_props
    del model.metadata_props[:]
    for entry in facts:
        if not entry.key.startswith("onnx."):
            model.metadata_props.add(key=entry.key, value=entry.value)
    onnx.save(model, path)


@contextlib.contextmanager
def _as_errors_of(folder: Path) -> Iterator[None]:
    """What onnxruntime raises and says while it quantises, as one line; `folder` is where it writes."""
    logger, level = logging.getLogger(), logging.getLogger().level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (UserError, ModelError):
        raise
    except OSError as error:
        raise no_room(folder, error) from error
    except Exception as error:
        if no_memory(error):
            raise
        raise ModelError(f"the network cannot be written in INT8 ({first_line(error)[:300]})") from error
    finally:
        logger.setLevel(level)


def no_room(folder: Path, error: OSError) -> UserError:
    """The error of a temporary folder that cannot be written."""
    return UserError(f"INT8 needs room in the temporary folder {folder} ({error.strerror or first_line(error)}): free "
                     "some, or set TMPDIR to another folder")
