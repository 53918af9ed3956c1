"""Classification heads in their fully convolutional form: one score of each class for every window of the last map."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import ModelError
from lensmith.models.adapters.whole_network import Only
from lensmith.models.backbone import LastMap, PooledLinear
from lensmith.models.backbones.stack_layers import ACTIVATIONS, GlobalPool, Scale
from lensmith.models.trial_forward import in_evaluation_mode

# Layers that work on each number by itself, wherever it lies.
_BY_NUMBER = (*ACTIVATIONS.values(), nn.ReLU6, nn.Hardswish, nn.Hardsigmoid, nn.Dropout, Scale)
_ON_MAPS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d)
_BY_VECTOR = (nn.BatchNorm1d, nn.GroupNorm, nn.LayerNorm)    # work on all values of one cell


class EachCell(nn.Module):
    """A head applied to every cell of a map as if that were the whole map of a picture, as a 1x1 convolution applies a
    dense layer. -> [batch, outputs, height, width]"""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, cells: Tensor) -> Tensor:
        batch, channels, height, width = cells.shape
        scores = self.head([cells.permute(0, 2, 3, 1).reshape(-1, channels, 1, 1)])
        return cast(Tensor, scores).view(batch, height, width, -1).permute(0, 3, 1, 2)


def convolutional(head: nn.Module, channels: int, window: tuple[int, int]) -> nn.Module:
    """The head with its weights, as one from maps of any size to [batch, outputs, rows, columns]: the scores of each
    position of a window on the map (Sermanet et al. 2014, "OverFeat"; Long et al. 2015).

    The window has `window` (height, width) cells, which is the extent of the last map, of `channels`, at the size that
    was trained at; there it has one position. A dense layer behind a flattened map becomes a convolution with a kernel
    of that map's extent, the layers behind it 1x1 convolutions, and a pool over the whole map an average pool of that
    extent. A head of timm, whose layers have no order that can be seen, is applied to the mean of each window. Raises
    ModelError for a head, or a layer of one, that has no such form.
    """
    if isinstance(head, PooledLinear):
        return LastMap(nn.Sequential(OrderedDict(pool=_pool("mean", window), dense=_dense(head.dense))))
    if isinstance(head, LastMap) and len(head.layers):
        return LastMap(_Rewriting(channels, window).of(head.layers))
    if isinstance(head, Only | LastMap):
        raise ModelError("the network came whole, from pictures to scores, so that its last map cannot be seen: only a "
                         "backbone with a head has a fully convolutional form")
    return LastMap(nn.Sequential(OrderedDict(pool=_pool("mean", window), head=EachCell(head))))


class _Rewriting:
    """Goes through the layers of a head and remembers the extent that the map has at each, for the training size."""

    def __init__(self, channels: int, window: tuple[int, int]):
        self.channels, self.extent = channels, window
        self.flat = False    # whether the original head has flattened the map before this layer
        # float [cells after, cells before]: a pool to several cells, which goes into the next dense layer's weights.
        self.pooled: Tensor | None = None
        self.before = window    # the extent before that pool

    def of(self, layers: nn.Sequential) -> nn.Sequential:
        rewritten = OrderedDict()
        for path, layer in _flat(layers, ""):
            new = self._rewritten(path, layer)
            if new is not None:
                rewritten[path.replace(".", "_")] = new
        if self.extent != (1, 1) or self.pooled is not None:
            raise ModelError(f"the head ends with {self.extent[0]} x {self.extent[1]} cells of a map and not with one "
                             "score a class: it has no fully convolutional form")
        return nn.Sequential(rewritten)

    def _rewritten(self, path: str, layer: nn.Module) -> nn.Module | None:
        """What stands in the place of a layer; None where it is left out."""
        if isinstance(layer, nn.Flatten):
            self.flat = True
            return None
        if isinstance(layer, nn.Linear) and self.flat:
            return self._dense(layer)
        if isinstance(layer, nn.Dropout | nn.Identity):
            return layer
        if self.pooled is not None:
            raise _unfit(path, layer, "stands between a pool to several cells and the dense layer")
        if isinstance(layer, GlobalPool | nn.AdaptiveAvgPool2d) and not self.flat:
            self.flat = self.flat or isinstance(layer, GlobalPool)
            return self._pool(layer)
        if isinstance(layer, _BY_NUMBER):
            return layer
        if type(layer) in _BY_VECTOR and self.extent == (1, 1):
            return EachCell(LastMap(nn.Sequential(nn.Flatten(), layer)))
        if isinstance(layer, _ON_MAPS) and not self.flat:
            with in_evaluation_mode(layer):
                shape = layer(torch.zeros(1, self.channels, *self.extent, device=_device(layer))).shape
            self.channels, self.extent = shape[1], (shape[2], shape[3])
            return layer
        # torchvision's ConvNeXt has a norm over the channels of each cell, which permutes the axes itself.
        if isinstance(layer, nn.LayerNorm) and type(layer) is not nn.LayerNorm and not self.flat:
            return layer
        raise _unfit(path, layer, "looks at the whole map" if self.extent != (1, 1) else "is of no kind that is known")

    def _pool(self, layer: GlobalPool | nn.AdaptiveAvgPool2d) -> nn.Module | None:
        extent, after = self.extent, (1, 1)
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            wanted = layer.output_size if isinstance(layer.output_size, tuple) else (layer.output_size,) * 2
            after = (wanted[0] or extent[0], wanted[1] or extent[1])
        if after == extent:
            return None
        self.extent = after
        if after == (1, 1):
            return _pool(layer.kind if isinstance(layer, GlobalPool) else "mean", extent)
        self.before = extent
        self.pooled = F.adaptive_avg_pool2d(torch.eye(extent[0] * extent[1]).view(-1, *extent), after).flatten(1).T
        return None

    def _dense(self, layer: nn.Linear) -> nn.Conv2d:
        weight = layer.weight.detach()
        if self.pooled is not None:    # both are linear, so that the pool goes into the weights: W' = W P
            weight = weight.view(len(weight), self.channels, -1) @ self.pooled.to(weight)
            self.extent, self.pooled = self.before, None
        convolution = _dense(layer, weight.reshape(len(weight), self.channels, *self.extent))
        self.channels, self.extent = layer.out_features, (1, 1)
        return convolution


def _dense(layer: nn.Linear, weight: Tensor | None = None) -> nn.Conv2d:
    """A dense layer as a convolution; its weight as [outputs, channels, height, width], or 1x1."""
    weight = layer.weight.detach()[:, :, None, None] if weight is None else weight
    kernel = (weight.shape[2], weight.shape[3])
    convolution = nn.Conv2d(weight.shape[1], len(weight), kernel, bias=layer.bias is not None).to(weight)
    with torch.no_grad():
        convolution.weight.copy_(weight)
        if convolution.bias is not None:
            convolution.bias.copy_(layer.bias)
    return convolution


def _pool(kind: str, window: tuple[int, int]) -> nn.Module:
    return nn.AvgPool2d(window, 1) if kind == "mean" else nn.MaxPool2d(window, 1)


def _flat(layers: nn.Sequential, front: str) -> Iterator[tuple[str, nn.Module]]:
    """Each layer with its path; an inner Sequential is replaced by its layers."""
    for name, layer in layers.named_children():
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer, f"{front}{name}.")
        else:
            yield f"{front}{name}", layer


def _device(layer: nn.Module) -> torch.device:
    return next((parameter.device for parameter in layer.parameters()), torch.device("cpu"))


def _unfit(path: str, layer: nn.Module, why: str) -> ModelError:
    return ModelError(f"the head has no fully convolutional form: its layer {path}, a {type(layer).__name__}, {why}")


@torch.no_grad()
def disagreement(head: nn.Module, form: nn.Module, channels: int, window: tuple[int, int]) -> float:
    """max |difference| / max |score| between a head and its convolutional form, on a map drawn at the training size."""
    drawn = torch.Generator().manual_seed(0)
    maps = [torch.randn(2, channels, *window, generator=drawn).to(_device(head))]
    with in_evaluation_mode(head), in_evaluation_mode(form):
        expected, scores = head(maps), form(maps)
    if scores.shape != (*expected.shape, 1, 1):
        return float("inf")
    return float((scores[:, :, 0, 0] - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
