"""What an action was worth: returns, targets and advantages, as pure functions of tensors.

An episode that has *ended* has no value beyond its end. One that was *truncated* by a limit of time goes on beyond it,
so that the value of what was seen last stands for the rest (Pardo et al. 2018, arXiv 1712.00378).
"""

import torch
from torch import Tensor


def td_targets(rewards: Tensor, discounts: Tensor, values: Tensor) -> Tensor:
    """float [batch]: r + d v with the discount d of the steps that `rewards` sums, 0 where the episode ended."""
    return rewards + discounts * values


def best_values(values: Tensor) -> Tensor:
    """float [batch]: max_a Q(s, a) of Q-values [batch, actions]."""
    return values.max(1).values


def double_values(chooser: Tensor, judge: Tensor) -> Tensor:
    """float [batch]: Q_judge(s, argmax_a Q_chooser(s, a)). One network chooses and another one judges, so that an error
    of one alone is not taken for value (van Hasselt, Guez and Silver 2016, arXiv 1509.06461)."""
    return judge.gather(1, chooser.argmax(1, keepdim=True)).squeeze(1)


def n_step_rewards(rewards: Tensor, over: Tensor, discount: float) -> tuple[Tensor, Tensor]:
    """The discounted rewards of up to n steps that begin in each row, and how many they are.

    rewards: float [batch, n], of n steps that follow each other.
    over: bool [batch, n], where an episode is over after the step, be it ended or truncated. Later steps do not count.
    -> float [batch]: sum over k < m of discount^k r_k; and int64 [batch]: m, from 1 to n.
    """
    before = torch.zeros_like(over)
    before[:, 1:] = over[:, :-1].cummax(1).values
    counted = ~before
    powers = discount ** torch.arange(rewards.shape[1], dtype=rewards.dtype, device=rewards.device)
    return (rewards * powers * counted).sum(1), counted.sum(1)


def discounted_returns(rewards: Tensor, over: Tensor, beyond: Tensor, discount: float) -> Tensor:
    """float [steps, ...]: G_t = r_t + discount G_(t + 1), where the return after an episode that is `over` is 0, and
    that after the newest step is `beyond`."""
    returns = torch.empty_like(rewards)
    following = beyond
    for step in range(len(rewards) - 1, -1, -1):
        following = rewards[step] + discount * following * ~over[step]
        returns[step] = following
    return returns


def generalised_advantages(rewards: Tensor, values: Tensor, following: Tensor, ended: Tensor, truncated: Tensor, *,
                           discount: float, trace: float) -> Tensor:
    """Advantages by generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438). All are float or bool
    [steps, copies]:

        delta_t = r_t + discount v'_t - v_t,    A_t = delta_t + discount trace A_(t + 1)

    `values` v_t are of what each action was chosen by, `following` v'_t of what was seen after it, also where the next
    episode has begun. v'_t is 0 where the episode `ended`, and A_(t + 1) is 0 where it ended or was `truncated`.
    """
    deltas = rewards + discount * following * ~ended - values
    going_on = discount * trace * ~(ended | truncated)
    advantages = torch.empty_like(deltas)
    later = torch.zeros_like(deltas[0])
    for step in range(len(deltas) - 1, -1, -1):
        later = deltas[step] + going_on[step] * later
        advantages[step] = later
    return advantages
