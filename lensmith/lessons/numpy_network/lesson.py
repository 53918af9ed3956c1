"""The lesson `numpy` as a whole: what was measured, in lines, as JSON and for the page."""

import inspect
import textwrap
from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count
from lensmith.lessons.charts import line_chart, part_bars
from lensmith.lessons.lesson import Lesson
from lensmith.lessons.numpy_network.gradient_check import MOST
from lensmith.lessons.numpy_network.layer import NumpyLayer
from lensmith.lessons.numpy_network.layer_times import WhereTime
from lensmith.lessons.numpy_network.measured import BATCH, NetworkLesson, NumpyResults
from lensmith.lessons.numpy_network.step_trace import LayerTrace, StepTrace
from lensmith.lessons.page_pictures import array_data, picture_data


def numpy_lesson(results: NumpyResults) -> Lesson:
    """The lesson that shows these results."""
    facts = results.as_json()
    contents = {"about": results.about, "note": results.note, "learned": results.learned, "tested": results.tested,
                "seed": results.seed, "batch": BATCH, "classes": results.classes, "most": MOST,
                "networks": [_network_contents(network) for network in results.networks],
                "charts": _charts(results),
                "step": _step_contents(results.trace, results), "arrays": _arrays(results.trace)}
    return Lesson("numpy", _lines(results), facts, contents)


def _lines(results: NumpyResults) -> list[str]:
    lines = [results.about if not results.learned else
             f"{results.about}: {count(results.learned, 'picture')} learned from, {results.tested:,} tested on, "
             f"{count(len(results.classes), 'class')}, seed {results.seed}"]
    lines += [results.note] if results.note else []
    for network in results.networks:
        lines += ["", f"{network.name}: {count(network.size, 'weight')}{_score(network)}"]
        gap = network.largest_gap
        lines.append(f"  gradients in float64 against PyTorch's: {'equal' if gap.agrees else 'NOT EQUAL'}, the largest "
                     f"gap {gap.gap:.1g} of the gradient ({gap.weight}); allowed {MOST:g}")
        lines += [f"  {line}" for line in _time_lines(network)]
    trace = results.trace
    return [*lines, "", f"one step on one picture ({results.classes[trace.label]}): loss {trace.loss:.4f} before, "
            f"{trace.loss_after:.4f} after"]


def _score(network: NetworkLesson) -> str:
    if network.accuracy is None:
        return ""
    return f", test accuracy {network.accuracy:.4f} after {count(len(network.epochs), 'epoch')} " \
           f"({network.epochs[-1].seconds:.0f} s in NumPy)"


def _time_lines(network: NetworkLesson) -> list[str]:
    """The step in each way to compute it, then every layer, forward + backward."""
    base = network.times[0]
    lines = [f"a step on {BATCH} pictures: " + ", ".join(
        f"{times.where} {_milliseconds(times.step)} ms{_ratio(times, base)}" for times in network.times)]
    longest = max(len(layer.layer) for layer in base.layers)
    for number, layer in enumerate(base.layers):
        parts = "; ".join(f"{times.where} {_milliseconds(times.layers[number].forward)} + "
                          f"{_milliseconds(times.layers[number].backward)}" for times in network.times)
        lines.append(f"  {layer.layer:{longest}} forward + backward, ms: {parts}")
    return lines


def _ratio(times: WhereTime, base: WhereTime) -> str:
    if times is base:
        return ""
    ratio = base.step / times.step
    return f" ({ratio:.1f} times as fast)" if ratio >= 1 else f" ({1 / ratio:.1f} times as slow)"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.2f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


