"""Deep Q-learning: the value of each action is learned from steps that are remembered (Mnih et al. 2015)."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lensmith.base.errors import UserError
from lensmith.models.weights import load_into
from lensmith.rl.algorithms.algorithm import Setup, at_least, in_unit, one_of
from lensmith.rl.exploration import NOISE, epsilon_greedy, linear_decay, softmax_over
from lensmith.rl.heads import ActionValues, DuelingValues, redraw_noise
from lensmith.rl.modes import Modes
from lensmith.rl.replay import Priorities, Replay, SampledSteps
from lensmith.rl.returns import best_values, double_values, td_targets
from lensmith.rl.worlds.world import Step

Exploration = Literal["epsilon", "softmax", "greedy"]
Target = Literal["hard", "soft", "none"]
Loss = Literal["huber", "squared"]


@dataclass(frozen=True, kw_only=True)
class DqnSettings:
    """Deep Q-learning. Raises UserError for a setting that is out of bounds, or does not go with another one."""

    discount: float = 0.99              # of the reward of each later step
    batch: int = 128                    # steps that one update learns from
    samples: float = 8.0                # steps learned from for each step that is played
    learning_starts: int = 500          # steps that are played before the first update
    replay: int = 50_000                # steps that are remembered
    mapped: bool = False                # whether they are kept in a file of the run folder and not in memory
    exploration: Exploration | None = None    # None: epsilon; greedy where the network is noisy
    start: float = 1.0                  # the probability of any action at the beginning
    end: float = 0.05                   # and at the end
    temperature: float = 1.0            # of the softmax over Q-values at the beginning, in units of the return
    final_temperature: float = 0.05     # and at the end
    decay: float = 0.6                  # the fraction of the run until which both fall
    target: Target = "soft"             # the network that values what follows: a copy now and then, one that trails
                                        # behind, or none but the one that learns
    target_every: int = 50              # updates from one copy to the next, for hard
    target_rate: float = 0.02           # by which the target approaches the network in each update, for soft
    double: bool = True                 # whether the one network chooses and the other one values
    dueling: bool = False               # whether value and advantages have layers of their own
    noisy: bool = False                 # whether the head explores by noise in its weights
    n_step: int = 1                     # steps whose rewards are summed before the value of what follows
    prioritised: bool = False           # whether steps that were foretold badly are learned from more often
    priority_power: float = 0.6         # alpha: 0 draws all alike
    priority_correction: float = 0.4    # beta at the beginning; 1 at the end of the run
    loss: Loss = "huber"                # squared below an error of 1 and linear above; or squared

    def __post_init__(self) -> None:
        for name in ("discount", "start", "end", "decay", "target_rate", "priority_correction"):
            in_unit(name, getattr(self, name))
        for name in ("batch", "replay", "target_every", "n_step"):
            at_least(name, getattr(self, name), 1)
        at_least("learning_starts", self.learning_starts, 0)
        at_least("samples", self.samples, 1e-6)
        at_least("priority_power", self.priority_power, 0)
        for name in ("temperature", "final_temperature"):
            at_least(name, getattr(self, name), 1e-6)
        for name, accepted in (("target", get_args(Target)), ("loss", get_args(Loss))):
            one_of(name, getattr(self, name), accepted)
        if self.exploration is not None:
            one_of("exploration", self.exploration, get_args(Exploration))
        if self.batch > self.replay:
            raise UserError(f"algorithm.batch is {self.batch:,}, and the replay holds {self.replay:,} steps: take a "
                            "smaller batch, or a larger algorithm.replay")
        if self.learning_starts > self.replay:
            raise UserError(f"algorithm.learning_starts is {self.learning_starts:,}, and the replay has forgotten them "
                            f"by then: it holds algorithm.replay={self.replay:,} steps")

    @property
    def explored_by(self) -> Exploration:
        return self.exploration or ("greedy" if self.noisy else "epsilon")

    def head(self, features: int, actions: int) -> nn.Module:
        return (DuelingValues if self.dueling else ActionValues)(features, actions, noisy=self.noisy)

    def updates_until(self, steps: int) -> int:
        """Updates that are due when so many steps have been played."""
        return int(max(0, steps - self.learning_starts) * self.samples / self.batch)

    def updates(self, steps: int, copies: int) -> int:
        return self.updates_until(-(-steps // copies) * copies)

    def begin(self, setup: Setup) -> "Dqn":
        if len(setup.spaces.actions) > 255:
            raise UserError(f"the world has {len(setup.spaces.actions):,} actions, and dqn takes at most 255")
        if self.updates(setup.steps, setup.copies) < 1:
            raise UserError(f"{setup.steps:,} steps are played, and the first update comes after "
                            f"{int(self.learning_starts + self.batch / self.samples):,}: play more with learner.steps, "
                            "or take a smaller algorithm.learning_starts")
        if self.mapped and setup.file is None:
            raise UserError("algorithm.mapped keeps the replay in a file, and there is no folder for it: leave it out")
        learned = Dqn(self, setup)
        learned.replay.check()
        return learned


class Dqn:
    """What plays by Q-values and learns them."""

    def __init__(self, settings: DqnSettings, setup: Setup):
        self.settings, self.setup = settings, setup
        self.network, self.modes = setup.network, Modes(setup.network)
        self.target = None if settings.target == "none" else deepcopy(setup.network).requires_grad_(False)
        self._pairs = [] if self.target is None else [    # (of the target, of the network)
            *zip(self.target.parameters(), self.network.parameters(), strict=True),
            *zip(self.target.buffers(), self.network.buffers(), strict=True)]
        place = (setup.file, setup.interval) if settings.mapped and setup.file is not None else None
        priorities = Priorities(settings.priority_power) if settings.prioritised else None
        self.replay = Replay(setup.spaces, setup.copies, settings.replay, seed=setup.seed, n_step=settings.n_step,
                             discount=settings.discount, priorities=priorities, place=place)
        self.moment = self.done = self.targets = 0    # moments noted, updates, and copies made of the network
        self.sums = {"q/mean": 0.0, "q/error": 0.0}    # over the updates since the last row
        self.counted = 0
        self.most = 0.0    # the greatest |Q| that was learned from since the last row

    @property
    def discount(self) -> float:
        return self.settings.discount

    def act(self, observations: Tensor, moment: int) -> Tensor:
        seed, explored_by = self.setup.seed, self.settings.explored_by
        if self.settings.noisy:
            redraw_noise(self.network, seed, moment, NOISE, 0)
        with torch.no_grad():
            values = self.setup.output(self.network, observations).cpu()
        amount = self._exploration(moment)
        if explored_by == "softmax":
            return softmax_over(values, amount, seed=seed, moment=moment)
        return epsilon_greedy(values, amount, seed=seed, moment=moment)

    def _exploration(self, moment: int) -> float:
        """Epsilon, or the temperature."""
        settings, done = self.settings, moment / self.setup.moments
        if settings.explored_by == "greedy":
            return 0.0
        if settings.explored_by == "softmax":
            return linear_decay(settings.temperature, settings.final_temperature, done, settings.decay)
        return linear_decay(settings.start, settings.end, done, settings.decay)

    def note(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        self.replay.add(observations, actions, step)
        self.moment += 1

    def losses(self) -> Iterator[dict[str, Tensor]]:
        due = self.settings.updates_until(self.moment * self.setup.copies)
        while self.done < due and len(self.replay):
            done = self.done / max(1, self.settings.updates(self.setup.steps, self.setup.copies))
            correction = self.settings.priority_correction + (1 - self.settings.priority_correction) * done
            drawn = self.replay.sample(self.done, self.settings.batch, correction=correction)
            if self.settings.noisy:
                redraw_noise(self.network, self.setup.seed, self.done, NOISE, 1)
                if self.target is not None:
                    redraw_noise(self.target, self.setup.seed, self.done, NOISE, 2)
            yield {"q": self._loss(drawn)}
            self.done += 1
            self._follow()

    def _loss(self, drawn: SampledSteps) -> Tensor:
        """The weighted mean over the batch, and the new priorities of its steps."""
        device = self.setup.plan.device
        with self.modes.learning():
            values = self.setup.output(self.network, drawn.observations)
        chosen = values.gather(1, drawn.actions.to(device).unsqueeze(1)).squeeze(1)
        targets = self._targets(drawn)
        kind = F.smooth_l1_loss if self.settings.loss == "huber" else F.mse_loss
        losses = kind(chosen, targets, reduction="none")
        with torch.no_grad():
            errors = (chosen - targets).abs()
            self.replay.prioritise(drawn.indices, errors.cpu().numpy())
            self.sums["q/mean"] += values.max(1).values.mean().item()
            self.sums["q/error"] += errors.mean().item()
            self.most = max(self.most, values.abs().max().item())
            self.counted += 1
        return (losses * drawn.weights.to(device)).mean()

    @torch.no_grad()
    def _targets(self, drawn: SampledSteps) -> Tensor:
        """float [batch]: what the Q-values of the actions that were taken are to become."""
        device = self.setup.plan.device
        judge = self.target if self.target is not None else self.network
        values = self.setup.output(judge, drawn.following)
        if self.settings.double and self.target is not None:
            following = double_values(self.setup.output(self.network, drawn.following), values)
        else:
            following = best_values(values)
        return td_targets(drawn.rewards.to(device), drawn.discounts.to(device), following)

    @torch.no_grad()
    def _follow(self) -> None:
        """Bring the target to the network, or nearer to it."""
        hard = self.settings.target == "hard" and self.done % self.settings.target_every == 0
        if self.target is None or not (hard or self.settings.target == "soft"):
            return
        self.targets += 1
        floating = [pair for pair in self._pairs if pair[0].is_floating_point()]
        rate = 1.0 if hard else self.settings.target_rate
        if rate < 1.0:
            torch._foreach_lerp_([old for old, _ in floating], [new for _, new in floating], rate)
        for old, new in self._pairs:
            if rate == 1.0 or not old.is_floating_point():
                old.copy_(new)

    def interrupt(self) -> None:
        self.replay.interrupt()

    def greedy(self, network: nn.Module, observations: Tensor) -> Tensor:
        return self.setup.output(network, observations).argmax(1).cpu()

    def values(self, network: nn.Module, observations: Tensor) -> Tensor:
        return self.setup.output(network, observations).max(1).values.cpu()

    def diagnostics(self) -> dict[str, float]:
        numbers = {"exploration": self._exploration(self.moment),
                   "replay/steps": float(min(self.replay.added, self.replay.rows) * self.setup.copies),
                   "replay/moments": float(self.replay.rows), "updates": float(self.done)}
        if self.target is not None:
            numbers["target/updates"] = float(self.targets)
        if self.counted:
            numbers |= {name: total / self.counted for name, total in self.sums.items()} | {"q/most": self.most}
        self.sums, self.counted, self.most = dict.fromkeys(self.sums, 0.0), 0, 0.0
        return numbers

    def state_dict(self) -> dict[str, Any]:
        state = {"moment": self.moment, "done": self.done, "targets": self.targets, "counted": self.counted,
                 "most": self.most, "sums": dict(self.sums), "replay": self.replay.state_dict()}
        return state | ({"target": self.target.state_dict()} if self.target is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.moment, self.done, self.targets = int(state["moment"]), int(state["done"]), int(state["targets"])
        self.counted, self.most = int(state["counted"]), float(state["most"])
        self.sums = {name: float(state["sums"][name]) for name in self.sums}
        if self.target is not None:
            load_into(self.target, state["target"], what="the target network of the run's last state")
        self.replay.load_state_dict(state["replay"])
