"""Whole episodes, played to measure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.rl.worlds.world import World

_MOST = 100_000    # steps of one episode, after which it is cut: a world may have no limit of its own


@dataclass(frozen=True)
class Episodes:
    """What episodes brought. Their number is that of their copy, then, copy by copy, of the next ones."""

    returns: tuple[float, ...]       # sums of rewards
    lengths: tuple[int, ...]         # steps
    discounted: tuple[float, ...]    # sums of rewards, each discounted by the steps before it
    ended: tuple[bool, ...]          # by the world's rules, and not cut by time
    actions: tuple[int, ...]         # how often each action was taken in all of them
    frames: dict[int, list[Tensor]] = field(default_factory=dict)    # uint8 [3, height, width], of those asked for

    @property
    def mean_return(self) -> float:
        return sum(self.returns) / len(self.returns)

    @property
    def mean_length(self) -> float:
        return sum(self.lengths) / len(self.lengths)


def play_episodes(world: World, act: Callable[[Tensor], Tensor], episodes: int, *, frames: Collection[int] = (),
                  discount: float = 1.0, most: int = _MOST) -> Episodes:
    """Play `episodes` episodes from the reset of a world; `act` takes observations and gives int64 [copies].

    Each copy plays as many as every other, or one more: the first to be over would otherwise count too often. `frames`
    are the numbers of episodes that are filmed, a picture before each step.
    """
    if episodes < 1:
        raise UserError(f"at least one episode must be played to measure; got {episodes}")
    copies = world.copies
    returns, discounted = torch.zeros(copies, dtype=torch.float64), torch.zeros(copies, dtype=torch.float64)
    lengths, begun = torch.zeros(copies, dtype=torch.int64), torch.zeros(copies, dtype=torch.int64)
    counts = torch.zeros(len(world.spaces.actions), dtype=torch.int64)
    done: dict[int, tuple[float, int, float, bool]] = {}
    films: dict[int, list[Tensor]] = {number: [] for number in frames if 0 <= number < episodes}
    observations = world.reset()
    while len(done) < episodes:
        numbers = begun * copies + torch.arange(copies)
        for number in films.keys() & set(numbers.tolist()):
            films[number].append(world.frame(number % copies))
        actions = act(observations)
        step = world.step(actions)
        counts += torch.bincount(actions[numbers < episodes], minlength=len(counts))
        returns += step.rewards
        discounted += step.rewards * discount ** lengths.double()
        lengths += 1
        over = step.ended | step.truncated | (lengths >= most)
        for copy in over.nonzero().flatten().tolist():
            number = int(numbers[copy])
            if number < episodes:
                done[number] = (float(returns[copy]), int(lengths[copy]), float(discounted[copy]),
                                bool(step.ended[copy]))
        begun += over
        for sums in (returns, discounted, lengths):
            sums[over] = 0
        observations = step.observations
    rows = [done[number] for number in range(episodes)]
    return Episodes(tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows),
                    tuple(row[3] for row in rows), tuple(counts.tolist()), films)
