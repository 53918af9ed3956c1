"""From gradients to better weights: optimizers, groups of parameters, the stepper and averaged weights."""

import fnmatch
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lensmith.base.errors import UserError, nearest
from lensmith.engine.schedule import Schedule

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
    """The parameters that learn. Decay is left off biases and norms (all that has one axis), as is usual; later
    groups win over earlier ones. Those whose rate is 0 stand still, and no gradient is computed for them. `rates` are
    further factors by name, as those by depth. Raises UserError for a pattern that matches nothing, and where nothing
    is left that learns."""
    rules = []
    for given in groups:
        factors = [given.get(key, 1.0) for key in ("rate", "decay")]
        right = set(given) <= {"match", "rate", "decay"} and isinstance(given.get("match"), str) and all(
            isinstance(one, int | float) and 0 <= one < math.inf for one in factors)
        if not right:
            raise UserError(f"learner.groups: an entry has match, rate and decay, for example "
                            f"{{match = \"backbone.*\", rate = 0.1}}; got {given}")
        rules.append(Group(**given))
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    for rule in rules:
        if not fnmatch.filter([name for name, _ in named], rule.match):
            raise UserError(f"learner.groups: no parameter matches {rule.match!r}."
                            f"{nearest(rule.match, [name for name, _ in named])} Patterns are like 'backbone.*'.")
    found = []
    for name, parameter in named:
        rate, decay = 1.0, 1.0 if parameter.ndim > 1 else 0.0
        for rule in rules:
            if fnmatch.fnmatch(name, rule.match):
                rate, decay = rule.rate, rule.decay * (1.0 if parameter.ndim > 1 else 0.0)
        if rate == 0:
            parameter.requires_grad_(False)
        else:
            found.append(Leaf(name, parameter, rate * (rates or {}).get(name, 1.0), decay))
    if rules and not found:
        raise UserError("learner.groups: every parameter has the rate 0, so that nothing learns")
    return found


def _groups(chosen: Sequence[Leaf], rate: float, decay: float) -> list[dict[str, Any]]:
    """One parameter group per pair of factors; `peak` is the rate that the schedule scales."""
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
    return nn.Parameter(_matrix(parameter.detach()))


def _fused(chosen: Sequence[Leaf]) -> bool:
    """One kernel for all parameters: five times faster than a loop for networks as small as LeNet."""
    return all(leaf.parameter.device.type in ("cpu", "cuda") for leaf in chosen)


def _eager(kind: type[Kind]) -> type[Kind]:
    """An optimizer that does not import PyTorch's compiler, which takes as long as PyTorch itself: it does so in these
    two methods, only to be left out of what is compiled, and no network here is compiled with its optimizer."""
    methods = {"step": torch.no_grad()(inspect.unwrap(kind.step)),
               "add_param_group": inspect.unwrap(kind.add_param_group)}
    return cast(type[Kind], type(kind.__name__, (kind,), methods))


_SGD, _ADAM = _eager(torch.optim.SGD), _eager(torch.optim.Adam)
_ADAMW, _MUON = _eager(torch.optim.AdamW), _eager(torch.optim.Muon)


def sgd(chosen: Sequence[Leaf], *, rate: float = 0.05, momentum: float = 0.9, nesterov: bool = True,
        decay: float = 5e-4) -> list[Optimizer]:
    """Stochastic gradient descent with momentum."""
    return [_SGD(_groups(chosen, rate, decay), lr=rate, momentum=momentum, nesterov=nesterov and momentum > 0,
                 fused=_fused(chosen))]


def adam(chosen: Sequence[Leaf], *, rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
         epsilon: float = 1e-8, decay: float = 0.0) -> list[Optimizer]:
    """Adam (Kingma 2015); its decay is added to the gradient."""
    return [_ADAM(_groups(chosen, rate, decay), lr=rate, betas=(beta1, beta2), eps=epsilon, fused=_fused(chosen))]


def adamw(chosen: Sequence[Leaf], *, rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999,
          epsilon: float = 1e-8, decay: float = 0.05) -> list[Optimizer]:
    """Adam with decay apart from the gradient (Loshchilov 2019)."""
    return [_ADAMW(_groups(chosen, rate, decay), lr=rate, betas=(beta1, beta2), eps=epsilon, fused=_fused(chosen))]


