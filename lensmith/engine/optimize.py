"""The optimizers, and the groups of parameters that they move at rates and decays of their own."""

import fnmatch
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lensmith.base.errors import UserError, nearest

Kind = TypeVar("Kind", bound=Optimizer)


@dataclass(frozen=True)
class Leaf:
    """One parameter with the factors on the rate and the decay that its group gives it."""

    name: str
    parameter: nn.Parameter
    rate: float
    decay: float


@dataclass(frozen=True)
class Group:
    """Parameters whose name matches a pattern, such as `backbone.*`."""

    match: str
    rate: float = 1.0     # factor on the optimizer's rate
    decay: float = 1.0    # factor on its weight decay


def leaves(network: nn.Module, groups: Sequence[dict[str, Any]] = (), *,
           rates: Mapping[str, float] | None = None) -> list[Leaf]:
    """The parameters that learn. Biases and norms, which have one axis, are not decayed, as is usual. Of the groups
    that match a parameter the last one counts. Parameters whose rate is 0 are frozen, and no gradient is computed for
    them. `rates` are further factors by name, such as those by depth.

    Raises UserError for a pattern that matches nothing, and where nothing is left that learns.
    """
    rules = [_group(entry) for entry in groups]
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    names = [name for name, _ in named]
    for rule in rules:
        if not fnmatch.filter(names, rule.match):
            raise UserError(f"learner.groups: no parameter matches {rule.match!r}.{nearest(rule.match, names)} "
                            "Patterns are like 'backbone.*'.")
    learning = []
    for name, parameter in named:
        group = next((rule for rule in reversed(rules) if fnmatch.fnmatch(name, rule.match)), Group(name))
        if group.rate == 0:
            parameter.requires_grad_(False)
        else:
            decay = group.decay if parameter.ndim > 1 else 0.0
            learning.append(Leaf(name, parameter, group.rate * (rates or {}).get(name, 1.0), decay))
    if rules and not learning:
        raise UserError("learner.groups: every parameter has the rate 0, so that nothing learns")
    return learning


def _group(entry: dict[str, Any]) -> Group:
    """The group that an entry of `learner.groups` describes; raises UserError for one that describes none."""
    factors = [entry.get(key, 1.0) for key in ("rate", "decay")]
    if set(entry) <= {"match", "rate", "decay"} and isinstance(entry.get("match"), str) and all(
            isinstance(factor, int | float) and 0 <= factor < math.inf for factor in factors):
        return Group(**entry)
    raise UserError(f"learner.groups: an entry has match, rate and decay, for example "
                    f"{{match = \"backbone.*\", rate = 0.1}}; got {entry}")


def _groups(chosen: Sequence[Leaf], rate: float, decay: float) -> list[dict[str, Any]]:
    """One parameter group of PyTorch's per pair of factors. Its `peak` is the rate that the schedule scales."""
    if not 0 < rate < math.inf:
        raise UserError(f"optimizer.rate must be above 0; got {rate}")
    if not 0 <= decay < math.inf:
        raise UserError(f"optimizer.decay must be 0 or more; got {decay}")
    pairs = sorted({(leaf.rate, leaf.decay) for leaf in chosen})
    return [{"params": [_lean(leaf.parameter) for leaf in chosen if (leaf.rate, leaf.decay) == pair],
             "lr": rate * pair[0], "peak": rate * pair[0], "weight_decay": decay * pair[1]} for pair in pairs]


def _lean(parameter: nn.Parameter) -> nn.Parameter:
    """The parameter as an optimizer is to see it: on the CPU a weight in channels_last as a matrix that shares its
    memory, since PyTorch's fused kernels copy gradients of four axes that are not contiguous, which takes as long as
    the step."""
    if parameter.device.type != "cpu" or parameter.ndim != 4 or parameter.is_contiguous():
        return parameter
    return nn.Parameter(as_matrix(parameter.detach()))


def _fused(chosen: Sequence[Leaf]) -> bool:
    """One kernel for all parameters: five times faster than a loop for networks as small as LeNet."""
    return all(leaf.parameter.device.type in ("cpu", "cuda") for leaf in chosen)


def _eager(kind: type[Kind]) -> type[Kind]:
    """An optimizer that does not import PyTorch's compiler, which takes as long as importing PyTorch itself. These two
    methods import it only to be left out of what is compiled, and no network here is compiled with its optimizer."""
    methods = {"step": torch.no_grad()(inspect.unwrap(kind.step)),
               "add_param_group": inspect.unwrap(kind.add_param_group)}
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


_SGD, _ADAM = _eager(torch.optim.SGD), _eager(torch.optim.Adam)
_ADAMW, _MUON = _eager(torch.optim.AdamW), _eager(torch.optim.Muon)


# In the formulas w is a weight, g its gradient, m and v running means or sums of one entry a weight, t the number of
# the step, counted from 1. The rate is the optimizer's, times the factor of the group, times the schedule.


