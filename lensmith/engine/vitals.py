"""What is read of a network between the steps of its training, for `lensmith doctor`: norms, gradients, activations.

Nothing that learns is changed, and nothing is hung on it: weights are read where they are, all else is computed on a
copy that is thrown away, on pictures of one batch that was kept.
"""

import math
import time
from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.errors import described
from lensmith.data.sources.sample import Batch
from lensmith.engine.activations import Activations, activations_of
from lensmith.engine.learner import Report
from lensmith.engine.running_statistics import Norm
from lensmith.engine.supervised import Supervised
from lensmith.models.backbones.typed_kernels import TypedConv2d
from lensmith.models.backbones.whitening import Whitening
from lensmith.models.network import Network, sees_targets
from lensmith.models.trial_forward import in_evaluation_mode

VERSION = 1
_SHARE = 0.015      # of the processor's time of a run, that this may take
_CREDIT = 0.1       # of the time to come, against which the first steps may be looked at
_PICTURES = 32      # of a batch that are kept at most,
_FEWEST = 4         # and at least
_LOOKS = 8          # for which there is to be time, where that leaves so many pictures
_OVERHEAD = 0.01    # seconds that a look takes of the smallest network
_LAYERS = 24        # weights, activations and norms that are written, spread over the depth
_MOVED = 8          # weights of which a step's change is measured
_COPIED = 1 << 18   # values of such a weight that are copied at most
_ROWS = 100         # times that a run is looked at, about
_NAMED = 20         # names in a list of what was found
_DROPS = (Norm, nn.modules.dropout._DropoutNd)    # what computes otherwise in evaluation mode


