"""What was played and is learned from again: a ring of steps, in memory or in a mapped file."""

import math
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.base.device import check_memory
from lensmith.base.errors import ModelError, UserError
from lensmith.base.hashed_random import hashed, seed_of
from lensmith.rl.exploration import SAMPLES
from lensmith.rl.returns import n_step_rewards
from lensmith.rl.sum_tree import SumTree
from lensmith.rl.worlds.world import Spaces, Step

_PAGE = mmap.PAGESIZE


@dataclass(frozen=True)
class Priorities:
    """How steps are drawn by how wrong they were foretold (Schaul et al. 2016, arXiv 1511.05952)."""

    power: float = 0.6     # alpha: 0 draws all alike
    least: float = 1e-3    # added to each error, so that none is never drawn again


@dataclass(frozen=True)
class SampledSteps:
    """Steps drawn from a replay: what a target is made of."""

    observations: Tensor    # [batch, *shape]
    actions: Tensor         # int64 [batch]
    rewards: Tensor         # float32 [batch]: of up to n steps, discounted
    discounts: Tensor       # float32 [batch]: of the value of `following`; 0 where the episode ended
    following: Tensor       # [batch, *shape]: what was seen after these steps
    weights: Tensor         # float32 [batch]: of each in the loss, at most 1
    indices: np.ndarray     # int64 [batch]: which they are


@dataclass
class _Ring:
    """The arrays, each [slots, copies, ...]."""

    observations: Tensor
    following: Tensor     # also where an episode was over, so that what was cut by time keeps a value beyond it
    actions: Tensor       # uint8
    rewards: Tensor       # float32
    ended: Tensor         # bool
    over: Tensor          # bool: ended or truncated
    flat: dict[str, Tensor] = field(init=False)    # the same memory as [slots x copies, ...]

    def __post_init__(self) -> None:
        self.flat = {name: tensor.flatten(0, 1) for name, tensor in self.arrays().items()}

    def arrays(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in
                ("observations", "following", "actions", "rewards", "ended", "over")}


