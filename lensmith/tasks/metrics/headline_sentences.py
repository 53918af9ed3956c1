"""What a report says of each metric as the headline: the number in words, and what to compare it with."""

from typing import Any

from lensmith.base.errors import count
from lensmith.tasks.metrics.metric import Headline, figure, percent, plain_sentence


def on_labels(headline: Headline) -> str:
    rows = headline.details.get("per_class", [])
    text = f"The network names the right class for {round(headline.value * headline.pictures):,} of {headline.on}."
    if headline.baseline:
        text += f" {headline.baseline}"
    elif rows:
        largest = max(row["support"] for row in rows)
        text += f" Always naming the most frequent class would be right for {percent(largest / headline.pictures)}."
    if headline.details.get("most_confused"):
        pair = headline.details["most_confused"][0]
        text += f" Its most frequent mistake is to take {pair['truth']} for {pair['predicted']}."
    return text


def on_tags(headline: Headline) -> str:
    text = f"On {headline.on}, precision and recall meet at an F1 of {headline.text} in the mean over the tags."
    return text + _weakest("The weakest", headline.details.get("per_class", []), "f1")


def on_numbers(headline: Headline) -> str:
    text = f"On {headline.on}, the predictions explain {percent(headline.value)} of the spread of the truth"
    if headline.value <= 0:
        text = f"On {headline.on}, the predictions are no better than always saying the mean of the truth"
    error = headline.texts.get("MAE")
    return text + ("." if error is None else f"; they are off by {error} on average.")


def on_objects(headline: Headline) -> str:
    """Of boxes, and of masks, whose headlines begin with `mask_`."""
    details = headline.details
    if "boxes" not in details:
        return plain_sentence(headline)
    fit, drawn = ("mask", "objects") if headline.name.startswith("mask") else ("box", "boxes")
    at_half = headline.texts[headline.name.replace("50-95", "50")]
    rows = details.get("per_class", [])
    text = f"On {headline.on} with {count(details['boxes'], 'object')}, the average precision is {headline.text} in " \
           f"the mean over the classes and over how exactly a {fit} has to fit; {at_half} where an overlap of one " \
           f"half is enough (mAP50). Showing {drawn} from a score of {details['best_threshold']:.2f} on balances " \
           "precision and recall best."
    return text + (_weakest("The weakest class", rows, "AP50-95") if len(rows) > 1 else "")


def on_pixels(headline: Headline) -> str:
    rows = headline.details.get("per_class", [])
    if not rows:
        return plain_sentence(headline)
    most = max(row["pixels"] for row in rows) / max(1, sum(row["pixels"] for row in rows))
    text = f"On {headline.on}, found and true areas overlap by {headline.text} of their union in the mean over the " \
           f"classes (mIoU); {percent(headline.values['pixel_accuracy'])} of the pixels are of the right class. " \
           f"Always naming the most frequent class would be right for {percent(most)} of them."
    if headline.baseline:
        text += f" {headline.baseline}"
    return text + (_weakest("The weakest class", rows, "IoU") if len(rows) > 1 else "")


def on_several_tasks(headline: Headline) -> str:
    parts = headline.details.get("parts")
    if parts is None:
        return plain_sentence(headline)
    scores = [f"{name} {headline.texts[key]} ({part['score']})" for name, part in parts.items()
              if (key := f"{name}/{part['score']}") in headline.texts]
    text = f"On {headline.on}, the parts score {headline.text} in the mean: {', '.join(scores)}."
    unknown = headline.details.get("unknown")
    return text + (f" Nothing is known here of {', '.join(unknown)}." if unknown else "")


def _weakest(what: str, rows: list[dict[str, Any]], column: str) -> str:
    if not rows:
        return ""
    row = min(rows, key=lambda row: row[column])
    return f" {what} is {row['class']}, with {figure(row[column])}."
