"""What the parts of a run take: a few steps, a measurement and a checkpoint on a copy of its network."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lensmith.base.errors import UserError
from lensmith.data.sources.sample import Batch
from lensmith.engine.forecast import END, MEASURING
from lensmith.engine.frozen_features import Features
from lensmith.engine.run_folder import Run
from lensmith.engine.supervised import Supervised

_WARMING = 2     # steps of a copy that take longer: memory is handed out, threads and processes begin
_MEASURED = 2    # batches of the held-out split that are measured, of which the first takes longer


@dataclass(frozen=True)
class Pace:
    """The seconds that the parts of a run take."""

    step: float          # an optimizer step
    steps: int           # how many of them an epoch has
    epoch_end: float     # measuring the held-out split after an epoch, and saving
    once: float = 0.0    # what the first epochs take more, or, below 0, less
    final: float = 0.0   # measuring the best weights, and the report

    @property
    def epoch(self) -> float:
        return self.step * self.steps + self.epoch_end

    def epochs_within(self, seconds: float) -> int:
        """How many epochs end within so many seconds, all else included; 0 where not even one does."""
        return max(0, int((seconds - self.once - self.final) / self.epoch))


class Beginning:
    """The first batches of an epoch of others, with the moments at which each was asked for."""

    def __init__(self, batches: Any, number: int):
        """batches: a Loader, or what gives batches as one does. number: so many of them, or as many as there are."""
        self.batches, self.number = batches, min(number, len(batches))
        self.asked: list[float] = []    # one more than there are batches
        self.pictures = 0               # of the last batch

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[Batch]:
        return self.at(0, 0)

    def at(self, epoch: int, position: int) -> Iterator[Batch]:
        with closing(self.batches.at(epoch, position)) as items:
            for _ in range(self.number - position):
                self.asked.append(time.perf_counter())
                batch = next(items)
                self.pictures = len(batch)
                yield batch
            self.asked.append(time.perf_counter())


def rehearse(learner: Supervised, *, seconds: float, epoch: int, pictures: dict[str, int],
             undecoded: Callable[[], int], folder: Path) -> Pace:
    """What the parts of a run take, the same on every process of the learner's group, all of which call it.

    learner: on a copy of the network; it learns from a few batches and is then of no use.
    seconds: that the timed steps may take, about. Two steps to warm up and one timed step are taken in any case.
    epoch: the epoch whose batches are taken, one whose pictures have their full size.
    pictures: in each split.
    undecoded: how many pictures are still to be decoded, of all splits, while the first epoch trains.
    folder: where checkpoints will lie, to see how long writing one takes.
    """
    group, accumulate, train, valid = learner.process_group, learner.settings.accumulate, learner.train, learner.valid
    state = torch.get_rng_state()
    begins_measured = learner.settings.head_loss is not None    # as epoch 0
    learner.settings = replace(learner.settings, epochs=epoch + 1, unfreezing=None, head_loss=None)
    maps = _compute_maps(train, valid)
    once, most = _draw(train, valid, seconds=seconds, epoch=epoch, undecoded=undecoded)
    second = _steps(learner, Beginning(train, _WARMING * accumulate), None, epoch)[0][-1]
    number = group.broadcast(lambda: int(seconds / second))
    number = max(1, min(number, *(drawn // accumulate for drawn in group.all_gather(most))))
    held_out = Beginning(valid, _MEASURED) if valid is not None else None
    taken, end = _steps(learner, Beginning(train, number * accumulate), held_out, epoch)
    # Processes that decode are begun anew with each epoch: much of a few steps, and little of an epoch.
    step = sum(taken[1:]) / (len(taken) - 1) if len(taken) > 1 else taken[0]
    steps = math.ceil(len(train) / accumulate)
    of_picture = MEASURING * step * steps / pictures["train"]
    if held_out is not None and valid is not None and len(held_out):
        of_batch = held_out.asked[-1] - held_out.asked[-2] if len(held_out) > 1 else end
        end += (len(valid) - len(held_out)) * of_batch
        of_picture = of_batch / held_out.pictures
    if maps is not None:    # A probe is measured on the pictures at last.
        of_picture = maps / (pictures["train"] + pictures.get("valid", 0))
    saving = group.broadcast(lambda: _saving(learner, folder))
    torch.set_rng_state(state)
    step, end, once, of_picture = (max(column) for column in
                                   zip(*group.all_gather((step, end, once, of_picture)), strict=True))
    once += end * begins_measured
    final = of_picture * (pictures.get("valid", 0) + pictures.get("test", 0)) + END
    return Pace(step, steps, end + saving, once, final)


def _steps(learner: Supervised, train: Beginning, valid: Beginning | None, epoch: int) -> tuple[list[float], float]:
    """(the seconds of each step, those of the end of the epoch) of an epoch of these batches."""
    learner.train, learner.valid = train, valid
    learner.epoch, learner.position, learner.seen, learner.sums = epoch, 0, 0, {}
    taken, last = [], time.perf_counter()
    for _ in learner:
        now = time.perf_counter()
        taken.append(now - last)
        last = now
    return taken[:-1], taken[-1]


def _compute_maps(train: Any, valid: Any) -> float | None:
    """Let a probe compute its maps, which it keeps; -> seconds, None where it is none."""
    if not isinstance(train, Features):
        return None
    began = time.perf_counter()
    for batches in (train, valid):
        if batches is not None:
            next(batches.at(0, 0))
    return time.perf_counter() - began


def _draw(train: Any, valid: Any, *, seconds: float, epoch: int, undecoded: Callable[[], int]) -> tuple[float, int]:
    """Draw batches for so long, so that their pictures are decoded -> (seconds that decoding all others takes, how many
    batches to train on are decoded)."""
    before = undecoded()
    if not before:
        return 0.0, len(train)
    began, drawn = time.perf_counter(), 0
    for _ in Beginning(valid, _MEASURED) if valid is not None else ():
        pass
    for _ in Beginning(train, len(train)).at(epoch, 0):
        drawn += 1
        if time.perf_counter() - began > seconds:
            break
    left = undecoded()
    return (time.perf_counter() - began) / max(1, before - left) * left, drawn


def _saving(learner: Supervised, folder: Path) -> float:
    """Seconds in which an epoch's state and its best weights are saved; 0 where nothing can be written there, which is
    said when the run is to be saved."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    with suppress(OSError, UserError), TemporaryDirectory(prefix=".lensmith-", dir=folder) as place:
        run, began = Run(Path(place)), time.perf_counter()
        run.save_best(learner.judged.state_dict(), {"epoch": 0}, 0.0)
        run.save_last(learner.state_dict(), [], 0.0)
        return time.perf_counter() - began
    return 0.0
