"""Features of pictures by the ImageNet network that is installed with the package, in a given time."""

import math
import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lensmith.base.pictures import Form
from lensmith.base.progress import ProgressLine
from lensmith.data.batches.loader import Loader
from lensmith.data.batches.prefetch import Prefetch
from lensmith.data.sources.in_memory import InMemory, Reshaped
from lensmith.data.sources.sample import Batch, Source
from lensmith.engine.plan.plan import Plan
from lensmith.models.adapters.embedded_weights import EMBEDDED, embedded_weights
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.models.weights import fit_into
from lensmith.recipe.open_data import Tell

NETWORK = next(iter(EMBEDDED))    # efficientnet_lite0
SMALL = 64                  # pixels: the longer edge up to which a picture is small
_USUAL, _ENLARGED = 224, 128    # pixels: the edge to which pictures are brought, and to which small ones are
_LEAST, _STEP = 96, 32      # pixels: the least edge, and what all edges are multiples of
_BATCH, _TIMED = 32, 3      # pictures at a time; batches by which the time is told, behind one that warms up


@dataclass(frozen=True)
class PictureFeatures:
    """What the network makes of pictures."""

    numbers: Tensor     # float16 [n, channels]: the means of its last map
    computed: Tensor    # bool [n]: False where a picture turned out to be unreadable, or the time did not suffice
    edge: int           # pixels of the pictures that it saw


def features_of(sources: Sequence[Source], form: Form, *, seconds: float, plan: Plan, tell: Tell) -> PictureFeatures:
    """The features of the pictures of all sources, one after another.

    form: that the pictures have by themselves. They are brought to squares of 224 pixels, small ones of 128; to
        smaller ones, of 96 at least, where the time does not suffice for that.
    seconds: that it may take. If they do not suffice for 96 pixels either, as many of the pictures as they suffice for
        are computed, evenly out of all.
    """
    network = _network(form.channels, plan)
    total = sum(map(len, sources))
    most = _ENLARGED if max(form.size) <= SMALL else _USUAL
    began = time.monotonic()
    of_picture = _time_of_picture(network, sources, replace(form, height=most, width=most), plan)
    left = seconds - (time.monotonic() - began)
    edge = _edge_within(left, of_picture * total, most)
    wanted = total if edge > _LEAST else min(total, int(left / (of_picture * (_LEAST / most) ** 2)))
    chosen = _evenly(total, max(2, wanted))
    channels: int = network.backbone.channels[-1]    # type: ignore[assignment,index]
    numbers, computed = torch.zeros(total, channels, dtype=torch.float16), torch.zeros(total, dtype=torch.bool)
    progress, done = ProgressLine("features of", len(chosen), tell), 0
    for rows, batch in _batches(sources, chosen, _squares(form, edge)):
        numbers[rows], computed[rows] = _means(network, batch, plan), True
        done += len(rows)
        progress(done)
    return PictureFeatures(numbers, computed, edge)


def _network(channels: int, plan: Plan) -> Network:
    """The network with its ImageNet weights; its head is not used."""
    backbone = find_backbone(NETWORK, trusted=False)(inputs=channels, size=(_USUAL, _USUAL))
    network = Network(backbone, torch.nn.Identity(), mean=[127.5] * channels, deviation=[127.5] * channels)
    fit_into(network, {name: tensor for name, tensor in embedded_weights(NETWORK, backbone).items()
                       if name.startswith("backbone.")}, what=NETWORK)
    plan.place(network)
    return network.eval()


def _edge_within(seconds: float, at_most: float, most: int) -> int:
    """The largest edge at which all pictures are done within `seconds`, at least 96; at the edge `most` they take
    `at_most` seconds, and the time is as the area."""
    fraction = min(1.0, max(0.0, seconds) / max(at_most, 1e-9))    # of the area
    return max(_LEAST, int(most * math.sqrt(fraction) / _STEP) * _STEP)


def _evenly(total: int, number: int) -> Tensor:    # -> int64 [number at most], ascending
    return torch.arange(total) if number >= total else torch.linspace(0, total - 1, number).round().long().unique()


def _squares(form: Form, edge: int) -> Form:
    # Bicubic as the published weights are used to; the whole picture, since what a label is about may be at its edge.
    return replace(form, height=edge, width=edge, fit="squash", bits=8, interpolation="bicubic")


def _time_of_picture(network: Network, sources: Sequence[Source], form: Form, plan: Plan) -> float:
    """Seconds that the network takes for one, decoding and all."""
    total, took = sum(map(len, sources)), []
    for number in range(_TIMED + 1):
        rows = _evenly(total, _BATCH * (_TIMED + 1))[number * _BATCH : (number + 1) * _BATCH]
        began = time.perf_counter()
        for some, batch in _batches(sources, rows, _squares(form, form.height)):
            _means(network, batch, plan)
            took.append((time.perf_counter() - began) / len(some))
            began = time.perf_counter()
    return min(took) if took else 0.0


def _batches(sources: Sequence[Source], rows: Tensor, form: Form) -> Iterator[tuple[Tensor, Batch]]:
    """The pictures `rows` (int64, ascending over all sources) in batches, with the rows that each holds."""
    start = 0
    for source in sources:
        own = rows[(rows >= start) & (rows < start + len(source))]
        if len(own):
            plain: Any = copy(source)
            plain.targets = {}
            plain = plain.subset((own - start).tolist())
            shaped = Reshaped(plain, form) if isinstance(plain, InMemory) else plain.shaped(form)
            for batch in Prefetch(iter(Loader(shaped, _BATCH))):
                yield own[batch.indices], batch
        start += len(source)


@torch.inference_mode()
def _means(network: Network, batch: Batch, plan: Plan) -> Tensor:
    with plan.precise():
        maps = network.backbone(network.standardise(plan.arrange(batch.to(plan.device).images)))[-1]
    return maps.float().mean((2, 3)).half().cpu()
