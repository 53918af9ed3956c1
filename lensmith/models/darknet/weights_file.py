"""Darknet's .weights files: a short header, then the floats of each layer in the order of the cfg."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, count, nearest
from lensmith.models.darknet.build import Layer
from lensmith.models.darknet.layers import Connected
from lensmith.models.darknet.network import Darknet


@dataclass(frozen=True)
class WeightsHeader:
    """The first 16 or, from version 0.2 on, 20 bytes of a weights file."""

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0    # pictures that the network was trained on

    @property
    def long(self) -> bool:
        """Whether `seen` has 64 bits: from version 0.2 on."""
        return self.major * 10 + self.minor >= 2

    @property
    def transposed(self) -> bool:
        """Whether the weights of connected layers are stored [inputs, outputs], as the first versions had them."""
        return self.major > 1000 or self.minor > 1000

    def pack(self) -> bytes:
        return struct.pack("<iiiQ" if self.long else "<iiiI", self.major, self.minor, self.revision, self.seen)


def read_darknet_weights(path: Path, network: Darknet, *, layers: int | None = None) -> WeightsHeader:
    """Fill `network` with the floats of a weights file; -> the file's header, which `network.header` keeps too.

    The file must hold exactly the floats that the cfg asks for. With `layers` it holds those of its first layers alone,
    as darknet53.conv.74 does, and the others stay fresh. Nothing in the network is changed before the sizes agree.
    Raises ModelError, which says in which layer the file ends or how many floats are left over.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            header = _read_header(path, file)
            weighted = _with_weights(network, layers)
            _check_size(path, size - file.tell(), weighted, network.config.file)
            floats = torch.from_numpy(np.fromfile(file, dtype="<f4").astype(np.float32, copy=False))
    except OSError as error:
        beside = [near.name for near in path.parent.glob("*.weights")] if path.parent.is_dir() else []
        raise ModelError(f"cannot read the weights {path} ({error.strerror}).{nearest(path.name, beside)} Give the "
                         "path of a Darknet .weights file") from error
    _check_values(path, floats, weighted)
    position = 0
    with torch.no_grad():
        for layer in weighted:
            values = floats[position:position + layer.weights]
            position += layer.weights
            if layer.number < len(network.layers):    # a backbone has no tail
                _fill(network.layers[layer.number], values, transposed=header.transposed)
        network.header.copy_(torch.tensor([header.major, header.minor, header.revision, _signed(header.seen)]))
    return header


