"""What was just played by one policy, in order: learned from and forgotten."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.rl.worlds.world import Spaces, Step


class Rollout:
    """Steps of all copies, row by row, with numbers that the algorithm adds to each.

    Its tensors are [rows, copies, ...]: observations, actions, rewards, ended, truncated and what is in `numbers`.
    """

    def __init__(self, spaces: Spaces, rows: int, copies: int, numbers: Sequence[str] = ()):
        self.rows, self.copies, self.filled = rows, copies, 0
        dtypes = {"actions": torch.int64, "rewards": torch.float32, "ended": torch.bool, "truncated": torch.bool,
                  **dict.fromkeys(numbers, torch.float32)}
        self.tensors = {name: torch.zeros(rows, copies, dtype=dtype) for name, dtype in dtypes.items()}
        self.tensors["observations"] = torch.zeros(rows, copies, *spaces.shape, dtype=spaces.dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name][:self.filled]

    @property
    def full(self) -> bool:
        return self.filled == self.rows

    def add(self, observations: Tensor, actions: Tensor, step: Step, **numbers: Tensor) -> None:
        """One step of all copies; each of `numbers` is float [copies]."""
        row = {"observations": observations, "actions": actions, "rewards": step.rewards, "ended": step.ended,
               "truncated": step.truncated} | numbers
        for name, tensor in row.items():
            self.tensors[name][self.filled].copy_(tensor)
        self.filled += 1

    def interrupt(self, following: Tensor | None) -> None:
        """The episodes that were going on will not be gone on with: their newest step was cut, and `following` is the
        value of what was seen after it, where values are kept."""
        if not self.filled:
            return
        newest = self.filled - 1
        cut = ~(self.tensors["ended"][newest] | self.tensors["truncated"][newest])
        if following is not None and "following" in self.tensors:
            self.tensors["following"][newest][cut] = following[cut]
        self.tensors["truncated"][newest] |= cut

    def flat(self) -> dict[str, Tensor]:
        """All tensors as [rows x copies, ...]."""
        return {name: self[name].flatten(0, 1) for name in self.tensors}

    def clear(self, rows: int | None = None) -> None:
        """Forget all rows, or the oldest ones, so that the others come first."""
        kept = 0 if rows is None else self.filled - rows
        for tensor in self.tensors.values():
            tensor[:kept] = tensor[self.filled - kept:self.filled].clone()
        self.filled = kept

    def state_dict(self) -> dict[str, Any]:
        return {"filled": self.filled, "tensors": {name: self[name] for name in self.tensors}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ModelError for a state of another world, number of copies or length."""
        filled = int(state["filled"])
        for name, tensor in self.tensors.items():
            saved = state["tensors"].get(name)
            if not isinstance(saved, Tensor) or not 0 <= filled <= self.rows or saved.shape != tensor[:filled].shape:
                raise ModelError(f"the rollout in the run's last state has other {name} than this one: go on with the "
                                 "world and the settings that the run began with, or train again")
            tensor[:filled].copy_(saved)
        self.filled = filled
