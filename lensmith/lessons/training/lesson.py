"""The lesson `training` as a whole: what was measured, in lines, as JSON and for the page."""

import inspect
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lensmith.base.errors import count
from lensmith.engine.stepper import Stepper
from lensmith.lessons.charts import Points, line_chart, part_bars
from lensmith.lessons.lesson import Lesson
from lensmith.lessons.page_pictures import picture_data
from lensmith.lessons.training.losses import class_loss_curves, number_loss_curves
from lensmith.lessons.training.measured import SmallTraining, TrainingResults
from lensmith.lessons.training.updates import number
from lensmith.lessons.training.watched_steps import WatchedTraining
from lensmith.recipe.schema import as_toml
from lensmith.values.labels import Label

_PICTURES = 8                    # of the batch on the page
_BARS = 24                       # arrays of weights whose gradients are drawn
_DEFINED = ("backbone", "task", "optimizer", "schedule")    # sections of the recipe that define what is learned


def training_lesson(results: TrainingResults) -> Lesson:
    """The lesson that shows these results."""
    job, watched = results.job, results.watched
    network = job.learner.network
    contents = {
        "about": results.about, "note": results.note, "of_run": not results.curves, "seed": results.seed,
        "recipe": as_toml({name: job.recipe[name] for name in _DEFINED if name in job.recipe}).strip(),
        "weights": sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
        "layers": [{"name": name, "shape": " x ".join(map(str, parameter.shape)), "size": parameter.numel()}
                   for name, parameter in network.named_parameters() if parameter.requires_grad],
        "batch": {"pictures": len(watched.batch), "shape": " x ".join(map(str, watched.batch.images.shape)),
                  "kind": str(watched.batch.images.dtype).removeprefix("torch."),
                  "batches": len(job.learner.train), "steps": job.learner.steps,
                  "shown": _pictures(results)},
        "output": None if watched.output is None else " x ".join(map(str, watched.output.shape)),
        "classes": _classes(results), "terms": {name: f"{value:.4f}" for name, value in watched.terms.items()},
        "loss": f"{sum(watched.terms.values()):.4f}", "guessing": _guessing(results),
        "steps": _step_rows(watched), "weight": watched.weight, "optimizer": watched.optimizer,
        "largest_error": f"{watched.largest_error:.1e}", "along": _along(watched),
        "moves": "\n\n".join(textwrap.dedent(inspect.getsource(part)).rstrip() for part in
                             (Stepper.add, Stepper.move, Stepper._move)),
        "chance": _chance(results), "charts": _charts(results)}
    return Lesson("training", _lines(results), results.as_json(), contents)


def _lines(results: TrainingResults) -> list[str]:
    watched = results.watched
    lines = [f"{results.about}: {count(len(watched.batch), 'picture')} a batch, seed {results.seed}",
             *([results.note] if results.note else []),
             f"the loss of the first batch: {_in_terms(watched)}",
             *([f"  {guessing}"] if (guessing := _guessing(results)) else [])]
    if watched.steps:
        lines += ["", f"the weight {watched.weight}, moved by {watched.optimizer}:"]
        for step in watched.steps:
            lines.append(f"  step {step.step}: loss {step.loss:.4f}  gradient {number(step.gradient)}  rate "
                         f"{step.rate:.4g}  {number(step.before)} -> {number(step.after)}")
        lines += ["  the first step by the formula:", *(f"    {line}" for line in watched.steps[0].update.lines),
                  f"  the optimizer made {number(watched.steps[0].after)} of it; formula and optimizer differ by "
                  f"{watched.largest_error:.1e} at most in {count(len(watched.steps), 'step')}"]
    for title, trainings in (("the same network with other activations", results.by_activation),
                             ("with other losses", results.by_loss)):
        if trainings:
            lines += ["", f"{title}: accuracy on held-out pictures after {count(len(trainings[0].losses), 'epoch')}"]
            lines += [f"  {training.name:20} {training.accuracies[-1]:.4f}" for training in trainings]
    if chance := _chance(results):
        lines.append(f"  {chance}")
    if results.curves:
        lines += ["", "a gradient behind ten layers, as a fraction of what came in, for equal and for fitted first "
                  "weights:"]
        lines += [f"  {name:20} {each.plain[0]:.2g}  {each.fitted[0]:.2g}" for name, each in results.curves.items()]
    return lines


def _chance(results: TrainingResults) -> str:
    """How far the accuracies of equally good networks may lie apart: the half width of the 95 % interval."""
    if not results.by_activation:
        return ""
    pictures = len(results.job.data.splits["valid"])
    best = max(training.accuracies[-1] for training in (*results.by_activation, *results.by_loss))
    return f"measured on {count(pictures, 'picture')}, so that differences of about " \
           f"{1.96 * math.sqrt(best * (1 - best) / pictures):.2f} and less are chance"


def _in_terms(watched: WatchedTraining) -> str:
    """`label 2.3102`, of several terms with a plus between them."""
    return " + ".join(f"{name} {value:.4f}" for name, value in watched.terms.items())


def _classes(results: TrainingResults) -> Sequence[str]:
    return results.job.data.classes.get("label", ())


def _guessing(results: TrainingResults) -> str:
    """What guessing would cost, beside a loss of one class a picture."""
    classes = len(_classes(results))
    if results.job.task.needs != ("label",) or classes < 2:
        return ""
    return f"to guess among {classes} classes costs log {classes} = {math.log(classes):.4f}"


