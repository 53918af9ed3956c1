"""Faults of objects, masks and several tasks: boxes that nothing can find, masks of background, parts that starve."""

from collections.abc import Mapping
from typing import Any

from lensmith.study.doctor.diagnosis import Diagnosis
from lensmith.study.doctor.facts import Facts

_FINEST = 8       # pixels: the finest stride of the detectors, where it was not read of the network
_FIT = 4.0        # an anchor fits objects of at most so many times its area or as small a part of it
_BACKGROUND = 0.98
_STARVED = 0.02   # of the whole loss, below which a part has no say


def _areas(facts: Facts) -> list[tuple[float, int]]:
    """(area in square pixels of the network's picture, boxes) of the training boxes, a pair each step of their
    histogram; nothing where no boxes are learned."""
    histogram, form = (facts.data.get("boxes") or {}).get("area"), facts.data.get("form") or {}
    if not histogram or not form or facts.task not in ("detection", "yolov3", "instances", "multitask"):
        return []
    low, high, counts = histogram["low"], histogram["high"], histogram["counts"]
    step = (high - low) / len(counts)
    whole = form["height"] * form["width"]
    middles = [min(0.0, low + (number + 0.5) * step) for number in range(len(counts))]
    return [(whole * 10**middle, boxes) for middle, boxes in zip(middles, counts, strict=True) if boxes]


def small_objects(facts: Facts) -> Diagnosis | None:
    """Many objects are smaller than a cell of the finest map."""
    areas = _areas(facts)
    total = sum(boxes for _, boxes in areas)
    if not total:
        return None
    strides = [stride for stride in facts.vitals.get("strides") or () if stride >= 4]
    stride = min(strides, default=_FINEST)
    fraction = sum(boxes for area, boxes in areas if area < stride**2) / total
    if fraction < 0.25:
        return None
    form = facts.data["form"]
    edge, seen, middle = max(form["height"], form["width"]), 0, 0.0
    for area, boxes in areas:
        seen, middle = seen + boxes, area
        if 2 * seen >= total:
            break
    larger = edge * 2
    while middle * (larger / edge) ** 2 < (2 * stride) ** 2 and larger < 2048:
        larger *= 2
    return Diagnosis(
        f"{fraction:.0%} of {total:,} boxes are smaller than {stride} x {stride} pixels in pictures of "
        f"{form['height']} x {form['width']}, and the finest map has a stride of {stride}",
        "the objects are smaller than a cell of the finest map, so that several share one answer and none is seen well",
        f"--size {larger}; or crop the pictures into tiles", 0.6 + 0.35 * fraction, grave=fraction > 0.5,
        settings={"pictures.size": larger})


def unfit_anchors(facts: Facts) -> Diagnosis | None:
    """No anchor is of about the size of the objects."""
    areas, anchors = _areas(facts), list(facts.vitals.get("anchors") or ())
    total = sum(boxes for _, boxes in areas)
    if not total or not anchors:
        return None
    sizes = [width * height for width, height in anchors]
    fitted = sum(boxes for area, boxes in areas if any(1 / _FIT <= area / max(size, 1e-9) <= _FIT for size in sizes))
    if fitted / total > 0.3:
        return None
    least, most = min(sizes) ** 0.5, max(sizes) ** 0.5
    return Diagnosis(
        f"the anchors are {least:.0f} to {most:.0f} pixels wide and high, and {1 - fitted / total:.0%} of {total:,} "
        f"boxes have more than {_FIT:g} times the area of the nearest or less than a part of {_FIT:g}",
        "the anchors fit no box: no anchor is responsible for these objects",
        "anchors of these boxes: --task yolov3 on a backbone of `lensmith list` clusters them by itself; in a cfg the "
        "line anchors=, in pixels of the network's picture", 0.93, grave=True)