def muon(chosen: Sequence[Leaf], *, rate: float = 0.02, momentum: float = 0.95, decay: float = 0.01,
         normalise: bool = False, other_rate: float = 2e-3, other_decay: float = 0.0) -> list[Optimizer]:
    """Muon (Jordan 2024) for the convolutions and hidden dense layers, AdamW for the rest: biases, norms and the last
    layer, whose rows are classes and not features.

    With `normalise` each weight is brought to one norm before every step, so that `rate` is the share of itself by
    which it turns; for networks whose norms make the size of their weights of no account.
    """
    hidden = [leaf for leaf in chosen if leaf.parameter.ndim in (2, 4)]
    last = hidden[-1:] if len(hidden) > 1 else []
    hidden = hidden[: len(hidden) - len(last)]
    if not hidden:
        raise UserError("optimizer 'muon' needs a convolution or a dense layer to work on; use adamw")
    flat = [Leaf(leaf.name, nn.Parameter(_matrix(leaf.parameter.detach())), leaf.rate, leaf.decay) for leaf in hidden]
    main = _MUON(_groups(flat, rate, decay), lr=rate, momentum=momentum, adjust_lr_fn="original")
    if normalise:
        main.register_step_pre_hook(_normalise)
    taken = {leaf.name for leaf in hidden}
    rest = [leaf for leaf in chosen if leaf.name not in taken]
    return [main, *(adamw(rest, rate=other_rate, decay=other_decay) if rest else [])]


@torch.no_grad()
def _normalise(optimizer: Optimizer, *_: Any) -> None:
    """Bring each matrix to the norm that a step of rate 1 has, the root of its rows."""
    for group in optimizer.param_groups:
        for matrix in group["params"]:
            if matrix.grad is None:    # stands still for now
                continue
            matrix.mul_(math.sqrt(len(matrix)) / matrix.norm().clamp(min=1e-12))


def _matrix(weight: Tensor) -> Tensor:
    """A weight [outputs, ...] as a matrix [outputs, inputs] that shares its memory, whatever its layout."""
    if weight.ndim == 2:
        return weight
    flat = (weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)).flatten(1)
    assert flat.data_ptr() == weight.data_ptr()
    return flat


OPTIMIZERS: dict[str, Callable[..., list[Optimizer]]] = {
    "sgd": sgd,
    "adam": adam,
    "adamw": adamw,
    "muon": muon,
}