def _pictures(results: TrainingResults) -> list[dict[str, Any]]:
    """The first pictures of the batch, of classes with what the fresh network says of them."""
    watched, names, shown = results.watched, _classes(results), list[dict[str, Any]]()
    if results.job.learner.network.from_maps:    # a probe learns from maps that were computed before
        return shown
    scores, truth = None, watched.batch.targets.get("label")
    if watched.output is not None and results.job.task.needs == ("label",):
        decoded = results.job.task.decode(watched.output)["label"]
        assert isinstance(decoded, Label)
        scores = decoded.scores
    for row in range(min(_PICTURES, len(watched.batch))):
        image = watched.batch.images[row].to(torch.float32).cpu().numpy()
        entry: dict[str, Any] = {"picture": picture_data(image), "label": "", "answer": "", "cost": ""}
        if isinstance(truth, Label) and int(truth.index[row]) >= 0:
            entry["label"] = names[int(truth.index[row])]
        if scores is not None and isinstance(truth, Label) and int(truth.index[row]) >= 0:
            p = float(scores[row, int(truth.index[row])])
            entry |= {"answer": names[int(scores[row].argmax())], "p": f"{p:.3f}",
                      "cost": f"{-math.log(max(p, 1e-30)):.3f}"}
        shown.append(entry)
    return shown


def _step_rows(watched: WatchedTraining) -> list[dict[str, Any]]:
    return [{"step": step.step, "loss": f"{step.loss:.4f}", "gradient": number(step.gradient),
             "rate": f"{step.rate:.4g}", "before": number(step.before), "after": number(step.after),
             "formula": f"{step.update.after:.9g}", "lines": step.update.lines} for step in watched.steps]


def _along(watched: WatchedTraining) -> str:
    """The loss of the batch over the value of the weight, with the gradient as the slope at its first value."""
    if not watched.losses_along:
        return ""
    first, points = watched.steps[0], watched.losses_along
    middle = len(points) // 2
    reach = (points[-1][0] - points[0][0]) / 4
    here = points[middle][1]
    slope = [(first.before + side * reach, here + side * reach * first.gradient) for side in (-1.0, 1.0)]
    return line_chart("along", {"loss of the batch": points, "slope: the gradient": slope},
                      title="the loss, if only this weight moved", below=f"value of {watched.weight}",
                      marked=[(first.before, here)])


def _charts(results: TrainingResults) -> dict[str, list[str]]:
    """The charts of the page by section."""
    watched = results.watched
    named = [(name, value) for name, value in watched.gradients.items() if name.endswith("weight")]
    norms = dict(named[::-(-len(named) // _BARS) or 1])
    charts = {"gradients": [part_bars("gradient-norms", {name: {"gradient": value} for name, value in norms.items()},
                                      below="norm of the gradient in the first step")] if norms else [],
              "steps": [line_chart("step-losses", {"": [(float(i + 1), loss) for i, loss in enumerate(watched.losses)]},
                                   title="loss of each batch, before its step", below="step", whole=True)]}
    if watched.steps:
        charts["steps"].append(line_chart("step-weight", {"": [
            (float(step.step - 1), step.before) for step in watched.steps] + [
            (float(watched.steps[-1].step), watched.steps[-1].after)]}, title=f"{watched.weight}", below="steps taken",
            whole=True))
    if results.curves:
        charts |= _comparison_charts(results)
    return charts


def _comparison_charts(results: TrainingResults) -> dict[str, list[str]]:
    curves = results.curves
    powers: dict[str, dict[str, Points]] = {way: {name: [
        (float(layer), math.log10(max(fraction, 1e-30))) for layer, fraction in enumerate(getattr(each, way), start=1)]
        for name, each in curves.items()} for way in ("plain", "fitted")}
    of_classes, of_numbers = class_loss_curves(), number_loss_curves()
    return {
        "activations": [line_chart("activation-values", {name: each.values for name, each in curves.items()},
                                   title="activation", below="input"),
                        line_chart("activation-slopes", {name: each.slopes for name, each in curves.items()},
                                   title="its slope, which gradients are multiplied by", below="input")],
        "ten_layers": [line_chart("gradients-plain", powers["plain"], title="equal first weights: power of ten",
                                  below="layer, 10 is the last", whole=True),
                       line_chart("gradients-fitted", powers["fitted"], title="fitted first weights: power of ten",
                                  below="layer, 10 is the last", whole=True)],
        "by_activation": _training_charts("activation", results.by_activation),
        "class_losses": [line_chart("class-costs", {name: each.costs for name, each in of_classes.items()},
                                    title="what an answer costs", below="probability of the true class"),
                         line_chart("class-pulls", {name: each.pulls for name, each in of_classes.items()},
                                    title="how hard it pulls (gradient)", below="probability of the true class")],
        "number_losses": [line_chart("number-costs", {name: each.costs for name, each in of_numbers.items()},
                                     title="what an error costs", below="error"),
                          line_chart("number-pulls", {name: each.pulls for name, each in of_numbers.items()},
                                     title="how hard it pulls (gradient)", below="error")],
        "by_loss": _training_charts("loss", results.by_loss)}


def _training_charts(name: str, trainings: Sequence[SmallTraining]) -> list[str]:
    def over_epochs(values: Mapping[str, Sequence[float]]) -> dict[str, Points]:
        return {key: [(float(epoch), value) for epoch, value in enumerate(row, start=1)] for key, row in values.items()}

    return [line_chart(f"{name}-losses", over_epochs({each.name: each.losses for each in trainings}),
                       title="training loss", below="epoch", whole=True),
            line_chart(f"{name}-accuracies", over_epochs({each.name: each.accuracies for each in trainings}),
                       title="accuracy on held-out pictures", below="epoch", whole=True)]
