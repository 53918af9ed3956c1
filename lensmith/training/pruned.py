"""A run's network with fewer channels, and the run that begins with it."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lensmith.base.errors import ModelError, UserError
from lensmith.data.sources.sample import Batch
from lensmith.engine.run_folder import FIRST_WEIGHTS_FILE, Run
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.models.network import sees_targets
from lensmith.models.rewrites.exact import fold_batch_norm
from lensmith.models.trial_forward import in_evaluation_mode
from lensmith.models.widths import widths_in
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import build_network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import Data
from lensmith.recipe.schema import BROUGHT
from lensmith.ship.compress import costs
from lensmith.ship.compress.channels import ChannelGraph, check_runs, cut, left, read_channels
from lensmith.ship.compress.importance import By, importance
from lensmith.ship.compress.shares import FRACTIONS, Curve, chosen_units, sensitivity, shares
from lensmith.ship.runtimes.latency import drawn_batch, in_turn, quantile
from lensmith.tasks.task import Task
from lensmith.training.begin_or_resume import Allowed, begin_session
from lensmith.training.measured_rows import some_batches
from lensmith.training.session import Session
from lensmith.training.trained import Trained, load

COSTS: dict[str, Callable[[nn.Module, ChannelGraph], costs.Cost]] = {
    "speed": costs.seconds, "macs": costs.multiply_adds, "size": costs.size,
}
_TAYLOR = 256          # training pictures that importance is told from
_MOST = 256            # pictures that sensitivity is measured on, or a batch of them at least
_SECONDS = 60.0        # of processor time that the sensitivity of all layers may take
_ASKED = 5             # tries to meet a speed that is asked for
_ROUNDS = 1.0          # seconds in which original and pruned network take turns
_EPOCHS = 1 / 3        # of the run's own epochs that the pruned network learns for

Tell = Callable[[str], object]


@dataclass(frozen=True)
class CompressionTarget:
    """How small the network is to be."""

    kind: str       # a key of COSTS
    value: float    # times as fast, or the fraction of multiply-adds or bytes that stays

    def as_json(self) -> dict[str, float]:
        return {self.kind: self.value}


@dataclass(frozen=True)
class Prunable:
    """A run whose network is to be made smaller, with what is known of its channels."""

    trained: Trained
    data: Data
    task: Task                      # with what it learns from the training targets
    graph: ChannelGraph
    importances: list[Tensor]
    curves: list[Curve]


@dataclass(frozen=True)
class Pruned:
    """A network with fewer channels, before it has learned."""

    network: nn.Module
    reached: dict[str, float]         # by the keys of COSTS: times as fast, fractions that stay
    kept: list[dict[str, Any]]        # of each group its layer, its channels and how many are left


def read_prunable(run: str | Path, *, by: By = "taylor", trust: bool = False,
                  tell: Tell = lambda text: None) -> Prunable:
    """The network of a run with its channels, how important each is and what leaving them out costs.

    by: how importance is told, an entry of `ship.compress.importance.IMPORTANCE`.

    Raises UserError and ModelError for a run without data of its own or best weights, and for a network whose channels
    cannot be read.
    """
    if run == IMAGENET:
        raise UserError("the installed ImageNet classifier has no data to learn from after it was cut: train a run "
                        "with its weights, and compress that one")
    trained = load(run, device="cpu", trust=trust)
    if trained.recipe["data"]["name"].startswith(BROUGHT) or trained.recipe["backbone"]["name"].startswith(BROUGHT):
        raise ModelError(f"{trained.run} was trained on a Python object or has no data of its own, and a network has "
                         "to learn after it was cut: train a run whose data and network have names")
    if sees_targets(trained.network):
        raise ModelError(f"the network of {trained.run} is a detector in two stages, whose loss is known in training "
                         "alone: compress a run of task detection, yolov3 or instances")
    graph = read_channels(trained.network, trained.form)
    for obstacle in graph.obstacles:
        tell(f"channels are kept before {obstacle}")
    opened = trained.own_data(None, tell)
    task = choose_task(dict(trained.recipe), trained.classes, targets=opened.splits["train"].targets)
    loaders = make_loaders(trained.recipe, opened, task)
    learned = some_batches(loaders["train"], _TAYLOR)
    importances = importance(trained.network, graph, task, learned, by)
    held_out = some_batches(loaders["valid"], _MOST) if "valid" in loaders else learned
    tell(f"measuring what {len(graph.groups)} groups of layers lose with fewer channels, on pictures "
         f"{'of the valid split' if 'valid' in loaders else 'that were learned from, since there is no valid split'}")
    curves = sensitivity(trained.network, graph, importances, _loss_of(trained.network, task, held_out, graph))
    return Prunable(trained, opened, task, graph, importances, curves)


def _loss_of(network: nn.Module, task: Task, batches: Sequence[Batch], graph: ChannelGraph) -> Callable[[], float]:
    """The mean loss of the network on as many of the batches as the time allows that all groups together may take."""

    def loss(batches: Sequence[Batch]) -> float:
        total = pictures = 0.0
        with in_evaluation_mode(network):
            for batch in batches:
                terms = task.loss(network(batch.images), batch.targets)
                total += sum(term.item() for term in terms.values()) * len(batch)
                pictures += len(batch)
        return total / pictures

    loss(batches[:1])
    began = time.process_time()
    loss(batches[:1])
    of_batch = max(1e-6, time.process_time() - began)
    affordable = int(_SECONDS / of_batch / (len(FRACTIONS) * len(graph.groups)))
    chosen = batches[: max(1, affordable)]
    return lambda: loss(chosen)


def prune(source: Prunable, wanted: CompressionTarget) -> Pruned:
    """The network with so few channels that it reaches what is wanted. Raises UserError where that cannot be, with
    what can."""
    network, graph = source.trained.network, source.graph
    cost = COSTS[wanted.kind](network, graph)
    fraction = 1 / wanted.value if wanted.kind == "speed" else wanted.value
    for _ in range(_ASKED):
        removed, reached = shares(graph, source.curves, cost, fraction)
        units = chosen_units(graph, source.importances, removed)
        smaller = cut(network, units)
        check_runs(smaller, source.trained.form)
        if wanted.kind != "speed":
            if reached > wanted.value:
                raise UserError(_out_of_reach(wanted, math.ceil(1000 * reached) / 1000, "or more"))
            break
        speed = measured_speed(network, smaller, source.trained)
        if speed >= wanted.value:
            break
        if reached > fraction:    # nothing more can be left out
            raise UserError(_out_of_reach(wanted, math.floor(20 * speed) / 20, "or less"))
        fraction = min(reached, fraction) * speed / wanted.value * 0.97
    else:
        raise UserError(_out_of_reach(wanted, math.floor(20 * speed) / 20, "or less"))
    lengths = left(graph, removed)
    fractions = {name: of(network, graph)(lengths) / of(network, graph)(graph.lengths)
                 for name, of in COSTS.items() if name != "speed"}
    if wanted.kind == "speed":
        fractions["speed"] = speed
    kept = [{"layer": group.name, "channels": len(group.units), "kept": len(group.units) - number}
            for group, number in zip(graph.groups, removed, strict=True)]
    return Pruned(smaller, fractions, kept)


def _out_of_reach(wanted: CompressionTarget, reachable: float, side: str) -> str:
    return f"compress.{wanted.kind}={wanted.value:g} cannot be reached by leaving channels out, of which every layer " \
        f"keeps at least a sixteenth: ask for compress.{wanted.kind}={reachable:g} {side}"


def measured_speed(network: nn.Module, smaller: nn.Module, trained: Trained) -> float:
    """How many times as fast the smaller network is for one picture in PyTorch, batch norm folded, on one thread of
    this CPU, by processor time in turns."""
    picture = drawn_batch((1, trained.form.channels, *trained.form.size), trained.form.dtype)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            folded = [fold_batch_norm(each, picture) or each for each in (network, smaller)]
            times = in_turn({"original": lambda: folded[0](picture), "pruned": lambda: folded[1](picture)},
                            seconds=_ROUNDS)
    finally:
        torch.set_num_threads(threads)
    before, after = (quantile([took.cpu for took in times[name]], 0.5) for name in ("original", "pruned"))
    return before / after


def begin_pruned(source: Prunable, pruned: Pruned, *, name: str | None, runs: Path | None, settings: dict[str, Any],
                 command: str, tell: Tell) -> Session:
    """The session in which the pruned network learns, as the run did: an ordinary run that begins with its weights.

    name: of the run folder; by itself the run's with `-pruned` behind it.
    runs: where it is made; by itself beside the run.
    settings: of the recipe, by their places, in the places of the run's own.
    """
    trained = source.trained
    if runs is None:
        runs = trained.folder.parent if trained.folder.name not in ("", "..") else trained.folder.resolve().parent
    recipe = deepcopy(trained.recipe)
    recipe["pruned"] = _widths(trained, pruned.network)
    recipe["run"]["name"] = name if name is not None else _free_name(runs, f"{trained.folder.resolve().name}-pruned")
    learner = recipe["learner"]
    for key in ("freeze", "unfreeze", "minutes", "first_weights"):
        learner.pop(key, None)
    learner |= {"probe": False, "head_first": 0, "epochs": max(1, math.ceil(learner["epochs"] * _EPOCHS))}
    recipe["augment"].pop("shrink", None)    # it is for the first epochs of a network that begins from nothing
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / FIRST_WEIGHTS_FILE
        # Copies, since safetensors refuses tensors that share memory.
        save_file({key: tensor.clone().contiguous() for key, tensor in pruned.network.state_dict().items()}, weights)
        recipe = recipes.put(recipe, {**settings, "learner.weights": str(weights)})
        return begin_session(recipe, runs=runs, command=command,
                             allowed=Allowed(network=trained.trusted, metrics=trained.trusted), tell=tell)


def _widths(trained: Trained, smaller: nn.Module) -> recipes.Section:
    """The section [pruned]: where the network is narrower than the one that its backbone and head are built as."""
    whole = {name: section for name, section in trained.recipe.items() if name != "pruned"}
    form, outputs = trained.form, len(trained.classes[trained.task.needs[0]])
    built = build_network(whole, trained.task, form, outputs=outputs, mean=[0.0] * form.channels,
                          deviation=[1.0] * form.channels, trusted=trained.trusted)
    widths = widths_in(built, {name: tuple(tensor.shape) for name, tensor in smaller.state_dict().items()})
    return {"outputs": widths.outputs, "inputs": widths.inputs}


def _free_name(runs: Path, name: str) -> str:
    """The name, with a number behind it where it is taken."""
    tried, number = name, 1
    while (runs / tried).exists() and not Run(runs / tried).was_never_begun:
        number += 1
        tried = f"{name}-{number}"
    return tried
