"""The heads of several tasks on one backbone, as one head."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lensmith.models.backbone import takes_size


class Answers(NamedTuple):
    """What the heads say, and what the loss needs to weigh them."""

    parts: dict[str, Any]           # the output of each head, by the name of its part
    log_variances: Tensor | None    # float [parts], learned; None where they are not


class SeveralHeads(nn.Module):
    """A head for each part, all on the same maps."""

    def __init__(self, heads: Mapping[str, nn.Module], *, uncertain: bool = False,
                 lengths: Mapping[str, float] | None = None):
        """`uncertain` heads have a log-variance each, which is learned along. With `lengths`, a number for each part,
        the gradients of the parts at the maps are brought to lengths of these proportions (`Evened`)."""
        super().__init__()
        self.names = tuple(heads)
        self.lengths = None if lengths is None else tuple(lengths[name] for name in heads)
        self.heads = nn.ModuleDict({part_key(name): head for name, head in heads.items()})
        self.take_size = tuple(takes_size(head) for head in heads.values())
        # With one axis, it has no weight decay and is no matrix to Muon.
        self.log_variances = nn.Parameter(torch.zeros(len(heads))) if uncertain else None

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Answers:
        """What each head says of pictures of `size`, (height, width)."""
        own = [list(maps)] * len(self.names)
        if self.lengths is not None and torch.is_grad_enabled():
            found = Evened.apply(self.lengths, *maps)
            own = [list(found[at : at + len(maps)]) for at in range(0, len(found), len(maps))]
        parts = {name: head(mine, size) if sized else head(mine)
                 for name, head, mine, sized in zip(self.names, self.heads.values(), own, self.take_size, strict=True)}
        # A copy: several processes wait for the gradient of what their forward made, and this is no part of it.
        return Answers(parts, None if self.log_variances is None else self.log_variances.clone())

    def of(self, name: str) -> nn.Module:
        """The head of a part."""
        return self.heads[part_key(name)]


def part_key(name: str) -> str:
    """A part's key in the ModuleDict, which takes neither a dot nor the name of one of its own methods, as `type`."""
    return f"of_{name.replace('.', '·')}"


class Evened(torch.autograd.Function):
    """Hands every part the maps as they are; on the way back the gradient of each part is multiplied so that all have
    the mean of their lengths, in the given proportions. A part without a gradient changes nothing.

    The aim of Chen et al. 2018, "GradNorm", worked out anew in every step, so that nothing has to be learned or kept.
    What the heads themselves learn by stays as it is.
    """

    @staticmethod
    def forward(ctx: Any, lengths: tuple[float, ...], *maps: Tensor) -> tuple[Tensor, ...]:
        ctx.lengths = lengths
        ctx.set_materialize_grads(False)
        return tuple(one.view_as(one) for _ in lengths for one in maps)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        number = len(slopes) // len(ctx.lengths)
        parts = [slopes[at : at + number] for at in range(0, len(slopes), number)]
        own = torch.stack([_length(part, slopes) / length for part, length in zip(parts, ctx.lengths, strict=True)])
        known = own > 0
        mean = own.sum() / known.sum().clamp(min=1)
        factors = torch.where(known, mean / own.where(known, 1.0), 1.0)
        found: list[Tensor | None] = []
        for column in zip(*parts, strict=True):
            terms = [factor.to(slope.dtype) * slope for factor, slope in zip(factors, column, strict=True)
                     if slope is not None]
            found.append(torch.stack(terms).sum(0) if terms else None)
        return (None, *found)


def _length(part: Sequence[Tensor | None], like: Sequence[Tensor | None]) -> Tensor:
    """The Euclidean length of all tensors together; 0, on the device of the others, where there is none."""
    there = [one if one.dtype in (torch.float32, torch.float64) else one.float() for one in part if one is not None]
    if there:
        return torch.stack([one.square().sum() for one in there]).sum().sqrt()
    return next(torch.zeros((), device=one.device) for one in like if one is not None)
