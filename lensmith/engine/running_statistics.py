"""The running statistics of batch norm: how far a batch moves them, and how those of the EMA are taken anew."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lensmith.engine.plan.plan import Plan
from lensmith.models.trial_forward import in_evaluation_mode

Norm = nn.modules.batchnorm._BatchNorm
_PER_EPOCH = 4.6     # exp(-4.6) = 1 %: what is left, after an epoch, of the statistics before it
_USUAL = 0.1         # PyTorch's own momentum: more would follow single batches


def usual_norm_floor(batches: int) -> float:
    """The least momentum of batch norm in a run of so many batches an epoch, to three digits.

    After n batches with the momentum m the statistics hold (1 - m)^n < exp(-m n) of the ones before: with 4.6 / n less
    than 1 %, so that those of the first epochs, which had other weights, are forgotten within an epoch. Networks made
    for hundreds of thousands of steps have 0.01 or less of their own.
    """
    return float(f"{min(_USUAL, _PER_EPOCH / batches):.3g}")


def moving_norms(network: nn.Module) -> dict[str, Norm]:
    """The batch norms whose running statistics follow the batches by a momentum, by name: not those that have none, nor
    those with momentum None, the mean over all batches, or 0, which never moves."""
    return {name: module for name, module in network.named_modules()
            if isinstance(module, Norm) and module.running_mean is not None and module.momentum}


class RunningStatistics:
    """Lets the running statistics of a network follow its batches at least by a `floor`.

    The momentum of a batch norm in training mode is max(its own, floor, 1 / (k + 1)) for the batch that comes after k
    others: at first the mean of all batches so far, then an average over the last 1 / floor of them. Invariant: outside
    of `moved` each norm has its own momentum, so that nothing that hashes, prints or saves a network sees another.
    """

    def __init__(self, network: nn.Module, floor: float, *, compiled: bool = False):
        """compiled: whether torch.compile has compiled the network. Each of its graphs is for one momentum."""
        self.norms, self.floor, self.compiled = list(moving_norms(network).values()), floor, compiled
        self._before: list[Tensor] = []    # the statistics before a batch, of the norms in their order

    def momentum(self, norm: Norm, learned: int) -> float:
        """That of the batch that comes after `learned` others."""
        assert norm.momentum is not None
        return max(norm.momentum, self.floor, 1 / (learned + 1))

    @contextmanager
    def moved(self, learned: int, *, begun: float = 0.0, fraction: float = 1.0) -> Iterator[None]:
        """Around the forward pass on a batch, or on a `fraction` of it that comes after the fraction `begun`.

        The micro-batches of a batch together move the statistics as far as the whole batch with momentum m would: each,
        the fraction p_i of the batch, gets the weight m p_i, and what was before 1 - m. One after the other that takes
        the momentum m p_i / (1 - m (1 - p_1 - ... - p_i)).
        """
        norms = [norm for norm in self.norms if norm.training]
        own, momenta = [norm.momentum for norm in norms], [self.momentum(norm, learned) for norm in norms]
        factors = [momentum * fraction / (1 - momentum * (1 - begun - fraction)) for momentum in momenta]
        statistics = _statistics(norms)
        if self.compiled and statistics:
            self._keep(statistics)
        try:
            for norm, factor in zip(norms, factors, strict=True):
                # With 1 a norm leaves the statistics of this batch alone, whatever the factor is.
                norm.momentum = 1.0 if self.compiled else factor
            yield
        finally:
            for norm, momentum in zip(norms, own, strict=True):
                norm.momentum = momentum
        if self.compiled:
            _mix(statistics, self._before, [factor for factor in factors for _ in range(2)])

    def _keep(self, statistics: list[Tensor]) -> None:
        if [tensor.shape for tensor in self._before] != [tensor.shape for tensor in statistics]:
            self._before = [torch.empty_like(tensor) for tensor in statistics]
        torch._foreach_copy_(self._before, statistics)


def _statistics(norms: Iterable[Norm]) -> list[Tensor]:
    """The mean and the variance of each norm, in turn."""
    return [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var) if tensor is not None]


@torch.no_grad()
def _mix(statistics: Sequence[Tensor], before: Sequence[Tensor], factors: Sequence[float]) -> None:
    """statistics <- factor statistics + (1 - factor) before. Those of one factor at once, since each is tiny."""
    groups: dict[float, list[tuple[Tensor, Tensor]]] = defaultdict(list)
    for now, kept, factor in zip(statistics, before, factors, strict=True):
        groups[factor].append((now, kept))
    for factor, pairs in groups.items():
        torch._foreach_lerp_([now for now, _ in pairs], [kept for _, kept in pairs], 1 - factor)


@torch.no_grad()
def retake(network: nn.Module, names: Collection[str], batches: Iterable[Tensor], plan: Plan) -> None:
    """Give the batch norms of these names the mean over the `batches` of each batch's mean and variance.

    The batches are pictures on their device. Everything but these norms is in evaluation mode, as where the network is
    used: nothing is dropped, and a network that learns by looking at targets needs none. A norm that no batch reaches,
    as in an auxiliary head, or that gets no finite number, keeps its statistics.
    """
    norms = [module for name, module in network.named_modules() if name in names and isinstance(module, Norm)]
    own, before = [norm.momentum for norm in norms], [tensor.clone() for tensor in _statistics(norms)]
    tracked = [int(norm.num_batches_tracked or 0) for norm in norms]
    with in_evaluation_mode(network):
        for norm in norms:
            norm.reset_running_stats()
            # With None a norm takes the mean over its batches. `train()` would reach what timm puts into a norm.
            norm.training, norm.momentum = True, None
        try:
            for images in batches:
                with plan.precise():
                    network(plan.arrange(images))
        finally:
            for norm, momentum in zip(norms, own, strict=True):
                norm.training, norm.momentum = False, momentum
    for norm, mean, variance, number in zip(norms, before[::2], before[1::2], tracked, strict=True):
        statistics = _statistics([norm])
        assert norm.num_batches_tracked is not None
        if not norm.num_batches_tracked or not all(bool(tensor.isfinite().all()) for tensor in statistics):
            torch._foreach_copy_(statistics, [mean, variance])
        norm.num_batches_tracked.fill_(number)