def _network_contents(network: NetworkLesson) -> dict[str, Any]:
    """One network for the page."""
    bars = {f"{times.where}, {way}": {layer.layer: 1000 * getattr(layer, way) for layer in times.layers}
            for times in network.times for way in ("forward", "backward")}
    identity = network.name.replace(" ", "-")
    return {
        "name": network.name, "size": network.size, "accuracy": network.accuracy,
        "seconds": network.epochs[-1].seconds if network.epochs else None, "epochs": len(network.epochs),
        "layers": [{"name": name, "words": layer.in_words(), "weights": sum(map(_size, layer.weights.values()))}
                   for name, layer in network.network.layers.items()],
        "gaps": [{"weight": gap.weight, "shape": _shape_words(gap.shape), "largest": f"{gap.largest:.4g}",
                  "gap": f"{gap.gap:.1e}", "agrees": gap.agrees} for gap in network.gaps],
        "times": [{"where": times.where, "step": _milliseconds(times.step),
                   "ratio": _ratio(times, network.times[0]).strip(" ()")} for times in network.times],
        "bars": part_bars(f"{identity}-times", bars, below=f"milliseconds for {BATCH} pictures"),
        "layer_times": [{"layer": layer.layer, "times": [
            (_milliseconds(times.layers[number].forward), _milliseconds(times.layers[number].backward))
            for times in network.times]} for number, layer in enumerate(network.times[0].layers)],
        "answers": [{"picture": picture_data(each.picture), "truth": each.truth, "answer": each.answer,
                     "probability": f"{each.probability:.2f}", "right": each.truth == each.answer}
                    for each in network.answers]}


def _charts(results: NumpyResults) -> list[str]:
    """The losses and the accuracies over the epochs, a line a network; none where nothing was trained."""
    if not all(len(network.epochs) > 1 for network in results.networks):
        return []
    return [line_chart(f"training-{name}", {network.name: [(float(row.epoch), getattr(row, name))
                                                           for row in network.epochs] for network in results.networks},
                       title=f"training {name}", below="epoch", whole=True) for name in ("loss", "accuracy")]


def _step_contents(trace: StepTrace, results: NumpyResults) -> dict[str, Any]:
    """The traced step for the page; the arrays are apart."""
    return {"loss": trace.loss, "loss_after": trace.loss_after, "rate": trace.rate,
            "label": results.classes[trace.label], "network": results.networks[-1].name,
            "picture": picture_data(trace.picture), "height": trace.picture.shape[1], "width": trace.picture.shape[2],
            "truth_probability": float(trace.probabilities[trace.label]),
            "layers": [_layer_contents(layer, trace) for layer in trace.layers],
            "probabilities": [{"name": name, "value": f"{value:.4f}", "percent": f"{100 * value:.1f}",
                               "true": number == trace.label}
                              for number, (name, value) in enumerate(zip(results.classes, trace.probabilities.tolist(),
                                                                         strict=True))]}


def _layer_contents(layer: LayerTrace, trace: StepTrace) -> dict[str, Any]:
    """A layer's line, its code as it ran, and what the script has to know to compute one of its values again."""
    weights = sum(_size(weight.before) for weight in layer.weights.values())
    settings = {key: getattr(layer.layer, key) for key in ("kernel", "stride", "padding", "dilation")
                if hasattr(layer.layer, key)}
    return {"name": layer.name, "words": layer.layer.in_words(), "weights": weights,
            "keys": list(layer.weights), "input_shape": _shape_words(layer.inputs.shape),
            "output_shape": _shape_words(layer.output.shape), "columns": layer.columns is not None,
            "forward": _code(layer.layer, "forward"), "backward": _code(layer.layer, "backward"),
            "script": {"kind": type(layer.layer).__name__, "rate": trace.rate, **settings}}


def _code(layer: NumpyLayer, method: str) -> str:
    return textwrap.dedent(inspect.getsource(getattr(type(layer), method))).rstrip()


def _arrays(trace: StepTrace) -> Mapping[str, Any]:
    """Every array of the step by its name on the page."""
    arrays = {}
    for layer in trace.layers:
        arrays[f"{layer.name}.input"] = array_data(layer.inputs)
        arrays[f"{layer.name}.output"] = array_data(layer.output)
        arrays[f"{layer.name}.output.gradient"] = array_data(layer.output_gradient)
        arrays[f"{layer.name}.input.gradient"] = array_data(layer.inputs_gradient)
        if layer.columns is not None:
            arrays[f"{layer.name}.columns"] = array_data(layer.columns)
        for key, weight in layer.weights.items():
            arrays |= {f"{layer.name}.{key}": array_data(weight.before),
                       f"{layer.name}.{key}.gradient": array_data(weight.gradient),
                       f"{layer.name}.{key}.after": array_data(weight.after)}
    return arrays


def _shape_words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _size(array: Any) -> int:
    return int(array.size)
