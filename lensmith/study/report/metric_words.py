"""Measured numbers in words: how each is written, and the sentence that stands under the headline."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count

SHARES = ("accuracy_top1", "accuracy_top5", "balanced_accuracy", "exact_match", "pixel_accuracy")    # in percent


def figure(value: Any) -> str:
    """A number as people read it: counts with thousands apart, the rest with three or four digits."""
    if value is None:
        return "–"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if 0.1 <= abs(value) < 10 or value == 0 else f"{value:.4g}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def measure(name: str, value: float) -> str:
    """A metric's value in its own manner; accuracies with two digits after the point, as they are compared."""
    return f"{100 * value:.2f} %" if name.rpartition("/")[2] in SHARES else figure(float(value))


def counted(measured: Mapping[str, Any]) -> int:
    """The pictures that the metrics counted; those without a truth are not among them."""
    return int(measured.get("details", {}).get("count", measured.get("count", 0)))


def sentence(split: str, measured: Mapping[str, Any], score: str, found: Mapping[str, float]) -> str:
    """The headline in words, with what to compare it with, and a warning where it flatters."""
    pictures, details = counted(measured), measured.get("details", {})
    rows = details.get("per_class", [])
    shown = f"{pictures:,} {'validation' if split == 'valid' else split} {'picture' if pictures == 1 else 'pictures'}"
    if score == "accuracy_top1":
        text = f"The network names the right class for {round(found[score] * pictures):,} of {shown}."
        if rows:
            largest = max(row["support"] for row in rows)
            text += f" Always naming the most frequent class would be right for {percent(largest / pictures)}."
        if details.get("most_confused"):
            pair = details["most_confused"][0]
            text += f" Its most frequent mistake is to take {pair['truth']} for {pair['predicted']}."
    elif score == "R2":
        text = f"On {shown}, the predictions explain {percent(found[score])} of the spread of the truth"
        if found[score] <= 0:
            text = f"On {shown}, the predictions are no better than always saying the mean of the truth"
        text += f"; they are off by {figure(found['MAE'])} on average." if "MAE" in found else "."
    elif score == "macro_f1":
        text = f"On {shown}, precision and recall meet at an F1 of {figure(found[score])} in the mean over the tags."
        if rows:
            weakest = min(rows, key=lambda row: row["f1"])
            text += f" The weakest is {weakest['class']}, with {figure(weakest['f1'])}."
    elif score in ("mAP50-95", "mask_mAP50-95") and "boxes" in details:
        kind = "mask" if score.startswith("mask") else "box"
        text = f"On {shown} with {count(details['boxes'], 'object')}, the average precision is {figure(found[score])}"
        text += f" in the mean over the classes and over how exactly a {kind} has to fit; " \
                f"{figure(found[score.replace('50-95', '50')])} where an overlap of one half is enough (mAP50)."
        text += f" Showing {'boxes' if kind == 'box' else 'objects'} from a score of " \
                f"{details['best_threshold']:.2f} on balances precision and recall best."
        if len(rows) > 1:
            text += f" The weakest class is {(weakest := min(rows, key=lambda row: row['AP50-95']))['class']}, with " \
                    f"{figure(weakest['AP50-95'])}."
    elif score == "mIoU" and rows:
        text = f"On {shown}, found and true areas overlap by {figure(found[score])} of their union in the mean over " \
               f"the classes (mIoU); {percent(found['pixel_accuracy'])} of the pixels are of the right class."
        most = max(row["pixels"] for row in rows) / max(1, sum(row["pixels"] for row in rows))
        text += f" Always naming the most frequent class would be right for {percent(most)} of them."
        if len(rows) > 1:
            weakest = min(rows, key=lambda row: row["IoU"])
            text += f" The weakest class is {weakest['class']}, with {figure(weakest['IoU'])}."
    elif "parts" in details:
        each = [f"{part} {measure(name, found[name])} ({one['score']})" for part, one in details["parts"].items()
                if (name := f"{part}/{one['score']}") in found]
        text = f"On {shown}, the parts score {figure(found[score])} in the mean: {', '.join(each)}."
        if details.get("unknown"):
            text += f" Nothing is known here of {', '.join(details['unknown'])}."
    else:
        text = f"{score} is {measure(score, found[score])} on {shown}."
    if split == "valid":
        text += " These pictures also chose the best epoch, so the number flatters a little; a test split does not."
    return text