def all_suppressed(facts: Facts) -> Diagnosis | None:
    """Settings of the decision leave no box, or one of many."""
    threshold, overlap = facts.number("task.threshold"), facts.number("task.overlap")
    settings: dict[str, Any] = {}
    words = []
    if threshold is not None and threshold > 0.5:
        words.append(f"task.threshold={threshold:g} leaves out every box with a lower score")
        settings["task.threshold"] = 0.001
    if overlap is not None and overlap < 0.15:
        words.append(f"task.overlap={overlap:g} leaves out every box that touches a better one")
        settings["task.overlap"] = 0.6 if facts.task == "detection" else 0.45
    if not words:
        return None
    if facts.scores:
        words.append(f"valid/{facts.score} is {facts.scores[-1]:.4f}")
    lost = not facts.scores or facts.scores[-1] < 0.05
    return Diagnosis("; ".join(words), "boxes that were found are suppressed before they are counted",
                     ", ".join(f"{place}={value}" for place, value in settings.items()),
                     0.95 if lost else 0.75, grave=lost, settings=settings)


def all_background(facts: Facts) -> Diagnosis | None:
    """A network for masks says of every pixel that it is of one class."""
    for name, details in facts.parts():
        matrix, rows = details.get("confusion"), details.get("per_class") or []
        if not matrix or not rows or "IoU" not in rows[0]:
            continue
        said = [sum(row[column] for row in matrix) for column in range(len(matrix))]
        shown = [sum(row) for row in matrix]
        total = sum(said)
        most = max(range(len(said)), key=lambda column: said[column])
        others = (total - shown[most]) / max(1, total)
        if not total or said[most] < _BACKGROUND * total or others < 0.002:
            continue
        classes = details.get("confusion_names") or [row["class"] for row in rows]
        label = classes[most] if most < len(classes) else str(most)
        settings = _weighed(facts, name)
        return Diagnosis(
            f"{said[most] / total:.2%} of the held-out pixels are said to be {label!r}, and {others:.1%} are of other "
            "classes", f"the masks are all {label!r}: the loss is low where one class has most of the pixels",
            "task.class_weights=balanced, task.loss=[\"cross_entropy\", \"dice\"], more epochs" if settings else
            "class_weights and loss of this part in task.settings", 0.93, grave=True, settings=settings)
    return None


def _weighed(facts: Facts, target: str) -> Mapping[str, Any]:
    """Settings that let rare classes count, of a task of masks alone."""
    if facts.task != "segmentation":
        return {}
    return {"task.class_weights": "balanced", "task.loss": ["cross_entropy", "dice"]}


def starved_part(facts: Facts) -> Diagnosis | None:
    """Of several tasks one has nearly no part in the loss, and does not get better."""
    if facts.task != "multitask" or not facts.rows:
        return None
    first, last = facts.rows[0], facts.rows[-1]
    parts: dict[str, tuple[float, float]] = {}    # name -> its loss in the first and in the last epoch
    for key in first:
        if key.startswith("train/") and key != "train/loss" and key in last and not key.endswith("log_variance"):
            name = key.split("/")[1]
            before, after = parts.get(name, (0.0, 0.0))
            parts[name] = before + abs(first[key]), after + abs(last[key])
    total = sum(before for before, _ in parts.values())
    if len(parts) < 2 or total <= 0:
        return None
    name = min(parts, key=lambda key: parts[key][0])
    fraction = parts[name][0] / total
    if fraction > _STARVED or facts.setting("task.balance") == "uncertainty":
        return None
    largest = max(parts, key=lambda key: parts[key][0])
    fallen = 1 - parts[name][1] / parts[name][0] if parts[name][0] else 0.0
    return Diagnosis(
        f"{name} has {fraction:.2%} of the loss in the first epoch, {largest} {parts[largest][0] / total:.0%}; the "
        f"loss of {name} has fallen by {fallen:.0%}",
        f"{largest} starves {name}: nearly the whole gradient is for the former",
        "task.balance=gradients, or an equal say in task.weights", 0.9 if fallen < 0.3 else 0.7, grave=fallen < 0.3,
        settings={"task.balance": "gradients", "task.weights": {}})
