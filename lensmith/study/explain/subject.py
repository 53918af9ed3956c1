"""What is explained: one number of a network's output, and the maps in the network that lead to it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.models.network import Network
from lensmith.study.explain.hooked import hooked, last_map

_PIXELS = 1 << 19         # that a network without gradients is given together: ten pictures of 224 x 224
_AT_ONCE = (4, 128)      # pictures of them at least, at most


@dataclass(frozen=True)
class Subject:
    """A network, and which number of its output an explanation is of.

    Pictures are float [batch, channels, height, width] in their own units, as 0 to 255.
    """

    network: Network                     # in evaluation mode, in float32
    evidence: Callable[[Any], Tensor]    # the network's output -> [batch]
    layers: tuple[str, ...]              # the modules whose maps class activation maps are made of
    seed: int = 0                        # of what a method draws
    # Pictures -> the same output without gradients, by a quicker form of the network; None: by the network.
    forward: Callable[[Tensor], Any] | None = None

    def score(self, pictures: Tensor) -> Tensor:
        """[batch]: the number that is explained, with its graph."""
        return self._of_output(self.network(pictures), len(pictures))

    @torch.no_grad()
    def scores(self, pictures: Iterable[Tensor]) -> Tensor:
        """float [pictures], on the CPU: the number of each picture [channels, height, width], a few at once, without
        gradients."""
        scores, rest = [torch.zeros(0)], iter(pictures)
        for first in rest:
            scores.append(self.scores_of_batch(torch.stack([first, *islice(rest, self.at_once(first) - 1)])))
        return torch.cat(scores)

    @torch.no_grad()
    def scores_of_batch(self, pictures: Tensor) -> Tensor:
        """float [batch], on the CPU: the number of each picture, all at once, without gradients."""
        return self._of_output((self.forward or self.network)(pictures), len(pictures)).float().cpu()

    def at_once(self, picture: Tensor) -> int:
        """How many pictures of this size a network without gradients is given together."""
        return min(max(_PIXELS // picture[0].numel(), _AT_ONCE[0]), _AT_ONCE[1])

    def _of_output(self, output: Any, pictures: int) -> Tensor:
        found = self.evidence(output)
        missing = pictures - len(found)    # of a detector that finds nothing in the last pictures
        return torch.cat((found, found.new_zeros(missing))) if missing > 0 else found

    def maps(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The numbers [batch], and what each of `layers` gave: float [batch, channels, rows, columns], with their
        graph."""
        with recorded(self.network, self.layers) as outputs:
            score = self.score(pictures)
        return score, [outputs[name] for name in self.layers]

    def gradient(self, picture: Tensor) -> Tensor:
        """float [channels, height, width]: the slope of the number by each value of a picture."""
        given = picture[None].detach().clone().requires_grad_()
        return torch.autograd.grad(self.score(given).sum(), given)[0][0]

    @property
    def blank(self) -> Tensor:
        """float [channels, 1, 1]: the colour that the network takes for nothing, the mean of its training pictures."""
        return self.network.mean[0]


@contextmanager
def recorded(network: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within it the network's runs put the output of each of `layers` by its name into a dict; of a module that gives
    several maps the last one."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        outputs[name] = last_map(output)

    with hooked(network, layers, keep):
        yield outputs
