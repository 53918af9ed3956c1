"""What the lesson `numpy` measures: networks in NumPy alone beside PyTorch, on a set or with the network of a run."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.base.picture_errors import BadPicture
from lensmith.engine.run_folder import Run
from lensmith.lessons.lesson_data import (
    as_arrays,
    check_labelled,
    drawn_rows,
    how_to_get,
    lesson_recipe,
    set_in_words,
    usual_set,
)
from lensmith.lessons.numpy_network.gradient_check import GradientGap, gradient_gaps
from lensmith.lessons.numpy_network.in_pytorch import in_numpy
from lensmith.lessons.numpy_network.layer_times import WhereTime, times_beside
from lensmith.lessons.numpy_network.learn import EpochLearned, Examples, answers, learn
from lensmith.lessons.numpy_network.network import NumpyNetwork, numpy_lenet, two_layer
from lensmith.lessons.numpy_network.step_trace import StepTrace, trace_step
from lensmith.recipe.build_network import LearnedNetwork, network_of_run
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve
from lensmith.ship.predict.predict_files import read_picture

# With these LeNet reaches 0.861 on Fashion-MNIST's test pictures and the two layers 0.862 (seed 0), in half a minute of
# one core. LeNet with 12,000 pictures and 5 epochs reached 0.855, with 10,000 and 3 epochs 0.849.
PICTURES, EPOCHS, BATCH, RATE, MOMENTUM = 20_000, 4, 32, 0.03, 0.9
_SHOWN = 24    # test pictures on the page
_STEP_RATE = 0.001   # of the step that is shown: on one picture alone, a larger one overshoots
Tell = Callable[[str], object]
NETWORKS: dict[str, Callable[..., NumpyNetwork]] = {"two layers": two_layer, "lenet": numpy_lenet}


@dataclass(frozen=True)
class ShownAnswer:
    """A test picture with what the network says of it."""

    picture: np.ndarray    # in its own units, [channels, height, width]
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class NetworkLesson:
    """One network of the lesson, and what was measured of it."""

    name: str
    network: NumpyNetwork                  # as it is after all
    gaps: tuple[GradientGap, ...]
    times: tuple[WhereTime, ...]           # NumPy first
    epochs: tuple[EpochLearned, ...]       # none where it was not trained
    accuracy: float | None                 # on held-out pictures; None where it was not trained
    answers: tuple[ShownAnswer, ...]

    @property
    def size(self) -> int:
        """The number of its weights."""
        return sum(array.size for array in self.network.weights.values())

    @property
    def largest_gap(self) -> GradientGap:
        return max(self.gaps, key=lambda gap: gap.gap)


@dataclass(frozen=True)
class NumpyResults:
    """What the lesson has to show."""

    about: str                             # Fashion-MNIST, or the run
    classes: tuple[str, ...]
    learned: int                           # training pictures that were learned from
    tested: int                            # pictures that the accuracy is of
    seed: int
    networks: tuple[NetworkLesson, ...]
    trace: StepTrace                       # a step of the last of them
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"about": self.about, "classes": self.classes, "learned_from": self.learned, "tested_on": self.tested,
                "seed": self.seed, "note": self.note,
                "networks": [{"name": each.name, "weights": each.size, "accuracy": each.accuracy,
                              "layers": {name: layer.in_words() for name, layer in each.network.layers.items()},
                              "gradients": [asdict(gap) for gap in each.gaps],
                              "times": [asdict(times) for times in each.times],
                              "epochs": [asdict(epoch) for epoch in each.epochs]} for each in self.networks],
                "step": {"loss": self.trace.loss, "loss_after": self.trace.loss_after, "rate": self.trace.rate,
                         "probabilities": self.trace.probabilities.tolist(), "label": self.trace.label}}


def numpy_results(source: str | None, *, pictures: int = PICTURES, epochs: int = EPOCHS, seed: int = 0,
                 tell: Tell = lambda text: None) -> NumpyResults:
    """Train both networks on a set, or on the usual one, and measure them. Raises UserError for numbers that are too
    small, DataError for a set that cannot be learned from."""
    if pictures < BATCH or epochs < 1 or seed < 0:
        raise UserError(f"the lesson learns from --pictures {BATCH} or more in --epochs 1 or more with --seed 0 or "
                        f"more; got {pictures}, {epochs} and {seed}")
    name = source if source is not None else usual_set()
    note = how_to_get(name) if source is None else ""
    if note:
        tell(note)
    data = open_data(resolve(lesson_recipe(name, {"run.seed": seed}), trusted=False), tell=tell)
    check_labelled(data, name)
    train, held_out = data.splits["train"], data.splits.get("test", data.splits.get("valid"))
    if held_out is None:
        raise UserError(f"{name} is too small to set pictures aside for a test: name a larger set")
    raw, labels = as_arrays(train, drawn_rows(train, pictures, seed))
    mean, deviation = raw.mean((0, 2, 3), keepdims=True), raw.std((0, 2, 3), keepdims=True)
    raw_tests, test_labels = as_arrays(held_out, drawn_rows(held_out, len(held_out), seed))
    examples = Examples((raw - mean) / deviation, labels)
    tests = Examples((raw_tests - mean) / deviation, test_labels)
    classes = data.classes["label"]
    taught = tuple(_taught(title, make(seed, raw.shape[1:], len(classes)), examples, tests, epochs=epochs, seed=seed,
                           tell=tell, shown=(raw_tests, classes)) for title, make in NETWORKS.items())
    # A fresh network: of one that has learned most gradients are too small to be seen.
    fresh = numpy_lenet(seed, raw.shape[1:], len(classes))
    trace = trace_step(fresh, raw[0], examples.pictures[0], int(labels[0]), rate=_STEP_RATE)
    return NumpyResults(set_in_words(name), classes, len(examples), len(tests), seed, taught, trace, note)


def _taught(title: str, network: NumpyNetwork, examples: Examples, tests: Examples, *, epochs: int, seed: int,
            tell: Tell, shown: tuple[np.ndarray, Sequence[str]]) -> NetworkLesson:
    """Check the gradients of a fresh network, train it, and measure it. `shown` are the pictures of `tests` in their
    own units, and the names of the classes."""
    few = slice(0, min(8, len(examples)))
    gaps = gradient_gaps(network, examples.pictures[few], examples.labels[few])
    rows = []
    for row in learn(network, examples, epochs=epochs, batch=BATCH, rate=RATE, momentum=MOMENTUM, seed=seed):
        tell(f"{title}: epoch {row.epoch} of {epochs}  loss {row.loss:.4f}  training accuracy {row.accuracy:.4f}  "
             f"{row.seconds:.0f} s")
        rows.append(row)
    logits = answers(network, tests.pictures)
    accuracy = float((logits.argmax(1) == tests.labels).mean())
    batch = slice(0, BATCH)
    times = times_beside(network, examples.pictures[batch], examples.labels[batch])
    return NetworkLesson(title, network, tuple(gaps), tuple(times), tuple(rows), accuracy,
                         _shown_answers(logits, tests.labels, *shown))


def _shown_answers(logits: np.ndarray, labels: np.ndarray, pictures: np.ndarray,
                   classes: Sequence[str]) -> tuple[ShownAnswer, ...]:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    likeliest = powers.max(1) / powers.sum(1)
    return tuple(ShownAnswer(pictures[row], classes[labels[row]], classes[int(logits[row].argmax())],
                             float(likeliest[row])) for row in range(min(_SHOWN, len(labels))))


def results_of_run(folder: str | Path, *, picture: Path | None = None, trusted: bool = False, seed: int = 0,
                   tell: Tell = lambda text: None) -> NumpyResults:
    """The network that a run has learned, computed in NumPy on its own pictures. The run is only read.

    The step is taken on the `picture`, with the network's own answer for the truth, or else on one of the run's.
    Raises ModelError for a run that never began, that does not learn classes, or whose network has layers that the
    lesson does not have; DataError for a picture that cannot be read.
    """
    learned = _learned(Run.open(folder), trusted=trusted)
    network, classes = in_numpy(learned.network), learned.classes["label"]
    step_picture = None if picture is None else _own_picture(picture, learned)
    data = open_data(learned.recipe, tell=tell)
    raw, labels = as_arrays(data.splits["train"], drawn_rows(data.splits["train"], BATCH, seed))
    standardised, expected = _as_the_run_computes(learned, raw)
    logits = network.forward(standardised)
    if logits.ndim != 2:
        raise ModelError(f"{folder} scores many windows of a picture, and the lesson follows a network with one "
                         "answer: take another run")
    note = f"the answers of the run's own network and of NumPy differ by {np.abs(logits - expected).max():.1g} at most"
    gaps, times = gradient_gaps(network, standardised[:8], labels[:8]), times_beside(network, standardised, labels)
    lesson = NetworkLesson(str(learned.recipe["backbone"]["name"]), network, tuple(gaps), tuple(times), (), None,
                           _shown_answers(logits, labels, raw, classes))
    taken, label = raw[:1], int(labels[0])
    if step_picture is not None:
        taken = step_picture
        label = int(network.forward(_as_the_run_computes(learned, taken)[0]).argmax())
        note += f"; the step is taken on {picture}, as if it were what the network says: {classes[label]}"
    trace = trace_step(network, taken[0], _as_the_run_computes(learned, taken)[0][0], label, rate=_STEP_RATE)
    return NumpyResults(f"the run {Path(folder).absolute().name}", classes, 0, 0, seed, (lesson,), trace, note)


def _learned(run: Run, *, trusted: bool) -> LearnedNetwork:
    """The network of a run that learns classes."""
    if not run.has_begun:
        raise ModelError(f"{run} never began to learn, so it has no network to look at: train it with lensmith train "
                         f"--resume {run}")
    learned = network_of_run(run, trusted=trusted)
    if learned.task.needs != ("label",):
        raise ModelError(f"{run} learns {', '.join(learned.task.needs)}, and the lesson follows a network of classes: "
                         "take a run with task.name=classification")
    return learned


@torch.no_grad()
def _as_the_run_computes(learned: LearnedNetwork, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pictures as the run standardises them, contiguous, and the answers of its own network."""
    images = torch.from_numpy(raw)
    return learned.network.standardise(images).contiguous().numpy(), learned.network(images).numpy()


def _own_picture(path: Path, learned: LearnedNetwork) -> np.ndarray:
    """A picture file in the run's form, float32 [1, channels, height, width]."""
    try:
        image, _ = read_picture(path, learned.form, str(path))
    except BadPicture as error:
        raise DataError(f"{path} {error}: with --run the lesson takes a picture file") from error
    return image[None].numpy().astype(np.float32)
