"""From a loss to moved weights: backward, accumulation, clipping, schedule, optimizers and the EMA of the weights."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lensmith.base.errors import ModelError, UserError
from lensmith.engine.optimize import MOMENTS, Leaf, as_matrix
from lensmith.engine.schedule import Schedule
from lensmith.models.weights import load_into


class LossScale:
    """The factor on a loss in float16, so that small gradients do not vanish: halved where a gradient overflows,
    doubled after 2,000 steps in which none did (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2)."""

    def __init__(self) -> None:
        self.value, self.fitting = 65536.0, 0    # fitting: steps since a gradient last overflowed

    def undo(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Divide the gradients by the factor; False where one overflowed, so that the step is to be left out."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.value)
        fits = all(bool(gradient.isfinite().all()) for gradient in gradients)
        self.fitting = self.fitting + 1 if fits else 0
        if not fits:
            self.value = max(1.0, self.value / 2)
        elif self.fitting >= 2000:
            self.value, self.fitting = self.value * 2, 0
        return fits


class Stepper:
    """What happens to a loss until the weights have moved.

    `steps`, the steps of the whole run, is set by the learner, which knows it.
    """

    def __init__(self, network: nn.Module, chosen: Sequence[Leaf], optimizers: Sequence[Optimizer], *,
                 schedule: Schedule, clip: float = 0.0, average: float = 0.0, scaled: bool = False):
        """
        network: placed where it will stay, since the optimizers hold its memory.
        chosen: the parameters that learn.
        optimizers: made of `chosen`.
        schedule: the factor on the rates, by the fraction of the run that is done.
        clip: the greatest norm of the gradient, all parameters together; 0 does not clip.
        average: the decay of the EMA of the weights; 0 keeps none.
        scaled: whether the loss is scaled, for gradients in float16.
        """
        if clip < 0:
            raise UserError(f"learner.clip is the greatest norm of the gradient, 0 for none; got {clip}")
        if not 0 <= average < 1:
            raise UserError(f"learner.average is the decay of the EMA of the weights, 0 (off) .. 0.9999; got {average}")
        self.network, self.leaves, self.optimizers = network, list(chosen), list(optimizers)
        self.schedule, self.clip, self.decay = schedule, clip, average
        self.scale = LossScale() if scaled else None
        self.steps, self.done = 1, 0
        self.ema = deepcopy(network).requires_grad_(False) if average else None
        self._pairs = [] if self.ema is None else [    # (of the EMA, of the network)
            *zip(self.ema.parameters(), network.parameters(), strict=True),
            *zip(self.ema.buffers(), network.buffers(), strict=True)]
        self._by_storage = {leaf.parameter.data_ptr(): leaf.parameter for leaf in self.leaves}

    @property
    def rate(self) -> float:
        """The greatest rate of any group at the present step."""
        factor = self._factor()
        return max(group["peak"] for optimizer in self.optimizers for group in optimizer.param_groups) * factor

    def _factor(self) -> float:
        """The schedule at the middle of the coming step, so that neither the first nor the last step has rate 0."""
        return self.schedule(min(1.0, (self.done + 0.5) / self.steps))

    def add(self, loss: Tensor, *, weight: float = 1.0) -> None:
        """Add the gradient of `weight * loss`."""
        factor = weight if self.scale is None else weight * self.scale.value
        (loss * factor if factor != 1.0 else loss).backward()

    def move(self) -> None:
        """Move the weights along the gradients that were added, and forget these."""
        if self.scale is None or self.scale.undo([leaf.parameter for leaf in self.leaves]):
            self._move()
        self.done += 1
        self.drop()

    def drop(self) -> None:
        """Forget the gradients that were added, also those that were lent to matrices: they would keep the memory."""
        for leaf in self.leaves:
            leaf.parameter.grad = None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    parameter.grad = None

    def _move(self) -> None:
        """Move the weights along their gradients, and the EMA after them."""
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
            self._update_ema()

    def _lend_gradient(self, parameter: nn.Parameter) -> None:
        """Give a matrix the gradient of the weight whose memory it shares."""
        weight = self._by_storage[parameter.data_ptr()]
        if weight is parameter:
            return
        if weight.grad is None:
            parameter.grad = None
        elif weight.ndim == 2 or weight.is_contiguous():
            parameter.grad = weight.grad.reshape(parameter.shape)
        else:
            parameter.grad = weight.grad.permute(0, 2, 3, 1).reshape(parameter.shape)

    @torch.no_grad()
    def _update_ema(self) -> None:
        """ema <- d ema + (1 - d) w with d = min(decay, (1 + t) / (10 + t)) after t steps, so that the first weights are
        soon forgotten. Counters, such as batch norm's, are copied."""
        steps = self.done + 1
        decay = min(self.decay, (1 + steps) / (10 + steps))
        floating = [(old, new) for old, new in self._pairs if old.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in floating], [new for _, new in floating], 1 - decay)
        for old, new in self._pairs:
            if not old.is_floating_point():
                old.copy_(new)

    def state_dict(self) -> dict[str, Any]:
        """By parameter name, not number, so that a state of another network is noticed."""
        names = {id(leaf.parameter): leaf.name for leaf in self.leaves}
        moments: dict[str, Any] = {}
        for optimizer in self.optimizers:
            for parameter, state in optimizer.state.items():
                weight = self._by_storage[parameter.data_ptr()]
                moments[names[id(weight)]] = {key: _as_weight(value, parameter, weight) for key, value in state.items()}
        state = {"done": self.done, "moments": moments}
        if self.ema is not None:
            state["average"] = self.ema.state_dict()
        if self.scale is not None:
            state["scale"] = [self.scale.value, self.scale.fitting]
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ModelError where the state is of other weights or of another optimizer."""
        names = {id(leaf.parameter): leaf.name for leaf in self.leaves}
        for optimizer in self.optimizers:
            optimizer.state.clear()
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    weight = self._by_storage[parameter.data_ptr()]
                    moments = state["moments"].get(names[id(weight)])
                    if moments is not None:
                        _check_moments(moments, optimizer, names[id(weight)], weight)
                        optimizer.state[parameter] = {key: _laid_out(value, parameter, weight)
                                                      for key, value in moments.items()}
        self.done = state["done"]
        if self.scale is not None and "scale" in state:
            self.scale.value, self.scale.fitting = state["scale"]
        if self.ema is not None:
            load_into(self.ema, state["average"], what="the EMA of the run's last state")


def _check_moments(moments: dict[str, Any], optimizer: Optimizer, name: str, weight: Tensor) -> None:
    """Raises ModelError where an optimizer cannot have left these moments of a weight: its next step would fail, or
    write beyond them."""
    without = optimizer.defaults.get("momentum") == 0    # SGD then has None in their place, or nothing
    wrong = set() if without else set(moments) ^ MOMENTS.get(type(optimizer).__name__, set(moments))
    wrong |= {key for key, value in moments.items() if not (
        isinstance(value, Tensor) and value.is_floating_point()
        and value.shape == (() if key == "step" else weight.shape)) and not (value is None and without)}
    if wrong:
        raise ModelError(f"the moments of {name} in the run's last state are not those of this optimizer "
                         f"({', '.join(sorted(wrong))}): put the file back, or train again")


def _as_weight(value: Any, parameter: Tensor, weight: Tensor) -> Any:
    """A moment of an optimizer's `parameter` in the shape of the `weight` that it stands for, so that a state does not
    depend on the layout."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape or parameter.shape == weight.shape:
        return value
    if weight.is_contiguous():
        return value.view(weight.shape)
    outputs, inputs, height, width = weight.shape
    return value.view(outputs, height, width, inputs).permute(0, 3, 1, 2)


def _laid_out(value: Any, parameter: Tensor, weight: Tensor) -> Any:
    """A restored moment as the optimizer has it of `parameter`, which shares the memory of `weight`. Fused kernels walk
    both by one pointer: with a moment saved contiguous beside a channels_last weight they change the wrong values."""
    if not isinstance(value, Tensor):
        return value
    if value.shape == weight.shape and value.ndim > 0:
        like = torch.empty_like(weight, dtype=value.dtype).copy_(value)
        return like if parameter.shape == weight.shape else as_matrix(like)
    return value.clone()