class Vitals:
    """Looks at a learner between its steps, as often as its share of the time allows.

    Invariant: whether a learner is looked at does not change a bit of what it learns.
    """

    def __init__(self, learner: Supervised, before: Mapping[str, Any] | None = None, *, began: float | None = None):
        """
        before: what was found until the state that the learner was resumed from, the content of vitals.json.
        began: time.process_time() when the run began to be prepared; None: now.
        """
        self.learner, self.done_before = learner, learner.stepper.done
        rows = [row for row in (before or {}).get("rows", ()) if row["step"] <= self.done_before]
        self.found: dict[str, Any] = {**(before or {}), "rows": rows} if rows else {"version": VERSION, "rows": rows}
        self.kept: Batch | None = None
        self.first = time.process_time()    # when it began to learn
        self.began = self.first if began is None else began
        self.spent = self.cost = 0.0    # seconds of the processor, of all looks and of one
        self.next = self.done_before + 1    # the step after which it is looked at next
        self.copies: list[tuple[int, Tensor]] = []    # (number of the weight, its values before the step)
        self.brought = _statistics(learner.network) if self.done_before == 0 else {}    # that norms begin with
        # A copy computes alone: without norms that wait for other processes, on one device.
        self.stopped = "the network is on several devices, or its norms wait for other processes" \
            if _is_shared(learner.network) else ""    # why nothing is measured any more

    @property
    def content(self) -> dict[str, Any]:
        """That of vitals.json."""
        spent = {"spent": round(self.spent, 3), "of": round(time.process_time() - self.began, 3)}
        return self.found | spent | ({"note": self.stopped} if self.stopped else {})

    def look(self, report: Report) -> bool:
        """Look at the learner after the step that is reported, where it is time; whether anything was found.

        Whatever fails in it ends the looking and not the training.
        """
        if report.row is not None or self.stopped:
            return False
        began = time.process_time()
        measures = not self.copies
        if measures and not self._is_time(report, began):
            return False
        try:
            found = self._measure(report) if measures else self._compare()
        except Exception as error:    # a network of the user's own may not bear being copied, or memory be short
            self.stopped, self.copies, found = described(error), [], False
        took = time.process_time() - began
        self.spent += took
        if measures:
            self.cost = max(0.5 * self.cost, took)
            self.next = report.step + self._gap(report)
        return found

    def _is_time(self, report: Report, now: float) -> bool:
        """Whether a look fits into the share of the time so far and a little of that to come."""
        batch = self.learner.batch
        if report.step < self.next or batch is None:
            return False
        step = self._step(report, now)
        cost = self.cost or step * max(0.2, 2 * self._pictures(report) / len(batch)) + _OVERHEAD
        return self.spent + cost <= _SHARE * (now - self.began + _CREDIT * step * (report.steps - report.step))

    def _step(self, report: Report, now: float) -> float:
        """Seconds of the processor that a step takes by itself."""
        return (now - self.first - self.spent) / max(1, report.step - self.done_before)

    def _budget(self, report: Report) -> float:
        """Seconds of the processor that all looks may take until the end of the run, from the present step on."""
        now = time.process_time()
        return _SHARE * (now - self.began + self._step(report, now) * (report.steps - report.step)) - self.spent

    def _gap(self, report: Report) -> int:
        """Steps until the next look, so that those that can be had are spread to the end of the run, and in a long run
        are more frequent at its beginning."""
        looks = max(1.0, self._budget(report) / max(self.cost, 1e-6))
        return max(1, report.step // 8, report.steps // _ROWS, math.ceil((report.steps - report.step) / looks))

    def _pictures(self, report: Report) -> int:
        """How many pictures of a batch are kept: so many that some looks fit into what they may take. A look computes a
        picture forward twice and backward once."""
        assert self.learner.batch is not None
        batch, step = len(self.learner.batch), max(self._step(report, time.process_time()), 1e-6)
        affordable = batch * (self._budget(report) / _LOOKS - _OVERHEAD) / (1.5 * step)
        return min(batch, _PICTURES, max(_FEWEST, int(affordable)))

    def _measure(self, report: Report) -> bool:
        """Add a row: the losses, norms and activations of the network as it is after this step."""
        learner = self.learner
        if self.kept is None:
            assert learner.batch is not None
            self.kept = _part(learner.batch, self._pictures(report)).to(learner.plan.device)
        network = deepcopy(learner.network)    # not compiled, whatever the network is
        if "weights" not in self.found:
            self.found["weights"] = _spread([name for name, weight in network.named_parameters() if weight.ndim > 1])
        devices = [torch.device(learner.plan.device)] if learner.plan.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            plain = self._plain_loss(network)
            if not self.found["rows"]:    # the first batch has replaced them already, where norms follow fast
                network.load_state_dict(self.brought, strict=False)
            loss, output, seen, gradients = self._learn(network)
        if "activations" not in self.found:
            self._describe(network, seen, gradients.keys())
        self.found["probabilities"] = self.found.get("probabilities", True) and _are_probabilities(output)
        self.found["evaluating"] = _in_evaluation(learner.network)[:_NAMED]
        self.found["rows"].append({"step": report.step, "epoch": report.epoch, "loss": loss, "plain_loss": plain,
                                   **self._norms(network, gradients), **self._numbers(seen)})
        self._copy_weights()
        return not self.copies

    def _plain_loss(self, network: nn.Module) -> float | None:
        """The loss on the kept pictures with running statistics; None where there are none, or no loss in that mode."""
        if sees_targets(network) or not any(isinstance(module, Norm) for module in network.modules()):
            return None
        assert self.kept is not None
        plan = self.learner.plan
        with in_evaluation_mode(network), plan.precise():
            terms = self.learner.task.loss(network(plan.arrange(self.kept.images)), self.kept.targets)
        return float(sum(term.item() for term in terms.values()))

    def _learn(self, network: nn.Module) -> tuple[float, Any, Activations, dict[str, Tensor | None]]:
        """The loss on the kept pictures as they are learned from; -> it, the output, the activations, and of each
        parameter that got a gradient its norm, None where that is not looked at."""
        assert self.kept is not None
        learner, kept = self.learner, self.kept
        seen = (kept.targets,) if sees_targets(network) else ()
        only = [layer["name"] for layer in self.found.get("activations", ())] + list(self.found.get("norms", ()))
        with learner.plan.precise():
            output, activations = activations_of(network, lambda: network(learner.plan.arrange(kept.images), *seen),
                                                 only=only)
            terms = learner.task.loss(output, kept.targets)
        loss = torch.stack([term.float() for term in terms.values()]).sum()
        scale = learner.stepper.scale.value if learner.stepper.scale is not None else 1.0
        gradients: dict[str, Tensor | None] = {}
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                measured = name in self.found["weights"]
                parameter.register_post_accumulate_grad_hook(partial(_take, gradients, name, measured))
        (loss * scale).backward()
        return loss.item(), output, activations, {
            name: None if norm is None else norm / scale for name, norm in gradients.items()}

    def _describe(self, network: nn.Module, seen: Activations, gradients: Collection[str]) -> None:
        """Write down what is looked at, and what does not change while the network learns; `gradients` are the names
        of what got one."""
        places = [*seen.silent, *seen.spread]
        learning = [leaf.name for leaf in self.learner.stepper.leaves]
        self.found |= {
            "pictures": len(self.kept) if self.kept is not None else 0,
            "activations": [{"name": place, "kind": kind} for place, kind in seen.kinds.items()
                            if place in _spread(places)],
            "norms": _spread(list(seen.norm_gaps)),
            "frozen": _frozen(network)[:_NAMED],
            "unused": [name for name in learning if name not in gradients and _learns(network, name)][:_NAMED],
            "decayed_norms": _decayed_norms(self.learner)[:_NAMED],
            "strides": _strides(network), "anchors": _anchors(network)}

    def _norms(self, network: nn.Module, gradients: Mapping[str, Tensor | None]) -> dict[str, Any]:
        """Of each weight that is looked at its norm and that of its gradient."""
        parameters = dict(network.named_parameters())
        names = [name for name in self.found["weights"] if name in parameters]
        return {"weights": _read([parameters[name].detach().norm() for name in names]), "updates": [None] * len(names),
                "gradients": _of({name: norm for name, norm in gradients.items() if norm is not None}, names)}

    def _numbers(self, seen: Activations) -> dict[str, Any]:
        """The activations of the places that are looked at, in their order."""
        layers, norms = [layer["name"] for layer in self.found["activations"]], self.found["norms"]
        return {"silent": _of(seen.silent, layers), "spread": _of(seen.spread, layers),
                "norm_gaps": _of(seen.norm_gaps, norms)}

    def _copy_weights(self) -> None:
        """Copy some weights, to see how far the next step moves them."""
        parameters = dict(self.learner.network.named_parameters())
        names = self.found["weights"]
        chosen = [number for number, name in enumerate(names) if name in parameters and parameters[name].requires_grad]
        self.copies = [(number, _values(parameters[names[number]]).clone()) for number in _spread(chosen, _MOVED)]

    def _compare(self) -> bool:
        """Write into the newest row how far the step after it moved the weights that were copied."""
        parameters = dict(self.learner.network.named_parameters())
        names, row = self.found["weights"], self.found["rows"][-1]
        read = _read([norm for number, before in self.copies
                      for norm in (before.norm(), (_values(parameters[names[number]]) - before).norm())])
        for (number, _), size, change in zip(self.copies, read[::2], read[1::2], strict=True):
            row["updates"][number] = _rounded(change / size) if size and change is not None else None
        self.copies = []
        return True


def _statistics(network: nn.Module) -> dict[str, Tensor]:
    """The running statistics of the norms, by their names in the network's state."""
    return {f"{name}.{kind}": value.clone() for name, module in network.named_modules() if isinstance(module, Norm)
            for kind in ("running_mean", "running_var") if (value := getattr(module, kind)) is not None}


def _take(gradients: dict[str, Tensor | None], name: str, measured: bool, parameter: Tensor) -> None:
    """Note the gradient of a parameter and let it go before the next one is computed: all of them would take as much
    memory as the network."""
    assert parameter.grad is not None
    gradients[name] = parameter.grad.norm() if measured else None
    parameter.grad = None


def _is_shared(network: nn.Module) -> bool:
    """Whether a copy of the network could not compute by itself."""
    devices = {parameter.device for parameter in network.parameters()}
    return len(devices) > 1 or any(isinstance(module, nn.SyncBatchNorm) for module in network.modules())


def _part(batch: Batch, count: int) -> Batch:
    """The first pictures of a batch, in memory of their own."""
    rows = torch.arange(count, device=batch.images.device)
    return Batch(batch.images[:count].clone(), {name: value.take(rows) for name, value in batch.targets.items()})


def _values(weight: Tensor) -> Tensor:
    """So many rows of a weight as may be copied."""
    rows = max(1, _COPIED // max(1, weight[0].numel()))
    return weight.detach()[:rows]


def _spread(names: Sequence[Any], most: int = _LAYERS) -> list[Any]:
    """At most so many of the names, the first, the last and others evenly between them."""
    if len(names) <= most:
        return list(names)
    return [names[round(number * (len(names) - 1) / (most - 1))] for number in range(most)]


def _read(numbers: Sequence[Tensor]) -> list[float | None]:
    """Numbers of a device, brought here at once."""
    values = torch.stack([number.float() for number in numbers]).tolist() if numbers else []
    return [_rounded(value) for value in values]


def _of(found: Mapping[str, Tensor], names: Sequence[str]) -> list[float | None]:
    values = iter(_read([found[name] for name in names if name in found]))
    return [next(values) if name in found else None for name in names]


def _rounded(value: float) -> float | None:
    """Four digits; None for what is no finite number, or beyond what a file may hold."""
    return float(f"{value:.4g}") if math.isfinite(value) and abs(value) < 1e100 else None


def _are_probabilities(output: Any) -> bool:
    """Whether each row of an output [pictures, classes] is a distribution, as behind a softmax."""
    if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < 2:
        return False
    rows = output.detach().float()
    return bool((rows >= 0).all()) and bool(((rows.sum(1) - 1).abs() < 2e-3).all())


def _in_evaluation(network: nn.Module) -> list[str]:
    """The norms and dropouts in evaluation mode that are not frozen."""
    frozen = network.frozen if isinstance(network, Network) else ()
    return [name for name, module in network.named_modules()
            if isinstance(module, _DROPS) and not module.training
            and not any(name == outer or name.startswith(f"{outer}.") for outer in frozen)]


def _frozen(network: nn.Module) -> list[str]:
    """The parameters that do not learn, but for weights that are not there to be learned."""
    given = {id(layer.weight) for layer in network.modules() if isinstance(layer, Whitening | TypedConv2d)}
    return [name for name, parameter in network.named_parameters()
            if not parameter.requires_grad and id(parameter) not in given]


def _learns(network: nn.Module, name: str) -> bool:
    return dict(network.named_parameters())[name].requires_grad


def _decayed_norms(learner: Supervised) -> list[str]:
    """Parameters of one number a channel that decay, since they have further axes of one."""
    modules = dict(learner.network.named_modules())
    return [leaf.name for leaf in learner.stepper.leaves
            if leaf.decay > 0 and leaf.parameter.ndim > 1 and 1 < leaf.parameter.numel() == max(leaf.parameter.shape)
            and not isinstance(modules[leaf.name.rpartition(".")[0]], nn.modules.conv._ConvNd | nn.Linear)]


def _strides(network: nn.Module) -> list[int]:
    """The strides of the maps that the head looks at; none where they are not known."""
    part = next((part for part in (getattr(network, "head", None), getattr(network, "backbone", None))
                 if isinstance(getattr(part, "strides", None), tuple | list)), None)
    return [int(stride) for stride in part.strides] if part is not None else []


def _anchors(network: nn.Module) -> list[list[float]]:
    """Width and height of the anchors of a detector, in pixels of the network's picture."""
    found = [buffer for name, buffer in network.named_buffers() if name.rpartition(".")[2].startswith("extents")]
    return [[round(width, 2), round(height, 2)] for buffer in found for width, height in buffer.view(-1, 2).tolist()]
