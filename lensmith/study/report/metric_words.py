"""The metrics of a measured split in words: each value, and the sentence that stands under the headline."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import count
from lensmith.tasks.metrics import metric_named
from lensmith.tasks.metrics.metric import Headline, Metric


def own_metrics(details: Mapping[str, Any]) -> dict[str, Metric]:
    """How the metrics of a user's own are shown that a split was measured by, out of its details; of several tasks
    under the names of their parts, as "animal/f2"."""
    parts = {f"{part}/{name}": metric for part, inner in details.get("parts", {}).items()
             for name, metric in own_metrics(inner).items()}
    return parts | {name: Metric(float, shown=said["shown"], better=said["better"])
                    for name, said in details.get("metrics", {}).items()}


def metric_text(name: str, value: float, own: Mapping[str, Metric] | None = None) -> str:
    """A metric's value in its own manner; how those of a user's own are shown, `own` says."""
    return ((own or {}).get(name) or metric_named(name)).text(value)


def pictures_counted(measured: Mapping[str, Any]) -> int:
    """The pictures that the metrics counted; those without a truth are not among them."""
    return int(measured.get("details", {}).get("count", measured.get("count", 0)))


def sentence(split: str, measured: Mapping[str, Any], score: str, values: Mapping[str, float]) -> str:
    """The headline in words, with what to compare it with, and a warning where it flatters."""
    if "counted" in measured:
        return _on_episodes(measured, score, values)
    pictures, details = pictures_counted(measured), measured.get("details", {})
    on = count(pictures, f"{'validation' if split == 'valid' else split} picture")
    own = own_metrics(details)
    texts = {name: metric_text(name, value, own) for name, value in values.items()}
    baseline = measured.get("baselines", {}).get(score)
    compared = "" if baseline is None else \
        f"{baseline['answer'][:1].upper()}{baseline['answer'][1:]} would score " \
        f"{metric_text(score, baseline['score'], own)}."
    headline = Headline(score, on, pictures, values, texts, details, compared)
    text = metric_named(score).sentence(headline)
    if split == "valid":
        text += " These pictures also chose the best epoch, so the number flatters a little; a test split does not."
    return text


def _on_episodes(measured: Mapping[str, Any], score: str, values: Mapping[str, float]) -> str:
    """What playing brought, beside playing at random and the best that is known."""
    over = count(pictures_counted(measured), "episode")
    text = f"The mean {score} is {metric_text(score, values[score])} over {over}."
    baseline, best = measured.get("baselines", {}).get(score), measured.get("best_known")
    if baseline is not None:
        text += f" {baseline['answer'][:1].upper()}{baseline['answer'][1:]} would score " \
                f"{metric_text(score, baseline['score'])}."
    return text if best is None else f"{text} The best that is known to be possible is {metric_text(score, best)}."