class LossScale:
    """The factor on a loss in float16: halved where a gradient overflows, doubled after 2,000 steps in which none did
    (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2)."""

    def __init__(self) -> None:
        self.value, self.fitting = 65536.0, 0

    def undo(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Divide the gradients by the factor; False where one overflowed: the step is then left out."""
        gradients = [one.grad for one in parameters if one.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.value)
        fits = all(bool(one.isfinite().all()) for one in gradients)
        self.fitting = self.fitting + 1 if fits else 0
        if not fits:
            self.value = max(1.0, self.value / 2)
        elif self.fitting >= 2000:
            self.value, self.fitting = self.value * 2, 0
        return fits


class Stepper:
    """Backward, accumulation, clipping, schedule, optimizers and averaged weights: what happens to a loss."""

    def __init__(self, network: nn.Module, chosen: Sequence[Leaf], optimizers: Sequence[Optimizer], *,
                 schedule: Schedule, clip: float = 0.0, average: float = 0.0, scaled: bool = False):
        """`clip` is the most norm of the gradient, 0 for none; `average` the decay of the averaged weights, 0 for
        none; `scaled` multiplies the loss, so that gradients in float16 do not vanish. `steps`, those of the whole run,
        is set by the learner, which knows them."""
        if clip < 0:
            raise UserError(f"learner.clip is the most norm of the gradient, 0 for none; got {clip}")
        if not 0 <= average < 1:
            raise UserError(f"learner.average is the decay of the averaged weights, 0 (off) .. 0.9999; got {average}")
        self.network, self.leaves, self.optimizers = network, list(chosen), list(optimizers)
        self.schedule, self.clip, self.decay = schedule, clip, average
        self.scale = LossScale() if scaled else None
        self.steps, self.done = 1, 0
        self.ema = deepcopy(network).requires_grad_(False) if average else None
        self._followed = [] if self.ema is None else [
            *zip(self.ema.parameters(), network.parameters(), strict=True),
            *zip(self.ema.buffers(), network.buffers(), strict=True)]
        self._by_storage = {leaf.parameter.data_ptr(): leaf.parameter for leaf in self.leaves}

    @property
    def rate(self) -> float:
        """The greatest rate of any group at the present step."""
        factor = self._factor()
        return max(group["peak"] for optimizer in self.optimizers for group in optimizer.param_groups) * factor

    def _factor(self) -> float:
        """The schedule at the middle of the coming step: neither the first nor the last step then has rate 0."""
        return self.schedule(min(1.0, (self.done + 0.5) / self.steps))

    def add(self, loss: Tensor, *, share: float = 1.0) -> None:
        """Add the gradient of `share * loss`."""
        factor = share if self.scale is None else share * self.scale.value
        (loss * factor if factor != 1.0 else loss).backward()

    def move(self) -> None:
        """Move the weights along the gradients that were added, and forget these."""
        if self.scale is None or self.scale.undo([leaf.parameter for leaf in self.leaves]):
            self._move()
        self.done += 1
        self.drop()

    def drop(self) -> None:
        """Forget the gradients that were added, those that were lent too: they would keep the memory."""
        for leaf in self.leaves:
            leaf.parameter.grad = None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def _move(self) -> None:
        """Move the weights along their gradients, and the averaged weights after them."""
        if self.clip:
            nn.utils.clip_grad_norm_([leaf.parameter for leaf in self.leaves], self.clip)
        factor = self._factor()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
                for parameter in group["params"]:
                    self._lend_gradient(parameter)
            optimizer.step()
        if self.ema is not None:
            self._follow()

    def _lend_gradient(self, parameter: nn.Parameter) -> None:
        """Give a matrix the gradient of the weight whose memory it shares."""
        own = self._by_storage[parameter.data_ptr()]
        if own is parameter:
            return
        if own.grad is None:
            parameter.grad = None
        elif own.ndim == 2 or own.is_contiguous():
            parameter.grad = own.grad.reshape(parameter.shape)
        else:
            parameter.grad = own.grad.permute(0, 2, 3, 1).reshape(parameter.shape)

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the averaged weights towards the live ones; early on faster, so that the start is forgotten."""
        moved = self.done + 1
        decay = min(self.decay, (1 + moved) / (10 + moved))
        slow = [(old, new) for old, new in self._followed if old.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in slow], [new for _, new in slow], 1 - decay)
        for old, new in self._followed:
            if not old.is_floating_point():    # counters, as batch norm's
                old.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """By parameter name, not number, so that a state of another network is noticed."""
        names = {id(leaf.parameter): leaf.name for leaf in self.leaves}
        moments: dict[str, Any] = {}
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                own = self._by_storage[parameter.data_ptr()]
                moments[names[id(own)]] = {key: _as_weight(value, parameter, own) for key, value in state.items()}
        state = {"done": self.done, "moments": moments}
        if self.ema is not None:
            state["average"] = self.ema.state_dict()
        if self.scale is not None:
            state["scale"] = [self.scale.value, self.scale.fitting]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        names = {id(leaf.parameter): leaf.name for leaf in self.leaves}
        for optimizer in self.optimizers:
            optimizer.state.clear()
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    own = self._by_storage[parameter.data_ptr()]
                    saved = state["moments"].get(names[id(own)])
                    if saved is not None:
                        optimizer.state[parameter] = {key: _laid_out(value, parameter, own)
                                                      for key, value in saved.items()}
        self.done = state["done"]
        if self.scale is not None and "scale" in state:
            self.scale.value, self.scale.fitting = state["scale"]
        if self.ema is not None:
            self.ema.load_state_dict(state["average"])


def _as_weight(value: Any, parameter: Tensor, own: Tensor) -> Any:
    """A moment of an optimizer's `parameter` in the shape of the weight `own` that it stands for: so a state says
    nothing of a layout."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or parameter.shape == own.shape:
        return value
    if own.is_contiguous():
        return value.view(own.shape)
    outputs, inputs, height, width = own.shape
    return value.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


def _laid_out(value: Any, parameter: Tensor, own: Tensor) -> Any:
    """A restored moment as the optimizer has it of `parameter`, which shares the memory of the weight `own`: fused
    kernels walk both by one pointer, and with a moment saved contiguous beside a channels_last weight they change the
    wrong values."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == own.shape and value.ndim > 0:
        like = torch.empty_like(own, dtype=value.dtype).copy_(value)
        return like if parameter.shape == own.shape else _matrix(like)
    return value.clone()
