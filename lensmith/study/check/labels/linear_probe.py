"""A regularised logistic regression on features of pictures, fitted by folds: out-of-sample logits for all of them."""

import time
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Link = Literal["softmax", "sigmoid"]
# The penalties that are tried, each the factor on half the squared weights in the sum of the losses: a few hundred
# pictures want more than many thousand do, relative to their number.
PENALTIES = (3000.0, 300.0, 30.0, 3.0)
_ITERATIONS, _ROUNDS = 10, 6    # of L-BFGS, after each of which the clock is looked at, and how often at most; more
                                # change no ranking
_CONVERGED = 1e-5               # a round that lowers the loss by a smaller fraction is the last
_AT_ONCE = 8_192                # pictures whose logits are computed at a time
_IN_FLOAT32 = 1 << 30           # bytes that the features may take as float32, in which they are faster
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class OutOfSample:
    """What a probe says of every picture, by weights that were fitted without the picture's fold."""

    logits: Tensor     # float32 [n, classes]
    penalty: float     # of PENALTIES: that with the least loss on what the folds held out


def out_of_sample(features: Tensor, targets: Tensor, folds: Tensor, *, link: Link,
                  seconds: float = float("inf")) -> OutOfSample:
    """The logits of every picture by the probe that learned from the other folds.

    features: float [n, numbers], float16 or float32.
    targets: float32 [n, classes]: 1 where the picture is of the class, 0 where not, NaN where it is not known. A
        picture of which nothing is known is not learned from.
    folds: int64 [n]: the fold of each picture.
    link: softmax where a picture has one class, sigmoid where it has any number.
    seconds: that it may take; fewer penalties are tried, with fewer iterations, where they do not suffice.
    """
    number, began = int(folds.max()) + 1, time.monotonic()
    inputs = _standardised(features)
    path_of_fold = [_path(_Fit(inputs, targets, folds != fold, link), until=began + seconds * (fold + 1) / number)
                    for fold in range(number)]
    losses, best = [], OutOfSample(torch.empty(0), 0.0)
    for step, penalty in enumerate(PENALTIES[: min(map(len, path_of_fold))]):
        logits = torch.empty(len(features), targets.shape[1])
        for fold, path in enumerate(path_of_fold):
            rows = (folds == fold).nonzero()[:, 0]
            logits[rows] = torch.cat([inputs[some].float() @ path[step] for some in rows.split(_AT_ONCE)])
        losses.append(held_out_loss(logits, targets, link=link))
        if losses[-1] == min(losses):
            best = OutOfSample(logits, penalty)
    return best


def held_out_loss(logits: Tensor, targets: Tensor, *, link: Link) -> float:
    """The mean loss over what is known: cross entropy of a softmax, of the sigmoid of each class."""
    return float(_losses(logits, targets, link).sum(dtype=torch.float64) / _known(targets, link).sum().clamp(min=1))


def _standardised(features: Tensor) -> Tensor:
    """[n, numbers + 1]: the features with mean 0 and deviation 1 over all pictures, and a column of ones."""
    dtype = torch.float32 if 4 * features.numel() <= _IN_FLOAT32 else torch.float16
    total = square = torch.zeros(features.shape[1], dtype=torch.float64)
    for some in features.split(_AT_ONCE):
        total, square = total + some.double().sum(0), square + some.double().square().sum(0)
    mean = total / len(features)
    deviation = (square / len(features) - mean.square()).clamp(min=0).sqrt().clamp(min=_LEAST_DEVIATION)
    inputs = torch.ones(len(features), features.shape[1] + 1, dtype=dtype)
    for start in range(0, len(features), _AT_ONCE):
        chunk = slice(start, start + _AT_ONCE)
        inputs[chunk, :-1] = ((features[chunk].float() - mean.float()) / deviation.float()).to(dtype)
    return inputs


@dataclass(frozen=True)
class _Fit:
    """What a probe is fitted to."""

    inputs: Tensor     # float [n, numbers + 1]
    targets: Tensor    # float32 [n, classes]
    learned: Tensor    # bool [n]: the pictures that it learns from
    link: Link


def _path(fit: _Fit, *, until: float) -> list[Tensor]:
    """The weights [numbers + 1, classes] for each penalty. Each begins where the one before it ended; those that would
    begin after `until` are left out, but for the first."""
    weight = torch.zeros(fit.inputs.shape[1], fit.targets.shape[1])
    path: list[Tensor] = []
    for penalty in PENALTIES:
        if not path or time.monotonic() < until:
            weight = _fitted(fit, weight, penalty=penalty, until=until)
            path.append(weight)
    return path


def _fitted(fit: _Fit, weight: Tensor, *, penalty: float, until: float) -> Tensor:
    """The minimum over W of (1 / n) (sum of the losses + penalty / 2 |W|^2), the bias not penalised, by L-BFGS."""
    weight = weight.clone().requires_grad_()
    weight.grad = torch.zeros_like(weight)
    number = int((fit.learned & ~fit.targets.isnan().all(1)).sum())
    optimizer = torch.optim.LBFGS([weight], max_iter=_ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        fixed = weight.detach()
        gradient, total = torch.zeros_like(fixed), torch.zeros((), dtype=torch.float64)
        # All pictures in their order, those of the fold with a factor of 0: to gather the others takes longer.
        for start in range(0, len(fit.inputs), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            inputs, targets, learned = fit.inputs[chunk].float(), fit.targets[chunk], fit.learned[chunk].float()
            logits = inputs @ fixed
            losses = _losses(logits, targets, fit.link)
            total += (losses.view(len(losses), -1).sum(1) * learned).sum(dtype=torch.float64)
            gradient += inputs.T @ (_gradient(logits, targets, fit.link) * learned[:, None])
        decayed = fixed.clone()
        decayed[-1] = 0
        assert weight.grad is not None
        weight.grad.copy_((gradient + penalty * decayed) / number)
        return ((total + penalty / 2 * decayed.square().sum(dtype=torch.float64)) / number).float()

    loss = float("inf")
    for _ in range(_ROUNDS):
        before, loss = loss, float(optimizer.step(closure))
        if time.monotonic() > until or before - loss < _CONVERGED * abs(loss):
            break
    return weight.detach()


def _known(targets: Tensor, link: Link) -> Tensor:
    """float32: which losses count: [n] of a softmax, [n, classes] of sigmoids."""
    known = ~targets.isnan()
    return (known.all(1) if link == "softmax" else known).float()


def _losses(logits: Tensor, targets: Tensor, link: Link) -> Tensor:    # -> [n] of a softmax, [n, classes] of sigmoids
    wanted = targets.nan_to_num()
    if link == "softmax":
        return _known(targets, link) * (logits.logsumexp(1) - (logits * wanted).sum(1))
    return _known(targets, link) * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def _gradient(logits: Tensor, targets: Tensor, link: Link) -> Tensor:    # -> float32 [n, classes]
    known = _known(targets, link)
    if link == "softmax":
        return known[:, None] * (logits.softmax(1) - targets.nan_to_num())
    return known * (logits.sigmoid() - targets.nan_to_num())
