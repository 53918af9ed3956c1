"""The heads of several tasks on one backbone, as one head."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lensmith.models.backbone import takes_size


class Answers(NamedTuple):
    """The outputs of the heads, and what the loss needs to weigh their terms."""

    parts: dict[str, Any]           # the output of each head, by the name of its part
    log_variances: Tensor | None    # float [parts], learned; None where they are not


class SeveralHeads(nn.Module):
    """A head for each part, all on the same maps."""

    def __init__(self, heads: Mapping[str, nn.Module], *, uncertain: bool = False,
                 lengths: Mapping[str, float] | None = None):
        """
        heads: the head of each part, by its name.
        uncertain: whether each has a log-variance, which is learned along.
        lengths: a number for each part; the gradients of the parts at the shared maps are then scaled to lengths in
            these proportions (`Evened`). None leaves the gradients as they are.
        """
        super().__init__()
        self.names = tuple(heads)
        self.lengths = None if lengths is None else tuple(lengths[name] for name in heads)
        self.heads = nn.ModuleDict({part_key(name): head for name, head in heads.items()})
        self.take_size = tuple(takes_size(head) for head in heads.values())
        # One parameter with one axis: parameters with one axis get no weight decay, and Muon takes matrices alone.
        self.log_variances = nn.Parameter(torch.zeros(len(heads))) if uncertain else None

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Answers:
        """The output of each head for pictures of `size`, (height, width)."""
        maps_of = [list(maps)] * len(self.names)
        if self.lengths is not None and torch.is_grad_enabled():
            copies = Evened.apply(self.lengths, *maps)
            maps_of = [list(copies[at : at + len(maps)]) for at in range(0, len(copies), len(maps))]
        parts = {name: head(inputs, size) if sized else head(inputs) for name, head, inputs, sized
                 in zip(self.names, self.heads.values(), maps_of, self.take_size, strict=True)}
        # A copy: DDP finds what to wait for in the graph of what the forward pass computes, and a parameter that is
        # returned as it is has none.
        return Answers(parts, None if self.log_variances is None else self.log_variances.clone())

    def of(self, name: str) -> nn.Module:
        """The head of a part."""
        return self.heads[part_key(name)]


def part_key(name: str) -> str:
    """The key of a part in a ModuleDict, which takes neither a dot nor the name of one of its methods, as `type`."""
    return f"of_{name.replace('.', '·')}"


class Evened(torch.autograd.Function):
    """The identity for each part. In the backward pass the gradient g_i of part i at the maps is replaced by

        g_i * m / (|g_i| / w_i),    m = mean over the parts j with a gradient of |g_j| / w_j

    with w the given proportions: all lengths are then w_i * m. A part without a gradient changes nothing.

    This has the aim of Chen et al. 2018, "GradNorm", and is computed in every step, so that nothing has to be learned
    or kept. The gradients of the heads' own weights stay as they are.
    """

    @staticmethod
    def forward(ctx: Any, lengths: tuple[float, ...], *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.lengths = lengths
        ctx.set_materialize_grads(False)
        return tuple(level.view_as(level) for _ in lengths for level in maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        maps = len(gradients) // len(ctx.lengths)
        parts = [gradients[at : at + maps] for at in range(0, len(gradients), maps)]
        lengths = torch.stack([_length(part, gradients) / length
                               for part, length in zip(parts, ctx.lengths, strict=True)])
        there = lengths > 0
        mean = lengths.sum() / there.sum().clamp(min=1)
        factors = torch.where(there, mean / lengths.where(there, 1.0), 1.0)
        sums: list[Tensor | None] = []
        for of_map in zip(*parts, strict=True):
            terms = [factor.to(gradient.dtype) * gradient for factor, gradient in zip(factors, of_map, strict=True)
                     if gradient is not None]
            sums.append(torch.stack(terms).sum(0) if terms else None)
        return (None, *sums)


def _length(part: Sequence[Tensor | None], all_parts: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean length of the gradients of a part together; 0, on the device of the others, where it has none."""
    gradients = [gradient if gradient.dtype in (torch.float32, torch.float64) else gradient.float()
                 for gradient in part if gradient is not None]
    if gradients:
        return torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    return next(torch.zeros((), device=gradient.device) for gradient in all_parts if gradient is not None)
