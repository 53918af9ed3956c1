"""A convolution whose kernels are typed in the recipe, and not learned."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from lensmith.base.errors import ModelError

_Value = Annotated[float, Field(allow_inf_nan=False)]
_Kernel = list[list[_Value]]
# One kernel for all, one a filter, or one a filter and incoming channel. The last argument is how an error names it.
TypedKernels = Annotated[
    _Kernel | list[_Kernel] | list[list[_Kernel]],
    "a kernel, as [[1, 0, -1], [2, 0, -2], [1, 0, -1]], a list of one a filter, or of lists of one a channel"]
_SIZES = {2: "rows x columns", 3: "filters x rows x columns", 4: "filters x channels x rows x columns"}


class TypedConv2d(nn.Conv2d):
    """A convolution with kernels that somebody has typed. They have no gradient, so that training leaves them as they
    are; the bias, where there is one, begins at 0 and learns."""

    def __init__(self, kernels: Tensor, inputs: int, *, stride: int, padding: int, dilation: int, groups: int,
                 bias: bool):
        """kernels: float [filters, inputs / groups, rows, columns], as `read_kernels` gives them."""
        edges = (kernels.shape[2], kernels.shape[3])
        super().__init__(inputs, len(kernels), edges, stride, padding, dilation, groups, bias)
        self.weight.requires_grad_(False).copy_(kernels)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def read_kernels(typed: Sequence, *, filters: int, channels: int, kernel: int | None) -> Tensor:
    """What a recipe has typed as float [filters, channels, edge, edge]. One kernel serves all filters and channels, one
    a filter all its channels. `kernel` is the edge that the recipe names beside it, if it does.

    Raises ModelError for rows of different lengths, for kernels that are not square, and for other numbers of filters,
    channels or rows than the layer has.
    """
    try:
        kernels = torch.tensor(typed, dtype=torch.float32)
    except ValueError:
        raise ModelError("weights is not rectangular: all rows of a kernel, and all kernels, have as many values"
                         ) from None
    came = f"{' x '.join(str(edge) for edge in kernels.shape)} values ({_SIZES.get(kernels.dim(), 'none')})"
    if not kernels.numel() or kernels.shape[-1] != kernels.shape[-2]:
        raise ModelError(f"weights has {came}: the kernels of a recipe are square")
    edge = kernels.shape[-1]
    if kernel not in (None, edge):
        raise ModelError(f"weights has kernels of {edge} x {edge} values, and kernel = {kernel} says otherwise: leave "
                         "kernel out")
    if kernels.dim() == 2:
        kernels = kernels.expand(filters, channels, edge, edge)
    elif kernels.dim() == 3:
        kernels = kernels[:, None].expand(-1, channels, edge, edge)
    if kernels.shape[:2] != (filters, channels):
        raise ModelError(f"weights has {came}, and the layer {filters} filters of {channels} channels")
    return kernels.contiguous()
