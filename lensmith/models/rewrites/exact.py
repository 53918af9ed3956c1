"""Rewrites of a network that keep its numbers: pool before activation, small maps, batch norm folded away."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from lensmith.models.backbone import LastMap, PooledLinear
from lensmith.models.darknet.network import Darknet
from lensmith.models.darknet.plain_calls import Straight
from lensmith.models.network import Network
from lensmith.models.rewrites.small_maps import has_small_maps, small_maps

Rewrite = Literal["pool_first", "small_maps", "fold_batch_norm"]
# These never fall where their input rises, so that the largest value of a window stays the largest. GELU and SiLU fall
# over a range below 0.
_MONOTONE = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.Softplus, nn.Hardtanh, nn.Hardsigmoid,
             nn.LogSigmoid, nn.Softsign)
_TOLERANCE = 1e-3    # the fraction of the largest output by which folding may change an output, in float32


def pool_first(network: nn.Module) -> int:
    """Let every max-pool that follows a monotone activation in a Sequential go before it, in place; -> how many.

    The numbers are the same, and the activation works on a quarter of them. Neither layer has weights, so that the
    names of all weights stay. A backbone that gives several maps is left alone unless its head takes the last one
    alone, since what stands between the two layers may be one of the maps. Idempotent.
    """
    moved = 0
    for sequence, position in _late_pools(network):
        sequence[position], sequence[position + 1] = sequence[position + 1], sequence[position]
        moved += 1
    return moved


# The rewrites that are made in place and may be trained with, by the name that a plan has for them.
TRAINING: dict[Rewrite, Callable[[nn.Module], int]] = {"pool_first": pool_first, "small_maps": small_maps}


def may_pay(network: nn.Module, images: Tensor) -> list[Rewrite]:
    """Which of TRAINING would change anything in the network, for `images` as it takes them."""
    changing: dict[Rewrite, bool] = {"pool_first": next(_late_pools(network), None) is not None,
                                     "small_maps": has_small_maps(network, images)}
    return [name for name in TRAINING if changing[name]]


def _late_pools(network: nn.Module) -> Iterator[tuple[nn.Sequential, int]]:
    """Each Sequential with the position in it of an activation that may go behind the pool that follows it."""
    excluded = {id(layer) for module in network.modules() if isinstance(module, Network) and _shows_maps(module)
                for layer in module.backbone.modules()}
    for sequence in network.modules():
        if not isinstance(sequence, nn.Sequential) or id(sequence) in excluded:
            continue
        for position in range(len(sequence) - 1):
            pool = sequence[position + 1]
            if _is_monotone(sequence[position]) and type(pool) is nn.MaxPool2d and not pool.return_indices:
                yield sequence, position


def _shows_maps(network: Network) -> bool:
    """Whether the head may look at other maps than the last one."""
    return not isinstance(network.head, LastMap | PooledLinear)


def _is_monotone(layer: nn.Module) -> bool:
    if isinstance(layer, nn.LeakyReLU):
        return layer.negative_slope >= 0
    return type(layer) in _MONOTONE


@torch.no_grad()
def fold_batch_norm(network: nn.Module, images: Tensor, *, pack: bool = False) -> nn.Module | None:
    """A copy of the network for inference, with each batch norm that follows a convolution multiplied into its weights.

    With w and b of the convolution, g and h of the norm, its mean m and variance v: w' = w g / sqrt(v + eps), b' = (b -
    m) g / sqrt(v + eps) + h (Jacob et al. 2018, arXiv 1712.05877, section 3.2). Which layer follows which is seen by
    running `images` (as the network takes them) once. A Darknet network is made `Straight` too, its weights packed
    where `pack` says so. None where there is nothing to fold, or where the outputs would change by more than rounding.
    """
    folded = deepcopy(network).eval()
    before = folded(images)
    pairs = _pairs(folded, images)
    if not pairs:
        return None
    for path, norm_path in pairs:
        layer, norm = folded.get_submodule(path), folded.get_submodule(norm_path)
        assert isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None and norm.running_var is not None
        layer.weight, layer.bias = fuse_conv_bn_weights(layer.weight, layer.bias, norm.running_mean, norm.running_var,
                                                        norm.eps, norm.weight, norm.bias)
        owner, _, key = norm_path.rpartition(".")
        setattr(folded.get_submodule(owner), key, _without_norm(norm))
    _work_in_place(folded)
    if isinstance(folded, Network) and isinstance(folded.backbone, Darknet):
        folded.backbone = Straight(folded.backbone, pack=pack)
    return folded.requires_grad_(False) if _close(before, folded(images)) else None


def _work_in_place(network: nn.Module) -> None:
    """Let an activation right behind a convolution overwrite the convolution's output, which nothing else takes."""
    for sequence in network.modules():
        if not isinstance(sequence, nn.Sequential):
            continue
        layers = [layer for layer in sequence if not isinstance(layer, nn.Identity)]
        for layer, after in pairwise(layers):
            if isinstance(layer, nn.Conv2d) and getattr(after, "inplace", None) is False:
                after.inplace = True    # type: ignore[assignment]


def _without_norm(norm: nn.BatchNorm2d) -> nn.Module:
    """What a batch norm does beside normalising: those of timm hold their activation."""
    inner = [getattr(norm, name) for name in ("drop", "act") if isinstance(getattr(norm, name, None), nn.Module)]
    return nn.Sequential(*inner) if inner else nn.Identity()


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[str, str]]:
    """(convolution, batch norm) by name, where the output of the first is the input of the second and each runs
    once."""
    # The id of an output -> the convolution that made it. The tensor is held, so that no other one gets its id.
    convolutions: dict[int, tuple[str, Tensor]] = {}
    runs: dict[str, int] = {}
    pairs = []

    def recorder(name: str) -> Any:
        def hook(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            runs[name] = runs.get(name, 0) + 1
            if isinstance(layer, nn.Conv2d):
                convolutions[id(output)] = (name, output)
            elif inputs and id(inputs[0]) in convolutions:
                pairs.append((convolutions[id(inputs[0])][0], name))
        return hook

    handles = [layer.register_forward_hook(recorder(name)) for name, layer in network.named_modules()
               if isinstance(layer, nn.Conv2d) or (isinstance(layer, nn.BatchNorm2d) and layer.track_running_stats)]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return [(first, second) for first, second in pairs if runs[first] == runs[second] == 1]


def _close(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        largest = before.float().abs().max().clamp(min=1e-6) if before.numel() else torch.ones(())
        return bool(((before - after).float().abs() <= _TOLERANCE * largest).all())
    if isinstance(before, dict):
        return all(_close(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return all(_close(first, second) for first, second in zip(before, after, strict=True))
    return bool(before == after)