class Replay:
    """The newest `capacity` steps of all copies together; a row of the ring is one step of each copy.

    In memory its state has the steps. In a mapped file the state only says which of the file's rows count, and the ring
    is `interval` rows longer: as many as may be played until the next checkpoint is written. Whatever the process has
    overwritten when it is killed, the rows that the last checkpoint counts are whole, and playing on from there writes
    the same rows again. Pages of a mapped file survive the process, though not a loss of power.
    """

    def __init__(self, spaces: Spaces, copies: int, capacity: int, *, seed: int, n_step: int = 1,
                 discount: float = 0.99, priorities: Priorities | None = None,
                 place: tuple[Path, int] | None = None):
        """
        capacity: steps of all copies together, rounded up to whole rows.
        seed: of what is drawn.
        n_step: steps whose rewards make one sample.
        priorities: None draws all steps alike.
        place: the mapped file, and the rows that one interval between two checkpoints adds; None keeps it in memory.
        """
        self.spaces, self.copies, self.seed = spaces, copies, seed
        self.n_step, self.discount, self.priorities = n_step, discount, priorities
        self.rows = max(math.ceil(capacity / copies), n_step)    # that are drawn from
        self.file = place[0] if place is not None else None
        self.slots = self.rows + (place[1] if place is not None else 0)
        self.added = 0                                           # rows, since the beginning
        self.greatest = 1.0                                      # priority so far
        self.tree = SumTree(self.slots * copies) if priorities else None
        self._ring: _Ring | None = None
        self._found = False    # whether the mapped file was there before

    @property
    def ring(self) -> _Ring:
        """The arrays, made when they are first asked for."""
        if self._ring is None:
            self._ring = self._in_memory() if self.file is None else self._in_file(self.file)
        return self._ring

    def __len__(self) -> int:
        """Steps that can be drawn: the newest n - 1 rows wait for those that follow them."""
        return max(0, min(self.added, self.rows) - self.n_step + 1) * self.copies

    def add(self, observations: Tensor, actions: Tensor, step: Step) -> None:
        """One step of all copies."""
        ring, slot = self.ring, self.added % self.slots
        ring.observations[slot].copy_(observations)
        ring.following[slot].copy_(step.last)
        ring.actions[slot].copy_(actions)
        ring.rewards[slot].copy_(step.rewards)
        ring.ended[slot].copy_(step.ended)
        torch.logical_or(step.ended, step.truncated, out=ring.over[slot])
        self.added += 1
        if self.tree is not None:
            # What has fallen out of the newest rows must not be drawn, though it still lies in a longer ring.
            self._prioritise_row(self.added - 1 - self.rows, 0.0)
            self._prioritise_row(self.added - 1, 0.0)
            self._prioritise_row(self.added - self.n_step, self.greatest)

    def interrupt(self) -> None:
        """The episodes that were going on will not be gone on with: their newest step was the last."""
        if self.added:
            self.ring.over[(self.added - 1) % self.slots].fill_(True)

    def sample(self, update: int, batch: int, *, correction: float = 1.0) -> SampledSteps:
        """The batch of an update: a function of the seed and the number of the update. Steps may come twice.

        `correction` is beta: how far the weights undo that some are drawn more often, 0 .. 1.
        """
        keys = hashed(seed_of(self.seed, update, SAMPLES), np.arange(batch))
        if self.tree is None:
            first = self.added - min(self.added, self.rows)
            numbers = (keys % np.uint64(len(self))).astype(np.int64) + first * self.copies
            indices = numbers % (self.slots * self.copies)
            return self._sampled_steps(indices, torch.ones(batch))
        within = (keys >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        sums = (np.arange(batch) + within) / batch * self.tree.total
        indices = self.tree.find(sums)
        probabilities = self.tree.entries()[indices] / self.tree.total
        weights = (len(self) * probabilities) ** -correction
        return self._sampled_steps(indices, torch.from_numpy((weights / weights.max()).astype(np.float32)))

    def prioritise(self, indices: np.ndarray, errors: np.ndarray) -> None:
        """The errors with which these steps were foretold just now. Without priorities it does nothing."""
        if self.tree is None or self.priorities is None:
            return
        values = (np.abs(errors.astype(np.float64)) + self.priorities.least) ** self.priorities.power
        self.greatest = max(self.greatest, float(values.max()))
        self.tree.put(indices, values)

    def _prioritise_row(self, row: int, value: float) -> None:
        if row >= 0:
            assert self.tree is not None
            self.tree.put(row % self.slots * self.copies + np.arange(self.copies), value)

    def _sampled_steps(self, indices: np.ndarray, weights: Tensor) -> SampledSteps:
        flat, start = self.ring.flat, torch.from_numpy(indices)
        if self.n_step == 1:
            last, rewards = start, flat["rewards"][start]
            discounts = self.discount * ~flat["ended"][start]
        else:
            rows = start.unsqueeze(1) + torch.arange(self.n_step) * self.copies
            rows %= self.slots * self.copies
            rewards, counted = n_step_rewards(flat["rewards"][rows], flat["over"][rows], self.discount)
            last = rows.gather(1, counted.unsqueeze(1) - 1).squeeze(1)
            discounts = self.discount ** counted.float() * ~flat["ended"][last]
        return SampledSteps(flat["observations"][start], flat["actions"][start].long(), rewards, discounts,
                           flat["following"][last], weights, indices)

    def _shapes(self) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        rows, shape = (self.slots, self.copies), self.spaces.shape
        return {"observations": ((*rows, *shape), self.spaces.dtype), "following": ((*rows, *shape), self.spaces.dtype),
                "actions": (rows, torch.uint8), "rewards": (rows, torch.float32), "ended": (rows, torch.bool),
                "over": (rows, torch.bool)}

    def bytes(self) -> int:
        """What the arrays take, each at the beginning of a page."""
        return sum(_pages(math.prod(shape) * dtype.itemsize) for shape, dtype in self._shapes().values())

    def check(self) -> None:
        """Raises UserError where the replay does not fit into the memory that is free."""
        if self.file is None and self._ring is None:
            check_memory(self.bytes(), f"a replay of {self.rows * self.copies:,} steps",
                         "take a smaller one with algorithm.replay, or keep it in a file with algorithm.mapped=true")

    def _in_memory(self) -> _Ring:
        self.check()
        return _Ring(**{name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in self._shapes().items()})

    def _in_file(self, file: Path) -> _Ring:
        size = self.bytes()
        self._found = file.is_file() and file.stat().st_size == size
        if not self._found:
            # Reserved now: a mapped page for which the disk has no room would end the process with a signal.
            with file.open("wb") as opened:
                _reserve(opened.fileno(), size, file)
        memory = torch.from_numpy(np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,)))
        arrays, start = {}, 0
        for name, (shape, dtype) in self._shapes().items():
            taken = math.prod(shape) * dtype.itemsize
            arrays[name] = memory[start:start + taken].view(dtype).view(shape)
            start += _pages(taken)
        return _Ring(**arrays)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"added": self.added, "greatest": self.greatest}
        filled = min(self.added, self.slots)
        if self.file is None:
            state["steps"] = {name: tensor[:filled] for name, tensor in self.ring.arrays().items()}
        elif self.added:    # by which another file in its place is noticed
            newest = (self.added - 1) % self.slots
            state["newest"] = {name: tensor[newest] for name, tensor in self.ring.arrays().items()}
        if self.tree is not None:
            state["priorities"] = torch.from_numpy(self.tree.entries()[:filled * self.copies].copy())
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ModelError where the mapped file is missing or another, or the state is of another replay."""
        self.added, self.greatest = int(state["added"]), float(state["greatest"])
        filled, arrays = min(self.added, self.slots), self.ring.arrays()
        if self.file is None:
            _check_shapes(state["steps"], {name: tensor[:filled] for name, tensor in arrays.items()})
            for name, tensor in arrays.items():
                tensor[:filled].copy_(state["steps"][name])
        elif self.added:
            newest = (self.added - 1) % self.slots
            if not self._found or not all(torch.equal(state["newest"][name], tensor[newest])
                                          for name, tensor in arrays.items() if name != "over"):
                raise ModelError(f"{self.file} is missing or not the replay that the run's last state was saved with: "
                                 "put it back, or train again")
            arrays["over"][newest].copy_(state["newest"]["over"])    # as before an `interrupt`
        if self.tree is not None:
            entries = state["priorities"]
            if entries.shape != (filled * self.copies,):
                raise ModelError("the priorities in the run's last state are not those of this replay: put the file "
                                 "back, or train again")
            self.tree = SumTree(self.slots * self.copies)
            if len(entries):
                self.tree.put(np.arange(len(entries)), entries.numpy().astype(np.float64))


def _pages(size: int) -> int:
    return math.ceil(size / _PAGE) * _PAGE


def _reserve(descriptor: int, size: int, file: Path) -> None:
    """Make a file this long. Raises UserError where the disk has no room for it."""
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
    except OSError as error:
        raise UserError(f"the replay would take {size / 1e9:,.1f} GB in {file} ({error.strerror}): free some space, or "
                        "take a smaller one with algorithm.replay") from error


def _check_shapes(saved: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    for name, tensor in expected.items():
        came = saved.get(name)
        if not isinstance(came, Tensor) or came.shape != tensor.shape or came.dtype != tensor.dtype:
            raise ModelError(f"the replay in the run's last state has other {name} than this one: go on with the world "
                             "and the replay that the run began with, or train again")