def layers_in(path: Path, network: Darknet) -> int | None:
    """Of how many of the first layers of `network` a weights file has the floats, as darknet53.conv.74 does; None
    where it has those of all, or does not fit. Raises ModelError for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            _read_header(path, file)
            size -= file.tell()
    except OSError as error:
        raise ModelError(f"cannot read the weights {path} ({error.strerror})") from error
    weighted = _with_weights(network, None)
    ends = {4 * total: layer.number + 1
            for layer, total in zip(weighted, accumulate(layer.weights for layer in weighted), strict=True)}
    return None if not weighted or ends.get(size) == weighted[-1].number + 1 else ends.get(size)


def write_darknet_weights(path: Path, network: Darknet, *, header: WeightsHeader | None = None) -> None:
    """Write the floats of a whole network; the header is `network.header` where none is given.

    What `read_darknet_weights` has read comes out as the same bytes. Raises ModelError for a backbone without its tail.
    """
    if header is None:
        major, minor, revision, seen = network.header.tolist()
        header = WeightsHeader(major, minor, revision, seen % 2**64)
    present = {number for number, layer in enumerate(network.layers) if [*_tensors(layer)]}
    absent = [layer for layer in network.plan if layer.weights and layer.number not in present]
    if absent:
        raise ModelError(f"this network is only a part of {network.config.file}: it lacks {_named(absent[0])}. A "
                         "weights file is written of a whole network")
    start = header

    def write(aside: Path) -> None:
        with open(aside, "wb") as file:
            file.write(start.pack())
            for layer in network.layers:
                for tensor in _tensors(layer):
                    flip = start.transposed and isinstance(layer, Connected) and tensor is layer.dense.weight
                    values = (tensor.detach().t() if flip else tensor.detach()).cpu().contiguous()
                    file.write(values.numpy().astype("<f4", copy=False).tobytes())

    write_atomic(path, write, advice="choose another place for the weights")


def _read_header(path: Path, file: BinaryIO) -> WeightsHeader:
    start = file.read(12)
    header = WeightsHeader(*struct.unpack("<iii", start)) if len(start) == 12 else WeightsHeader()
    seen = file.read(8 if header.long else 4)
    if len(start) < 12 or len(seen) < (8 if header.long else 4):
        raise ModelError(f"{path} is too short for a Darknet weights file: its header alone has 16 or 20 bytes, and "
                         f"the file has {len(start) + len(seen)}")
    return WeightsHeader(header.major, header.minor, header.revision, int.from_bytes(seen, "little"))


def _signed(seen: int) -> int:
    """A number of 64 bits as the int64 of the same bits, which a buffer can hold."""
    return seen - 2**64 if seen >= 2**63 else seen


def _with_weights(network: Darknet, layers: int | None) -> list[Layer]:
    """The layers whose floats the file must hold."""
    plan = network.plan
    if layers is not None and not 1 <= layers <= len(plan):
        raise ModelError(f"layers = {layers} must be from 1 to {len(plan)}, the layers of {network.config.file}")
    return [layer for layer in plan[:layers] if layer.weights]


def _check_size(path: Path, size: int, weighted: list[Layer], cfg: str) -> None:
    """Raise ModelError unless the bytes behind the header, `size`, are the floats of these layers."""
    total = sum(layer.weights for layer in weighted)
    if size == 4 * total:
        return
    if size > 4 * total:
        extra, odd = divmod(size - 4 * total, 4)
        odd_bytes = f" and {count(odd, 'byte')}" if odd else ""
        last = f": behind {_named(weighted[-1])}, its last layer with weights" if weighted else ""
        raise ModelError(f"{path} holds more than {cfg} asks for{last}, {extra:,} floats{odd_bytes} are "
                         f"left over of {size // 4:,}. Take the cfg that belongs to these weights")
    remaining = size // 4
    for layer in weighted:
        if remaining < layer.weights or size < 4:
            break
        remaining -= layer.weights
    raise ModelError(f"{path} ends in {_named(layer)}, with {remaining:,} of that layer's {layer.weights:,} floats: it "
                     f"holds {size // 4:,} floats, and {cfg} asks for {total:,}. Take the cfg that belongs to them, "
                     + (f"or, where the file is of the first layers alone, layers={layer.number}" if remaining == 0
                        else "or the whole file"))


def _check_values(path: Path, floats: Tensor, weighted: list[Layer]) -> None:
    """Raise ModelError for floats that are no numbers: such a file is damaged, or none of Darknet's."""
    # A sum that is finite shows that all are, without a mask of all of them; large values may overflow it.
    if bool(floats.sum().isfinite()) or bool(floats.isfinite().all()):
        return
    position = int((~floats.isfinite()).nonzero()[0])
    for layer in weighted:
        if position < layer.weights:
            raise ModelError(f"{path} is damaged: float {position:,} of {_named(layer)} is no finite number")
        position -= layer.weights


def _named(layer: Layer) -> str:
    return f"layer {layer.number} [{layer.section.kind}] (line {layer.section.line} of the cfg)"


def _fill(module: nn.Module, floats: Tensor, *, transposed: bool) -> None:
    position = 0
    for tensor in _tensors(module):
        values = floats[position:position + tensor.numel()]
        position += tensor.numel()
        if transposed and isinstance(module, Connected) and tensor is module.dense.weight:
            tensor.copy_(values.view(tensor.shape[1], tensor.shape[0]).t())
        else:
            tensor.copy_(values.view(tensor.shape))


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """What a layer has in a weights file, in the file's order."""
    if isinstance(module, nn.BatchNorm2d):
        yield from _norm(module)
    elif isinstance(module, Connected):
        norm = _norm(module.norm) if module.norm is not None else []
        yield norm[0] if norm else module.dense.bias
        yield module.dense.weight
        yield from norm[1:]
    elif isinstance(module, nn.Sequential) and isinstance(conv := module[0], nn.Conv2d):
        norm_layer = getattr(module, "norm", None)
        if isinstance(norm_layer, nn.BatchNorm2d):
            yield from _norm(norm_layer)
        elif conv.bias is not None:
            yield conv.bias
        yield conv.weight


def _norm(norm: nn.BatchNorm2d | nn.BatchNorm1d) -> list[Tensor]:
    """Its biases, scales, means and variances."""
    assert norm.running_mean is not None and norm.running_var is not None
    return [norm.bias, norm.weight, norm.running_mean, norm.running_var]
