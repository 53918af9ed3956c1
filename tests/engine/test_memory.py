"""A step that does not fit into memory: cut into micro-batches whose gradients are added up."""

import pytest
import torch
from torch import nn

from lensmith.base.errors import Stopped
from lensmith.data.sources.sample import Batch
from lensmith.engine.optimize import leaves, sgd
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Progress, Signals, follow
from lensmith.engine.schedule import constant
from lensmith.engine.stepper import Stepper
from lensmith.engine.supervised import LearningSettings, Supervised
from lensmith.tasks.classification import Classification
from lensmith.values.labels import Label

TASK = Classification(tuple("abc"))


class Room(nn.Module):
    """A network whose memory holds so many pictures; `error` is what it raises for more."""

    def __init__(self, room: int, error: Exception, *, normed: bool = False) -> None:
        super().__init__()
        self.room, self.error, self.seen = room, error, []
        self.norm = nn.BatchNorm2d(3) if normed else nn.Identity()
        self.dense = nn.Linear(3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(images))
        output = self.dense(self.norm(images.float() / 255).mean((2, 3)))
        if self.training and len(images) > self.room:
            raise self.error
        return output


ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore"), MemoryError(),
          RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you "
                       "tried to allocate 99999 bytes.")]


def learner(network: nn.Module, *, accumulate: int = 1, batch: int = 12) -> Supervised:
    draw = torch.Generator().manual_seed(0)
    batches = [Batch(torch.randint(0, 256, (batch, 3, 6, 6), dtype=torch.uint8, generator=draw),
                     {"label": Label(torch.randint(0, 3, (batch,), generator=draw))}) for _ in range(4)]
    chosen = leaves(network)
    stepper = Stepper(network, chosen, sgd(chosen, rate=0.5), schedule=constant())
    return Supervised(network, TASK, batches, valid=None, stepper=stepper, plan=make_plan(device="cpu"),
                      settings=LearningSettings(2, accumulate))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_micro_batches_give_the_gradient_of_the_whole(error: Exception, accumulate: int):
    torch.manual_seed(0)
    whole = Room(1000, error)
    small = Room(3, error)
    small.load_state_dict(whole.state_dict())
    losses = [[report.loss for report in learner(one, accumulate=accumulate)] for one in (whole, small)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for one, other in zip(whole.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert max(small.seen[3:]) == 3    # 12, 6, then micro-batches of 3 to the end


def test_what_is_said_and_kept():
    learning = learner(Room(6, ERRORS[0]))
    notes = [report.note for report in learning if report.note]
    assert notes == ["not enough memory for a step on 12 pictures at once (CUDA out of memory. Tried to allocate 2.00 "
                     "GiB): from step 1 on each batch is learned from in 2 micro-batches, whose gradients are added "
                     "up; where every picture counts alike that changes nothing else"]
    other = learner(Room(6, ERRORS[0]))
    other.load_state_dict(learning.state_dict())
    assert other.micro_batches == 2


def test_batch_norm_is_spoken_of_and_keeps_two_pictures():
    notes = [report.note for report in learner(Room(6, ERRORS[0], normed=True)) if report.note]
    assert "batch norm now sees 6 at a time, which changes what is learned" in notes[0]
    with pytest.raises(torch.OutOfMemoryError):
        list(learner(Room(1, ERRORS[0], normed=True)))


def test_one_picture_that_does_not_fit_ends_the_run_with_a_word(tmp_path):
    run = Run.create(tmp_path, name="one", fallback="")
    with pytest.raises(Stopped, match=r"not enough memory for a step: CUDA out of memory.*"
                                      r"Take smaller .* with pictures.size"):
        list(follow(learner(Room(0, ERRORS[0])), run, Progress(), Signals()))


def test_another_error_is_not_taken_for_memory():
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        list(learner(Room(3, RuntimeError("shapes do not fit"))))
