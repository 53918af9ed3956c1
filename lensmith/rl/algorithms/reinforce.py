"""Policy gradient by whole episodes, the plainest of all: what brought much is made more probable (Williams 1992)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from lensmith.base.errors import UserError
from lensmith.rl.algorithms.algorithm import Setup, at_least, in_unit, one_of
from lensmith.rl.exploration import sampled
from lensmith.rl.heads import PolicyAndValue
from lensmith.rl.modes import Modes
from lensmith.rl.returns import discounted_returns
from lensmith.rl.rollout import Rollout
from lensmith.rl.worlds.world import Step

Baseline = Literal["mean", "value", "none"]


@dataclass(frozen=True, kw_only=True)
class ReinforceSettings:
    """REINFORCE. Raises UserError for a setting that is out of bounds.

    The return of an episode that a limit of time has cut is what it brought until then. An episode of more than
    `longest` steps is learned from in parts, as if each were an episode.
    """

    discount: float = 0.99            # of the reward of each later step
    rollout: int = 64                 # steps of each copy from one update to the next
    longest: int = 512                # steps of an episode that are kept until it is over
    baseline: Baseline = "mean"       # taken off each return: the mean of the batch, a learned value, or nothing
    value: float = 0.5                # the weight of the squared error of the value, for baseline "value"
    entropy: float = 0.01             # the weight of the entropy of the policy, which is to stay high

    def __post_init__(self) -> None:
        in_unit("discount", self.discount)
        for name in ("rollout", "longest"):
            at_least(name, getattr(self, name), 1)
        for name in ("value", "entropy"):
            at_least(name, getattr(self, name), 0)
        one_of("baseline", self.baseline, get_args(Baseline))
        if self.longest < self.rollout:
            raise UserError(f"algorithm.longest is {self.longest:,}, and an update comes every algorithm.rollout="
                            f"{self.rollout:,} steps: keep at least as many")

    def head(self, features: int, actions: int) -> nn.Module:
        return PolicyAndValue(features, actions)

    def updates(self, steps: int, copies: int) -> int:
        return -(-steps // copies) // self.rollout

    def begin(self, setup: Setup) -> "Reinforce":
        if setup.moments < self.rollout:
            raise UserError(f"{setup.steps:,} steps of {setup.copies:,} copies are {setup.moments:,} of each, and the "
                            f"first update comes after algorithm.rollout={self.rollout:,}: play more with "
                            "learner.steps, or take a shorter rollout")
        return Reinforce(self, setup)


class Reinforce:
    """What plays by a policy, and learns from the episodes that are over. The steps of those that go on are kept."""

    def __init__(self, settings: ReinforceSettings, setup: Setup):
        self.settings, self.setup = settings, setup
        self.network, self.modes = setup.network, Modes(setup.network)
        self.rollout = Rollout(setup.spaces, settings.longest + settings.rollout, setup.copies)
        self.moment = self.updates = 0
        self.learned = torch.zeros(setup.copies, dtype=torch.int64)    # rows of each copy that were learned from
        self.entropy, self.counted = 0.0, 0                            # over the updates since the last row

    @property
    def discount(self) -> float:
        return self.settings.discount

    @torch.no_grad()
    def act(self, observations: Tensor, moment: int) -> Tensor:
        logits = self.setup.output(self.network, observations)[:, :-1].cpu().log_softmax(1)
        return sampled(logits, seed=self.setup.seed, moment=moment)

    def note(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        self.rollout.add(observations, actions, step)
        self.moment += 1

    def losses(self) -> Iterator[dict[str, Tensor]]:
        if self.moment % self.settings.rollout:
            return
        over = self.rollout["ended"] | self.rollout["truncated"]
        rows = torch.arange(1, len(over) + 1).unsqueeze(1)
        until = (rows * over).max(0).values    # rows of each copy up to the last episode that is over
        # What has grown too long is learned from as it is.
        until = torch.where(len(over) - torch.maximum(self.learned, until) >= self.settings.longest, len(over), until)
        counts = (rows > self.learned) & (rows <= until)    # [rows, copies]
        if counts.any():
            yield self._losses(counts, over)
            self.updates += 1
        self.learned = torch.maximum(self.learned, until)
        forgotten = int(self.learned.min())
        self.learned = self.learned - forgotten
        self.rollout.clear(forgotten)

    def _losses(self, counts: Tensor, over: Tensor) -> dict[str, Tensor]:
        settings, device = self.settings, self.setup.plan.device
        returns = discounted_returns(self.rollout["rewards"], over, torch.zeros(self.setup.copies), settings.discount)
        returns = returns[counts].to(device)
        with self.modes.learning():
            output = self.setup.output(self.network, self.rollout["observations"][counts])
        logits, values = output[:, :-1].log_softmax(1), output[:, -1]
        chosen = logits.gather(1, self.rollout["actions"][counts].to(device).unsqueeze(1)).squeeze(1)
        better = returns
        if settings.baseline == "mean" and len(returns) > 1:
            better = (returns - returns.mean()) / (returns.std() + 1e-8)
        elif settings.baseline == "value":
            better = returns - values.detach()
        entropy = -(logits.exp() * logits).sum(1).mean()
        self.entropy, self.counted = self.entropy + entropy.item(), self.counted + 1
        terms = {"policy": -(chosen * better).mean(), "entropy": -settings.entropy * entropy}
        if settings.baseline == "value":
            terms["value"] = settings.value * (values - returns).square().mean()
        return terms

    def interrupt(self) -> None:
        self.rollout.interrupt(None)

    def greedy(self, network: nn.Module, observations: Tensor) -> Tensor:
        return self.setup.output(network, observations)[:, :-1].argmax(1).cpu()

    def values(self, network: nn.Module, observations: Tensor) -> Tensor | None:
        return self.setup.output(network, observations)[:, -1].cpu() if self.settings.baseline == "value" else None

    def diagnostics(self) -> dict[str, float]:
        numbers = {"updates": float(self.updates)}
        if self.counted:
            entropy = self.entropy / self.counted / float(np.log(max(2, len(self.setup.spaces.actions))))
            numbers |= {"exploration": entropy, "policy/entropy": entropy}
        self.entropy, self.counted = 0.0, 0
        return numbers

    def state_dict(self) -> dict[str, Any]:
        return {"moment": self.moment, "updates": self.updates, "learned": self.learned, "entropy": self.entropy,
                "counted": self.counted, "rollout": self.rollout.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moment, self.updates = int(state["moment"]), int(state["updates"])
        self.entropy, self.counted = float(state["entropy"]), int(state["counted"])
        self.learned.copy_(state["learned"])
        self.rollout.load_state_dict(state["rollout"])