def sgd(chosen: Sequence[Leaf], *, rate: float = 0.05, momentum: float = 0.9, nesterov: bool = True,
        decay: float = 5e-4) -> list[Optimizer]:
    """Stochastic gradient descent with momentum. One step is

        g <- g + decay w,   v <- momentum v + g,   w <- w - rate (g + momentum v)

    Without `nesterov` the last is w <- w - rate v.
    """
    return [_SGD(_groups(chosen, rate, decay), lr=rate, momentum=momentum, nesterov=nesterov and momentum > 0,
                 fused=_fused(chosen))]


def adam(chosen: Sequence[Leaf], *, rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
         epsilon: float = 1e-8, decay: float = 0.0) -> list[Optimizer]:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980); its decay is added to the gradient. One step is

        g <- g + decay w,   m <- beta1 m + (1 - beta1) g,   v <- beta2 v + (1 - beta2) g^2,
        w <- w - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
    """
    return [_ADAM(_groups(chosen, rate, decay), lr=rate, betas=(beta1, beta2), eps=epsilon, fused=_fused(chosen))]


def adamw(chosen: Sequence[Leaf], *, rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
          epsilon: float = 1e-8, decay: float = 0.05) -> list[Optimizer]:
    """Adam with the decay apart from the gradient (Loshchilov and Hutter 2019, arXiv 1711.05101).

    In place of adding decay w to g, the weight is shrunk before the step: w <- (1 - rate decay) w.
    """
    return [_ADAMW(_groups(chosen, rate, decay), lr=rate, betas=(beta1, beta2), eps=epsilon, fused=_fused(chosen))]


def muon(chosen: Sequence[Leaf], *, rate: float = 0.02, momentum: float = 0.95, decay: float = 0.01,
         normalise: bool = False, other_rate: float = 2e-3, other_decay: float = 0.0) -> list[Optimizer]:
    """Muon (Jordan 2024, kellerjordan.github.io/posts/muon) for the convolutions and hidden dense layers. AdamW for
    the others: biases, norms and the last layer, whose rows are classes and not features.

    A weight is a matrix W [outputs, inputs x height x width], G its gradient:

        V <- momentum V + (1 - momentum) G,   U = momentum V + (1 - momentum) G,
        W <- (1 - rate decay) W - rate sqrt(max(1, rows / columns)) O,

    where O is the orthogonal matrix nearest to U, approximated by five Newton-Schulz iterations. With `normalise`
    each W is first brought to the norm sqrt(rows), which is also that of a step of rate 1. Then `rate` is the fraction
    of itself by which a weight turns; for networks whose norms make the size of their weights of no account.

    Raises UserError where no parameter has two or four axes.
    """
    hidden = [leaf for leaf in chosen if leaf.parameter.ndim in (2, 4)]
    last = hidden[-1:] if len(hidden) > 1 else []
    hidden = hidden[: len(hidden) - len(last)]
    if not hidden:
        raise UserError("optimizer 'muon' needs a convolution or a dense layer to work on; use adamw")
    matrices = [Leaf(leaf.name, nn.Parameter(as_matrix(leaf.parameter.detach())), leaf.rate, leaf.decay)
                for leaf in hidden]
    main = _MUON(_groups(matrices, rate, decay), lr=rate, momentum=momentum, adjust_lr_fn="original")
    if normalise:
        main.register_step_pre_hook(_normalise)
    by_muon = {leaf.name for leaf in hidden}
    others = [leaf for leaf in chosen if leaf.name not in by_muon]
    return [main, *(adamw(others, rate=other_rate, decay=other_decay) if others else [])]


@torch.no_grad()
def _normalise(optimizer: Optimizer, *_: Any) -> None:
    """Bring each matrix to the norm that a step of rate 1 has, sqrt(rows)."""
    for group in optimizer.param_groups:
        for matrix in group["params"]:
            if matrix.grad is None:    # frozen in this epoch
                continue
            matrix.mul_(math.sqrt(len(matrix)) / matrix.norm().clamp(min=1e-12))


def as_matrix(weight: Tensor) -> Tensor:
    """A weight [outputs, ...] as a matrix [outputs, inputs] that shares its memory, whatever its layout."""
    if weight.ndim == 2:
        return weight
    matrix = (weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)).flatten(1)
    assert matrix.data_ptr() == weight.data_ptr()
    return matrix


# What PyTorch's optimizers remember of a parameter that has moved, by the name of their class.
MOMENTS: dict[str, set[str]] = {"SGD": {"momentum_buffer"}, "Adam": {"step", "exp_avg", "exp_avg_sq"},
                                "AdamW": {"step", "exp_avg", "exp_avg_sq"}, "Muon": {"momentum_buffer"}}

OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "muon": muon,
}
