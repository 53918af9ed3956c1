"""Policy and value learned together from what was just played: proximal policy optimisation, and advantage actor-critic
as its case of one epoch (Schulman et al. 2017, arXiv 1707.06347; Mnih et al. 2016, arXiv 1602.01783; that the one is a
case of the other: Huang et al. 2022, arXiv 2205.09123)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.base.hashed_random import hashed, seed_of
from lensmith.rl.algorithms.algorithm import Setup, at_least, in_unit
from lensmith.rl.exploration import SHUFFLE, sampled
from lensmith.rl.heads import PolicyAndValue
from lensmith.rl.modes import Modes
from lensmith.rl.returns import generalised_advantages
from lensmith.rl.rollout import Rollout
from lensmith.rl.worlds.world import Step

_SMALL = 1e-8


@dataclass(frozen=True, kw_only=True)
class PpoSettings:
    """Proximal policy optimisation. Raises UserError for a setting that is out of bounds, or does not go with another
    one."""

    discount: float = 0.99          # of the reward of each later step
    trace: float = 0.95             # lambda of generalised advantage estimation: 0 trusts the value, 1 the rewards
    rollout: int = 64               # steps of each copy from which one policy learns
    epochs: int = 8                 # passes over them
    batch: int = 256                # steps that one update learns from; 0 takes all
    clip: float = 0.2               # how far an action's probability may move from that it was played with; 0: freely
    value: float = 0.5              # the weight of the squared error of the value
    entropy: float = 0.01           # the weight of the entropy of the policy, which is to stay high
    normalise: bool = True          # whether the advantages of a batch are brought to mean 0 and standard deviation 1

    def __post_init__(self) -> None:
        for name in ("discount", "trace"):
            in_unit(name, getattr(self, name))
        for name in ("rollout", "epochs"):
            at_least(name, getattr(self, name), 1)
        for name in ("batch", "clip", "value", "entropy"):
            at_least(name, getattr(self, name), 0)
        if self.batch == 1 and self.normalise:
            raise UserError("algorithm.batch is 1, and algorithm.normalise needs several advantages: take a larger "
                            "batch")

    def head(self, features: int, actions: int) -> nn.Module:
        return PolicyAndValue(features, actions)

    def batches(self, copies: int) -> int:
        """Updates in each pass over what was played."""
        steps = self.rollout * copies
        return max(1, steps // self.batch) if self.batch else 1

    def updates(self, steps: int, copies: int) -> int:
        return -(-steps // copies) // self.rollout * self.epochs * self.batches(copies)

    def begin(self, setup: Setup) -> "Ppo":
        if self.batch > self.rollout * setup.copies:
            raise UserError(f"algorithm.batch is {self.batch:,}, and algorithm.rollout={self.rollout:,} steps of "
                            f"{setup.copies:,} copies are {self.rollout * setup.copies:,}: take a smaller batch")
        if setup.moments < self.rollout:
            raise UserError(f"{setup.steps:,} steps of {setup.copies:,} copies are {setup.moments:,} of each, and the "
                            f"first update comes after algorithm.rollout={self.rollout:,}: play more with "
                            "learner.steps, or take a shorter rollout")
        return Ppo(self, setup)


def a2c(*, discount: float = 0.99, trace: float = 1.0, rollout: int = 8, value: float = 0.5, entropy: float = 0.01,
        normalise: bool = False) -> PpoSettings:
    """Advantage actor-critic: one update on all that was just played. The settings are those of ppo."""
    return PpoSettings(discount=discount, trace=trace, rollout=rollout, epochs=1, batch=0, clip=0.0, value=value,
                       entropy=entropy, normalise=normalise)


def policy_loss(log_probabilities: Tensor, played_with: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """-mean min(p A, min(max(p, 1 - clip), 1 + clip) A), where p is the probability of each action over that which it
    was played with. All float [batch], as logarithms. With `clip` 0 it is -mean p A."""
    ratios = (log_probabilities - played_with).exp()
    if not clip:
        return -(ratios * advantages).mean()
    return -torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages).mean()


class Ppo:
    """What plays by a policy, and learns it and its value from each rollout."""

    def __init__(self, settings: PpoSettings, setup: Setup):
        self.settings, self.setup = settings, setup
        self.network, self.modes = setup.network, Modes(setup.network)
        self.rollout = Rollout(setup.spaces, settings.rollout, setup.copies,
                               ("log_probabilities", "values", "following"))
        self.rollouts = 0                      # that were learned from
        self._acted: tuple[Tensor, Tensor] | None = None    # log probabilities and values, from `act` to `note`
        self.next: Tensor | None = None        # what was seen after the newest step, until it is valued
        self.sums = dict.fromkeys(("entropy", "clipped", "change"), 0.0)    # over the updates since the last row
        self.counted = 0
        self.explained = 0.0                   # of the newest rollout: the variance of returns that values foretell

    @property
    def discount(self) -> float:
        return self.settings.discount

    @torch.no_grad()
    def act(self, observations: Tensor, moment: int) -> Tensor:
        output = self.setup.output(self.network, observations).cpu()
        logits, values = output[:, :-1].log_softmax(1), output[:, -1]
        actions = sampled(logits, seed=self.setup.seed, moment=moment)
        self._acted = logits.gather(1, actions.unsqueeze(1)).squeeze(1), values
        return actions

    @torch.no_grad()
    def note(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        assert self._acted is not None, "steps are noted after they were chosen"
        log_probabilities, values = self._acted
        # The value of what follows is that which the next moment computes, but where the episode was cut.
        following = torch.zeros_like(values)
        if step.truncated.any():
            following[step.truncated] = self._value(step.last[step.truncated])
        self.rollout.add(observations, actions, step, log_probabilities=log_probabilities, values=values,
                         following=following)
        self.next = step.observations

    def _value(self, observations: Tensor) -> Tensor:
        return self.setup.output(self.network, observations)[:, -1].cpu()

    def losses(self) -> Iterator[dict[str, Tensor]]:
        if not self.rollout.full:
            return
        advantages = self._advantages()
        returns = advantages + self.rollout["values"]
        self.explained = _explained(self.rollout["values"], returns)
        steps, device = self.rollout.flat(), self.setup.plan.device
        steps |= {"advantages": advantages.flatten(), "returns": returns.flatten()}
        for epoch in range(self.settings.epochs):
            for indices in self._batches(self.rollouts * self.settings.epochs + epoch):
                yield self._losses({name: tensor[indices].to(device) for name, tensor in steps.items()})
        self.rollouts += 1
        self.rollout.clear()

    @torch.no_grad()
    def _advantages(self) -> Tensor:
        """float [steps, copies], of the rollout."""
        rollout = self.rollout
        assert self.next is not None
        following = torch.cat([rollout["values"][1:], self._value(self.next).unsqueeze(0)])
        following = torch.where(rollout["truncated"], rollout["following"], following)
        return generalised_advantages(rollout["rewards"], rollout["values"], following, rollout["ended"],
                                      rollout["truncated"], discount=self.settings.discount, trace=self.settings.trace)

    def _batches(self, epoch: int) -> Iterator[Tensor]:
        """The indices of each batch of an epoch of the run. What is left over by a batch that does not divide the steps
        is spread over the others, so that all steps count."""
        steps = self.rollout.rows * self.setup.copies
        batches = self.settings.batches(self.setup.copies)
        if batches == 1:
            yield torch.arange(steps)
            return
        order = np.argsort(hashed(seed_of(self.setup.seed, epoch, SHUFFLE), np.arange(steps)), kind="stable")
        yield from (torch.from_numpy(part) for part in np.array_split(order, batches))

    def _losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        settings, advantages = self.settings, batch["advantages"]
        if settings.normalise:
            advantages = (advantages - advantages.mean()) / (advantages.std() + _SMALL)
        with self.modes.learning():
            output = self.setup.output(self.network, batch["observations"])
        logits = output[:, :-1].log_softmax(1)
        chosen = logits.gather(1, batch["actions"].unsqueeze(1)).squeeze(1)
        entropy = -(logits.exp() * logits).sum(1).mean()
        with torch.no_grad():
            change = (chosen - batch["log_probabilities"]).exp() - 1
            self.sums["entropy"] += entropy.item()
            self.sums["clipped"] += (change.abs() > settings.clip).float().mean().item() if settings.clip else 0.0
            self.sums["change"] += (change - (1 + change).log()).mean().item()
            self.counted += 1
        return {"policy": policy_loss(chosen, batch["log_probabilities"], advantages, settings.clip),
                "value": settings.value * (output[:, -1] - batch["returns"]).square().mean(),
                "entropy": -settings.entropy * entropy}

    def interrupt(self) -> None:
        self.rollout.interrupt(None if self.next is None else self._value_at_rest(self.next))

    @torch.no_grad()
    def _value_at_rest(self, observations: Tensor) -> Tensor:
        return self._value(observations)

    def greedy(self, network: nn.Module, observations: Tensor) -> Tensor:
        return self.setup.output(network, observations)[:, :-1].argmax(1).cpu()

    def values(self, network: nn.Module, observations: Tensor) -> Tensor | None:
        return self.setup.output(network, observations)[:, -1].cpu()

    def diagnostics(self) -> dict[str, float]:
        numbers = {"rollouts": float(self.rollouts)}
        if self.counted:
            # As a fraction of the greatest possible: 1 for a policy that is uniform, 0 for one that is sure.
            entropy = self.sums["entropy"] / self.counted / np.log(max(2, len(self.setup.spaces.actions)))
            numbers |= {"exploration": float(entropy), "policy/entropy": float(entropy),
                        "policy/clipped": self.sums["clipped"] / self.counted,
                        "policy/change": self.sums["change"] / self.counted, "value/explained": self.explained}
        self.sums, self.counted = dict.fromkeys(self.sums, 0.0), 0
        return numbers

    def state_dict(self) -> dict[str, Any]:
        state = {"rollouts": self.rollouts, "counted": self.counted, "explained": self.explained,
                 "sums": dict(self.sums), "rollout": self.rollout.state_dict()}
        return state | ({"next": self.next} if self.next is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rollouts, self.counted = int(state["rollouts"]), int(state["counted"])
        self.explained = float(state["explained"])
        self.sums = {name: float(state["sums"][name]) for name in self.sums}
        self.rollout.load_state_dict(state["rollout"])
        self.next = state["next"].clone() if "next" in state else None


def _explained(values: Tensor, returns: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns): 1 where the values foretell the returns, 0 where their mean does as
    well."""
    variance = returns.var(correction=0)
    return float(1 - (returns - values).var(correction=0) / variance) if variance > 0 else 0.0
