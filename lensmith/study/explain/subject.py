"""What is explained: one number of a network's output, and the maps in the network that lead to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.models.network import Network

AT_ONCE = 16    # pictures that a network without gradients is given together


@dataclass(frozen=True)
class Subject:
    """A network, and which number of its output an explanation is of.

    Pictures are float [batch, channels, height, width] in their own units, as 0 to 255.
    """

    network: Network                     # in evaluation mode, in float32
    evidence: Callable[[Any], Tensor]    # the network's output -> [batch]
    layers: tuple[str, ...]              # the modules whose maps class activation maps are made of
    seed: int = 0                        # of what a method draws

    def score(self, pictures: Tensor) -> Tensor:
        """[batch]: the number that is explained."""
        found = self.evidence(self.network(pictures))
        missing = len(pictures) - len(found)    # of a detector that finds nothing in the last pictures
        return torch.cat((found, found.new_zeros(missing))) if missing > 0 else found

    @torch.no_grad()
    def scores(self, pictures: Iterator[Tensor] | Sequence[Tensor]) -> Tensor:
        """float [pictures]: the number of each picture [channels, height, width], a few at once, without gradients."""
        scores, waiting = [], list[Tensor]()
        for picture in pictures:
            waiting.append(picture)
            if len(waiting) == AT_ONCE:
                scores.append(self.score(torch.stack(waiting)))
                waiting = []
        if waiting:
            scores.append(self.score(torch.stack(waiting)))
        return torch.cat(scores).float() if scores else torch.zeros(0)

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
        while not isinstance(output, Tensor):
            output = (list(output.values()) if isinstance(output, dict) else output)[-1]
        outputs[name] = output

    hooks = [network.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
             for name in layers]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
