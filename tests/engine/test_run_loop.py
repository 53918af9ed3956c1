"""The outer loop: what is saved when, patience, interruption."""

import os
import signal
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lensmith.base.errors import Stopped, UserError
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.learner import Report
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Interrupted, Progress, Signals, follow, restore


class Scripted:
    """A learner whose epochs have two steps and the given scores."""

    def __init__(self, scores):
        self.scores, self.step = scores, 0
        self.judged, self.process_group = torch.nn.Linear(1, 1), ProcessGroup()

    def __iter__(self):
        while self.step < 3 * len(self.scores):
            self.step += 1
            epoch, rest = divmod(self.step, 3)
            row = {"epoch": epoch, "step": self.step, "train/loss": 1.0} if rest == 0 else None
            with torch.no_grad():
                self.judged.weight.fill_(epoch)
            yield Report(self.step, 3 * len(self.scores), epoch, 1.0, row, self.scores[epoch - 1] if row else None)

    def state_dict(self):
        return {"step": self.step}

    def load_state_dict(self, state):
        self.step = state["step"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path, name="x", fallback="")
    run.unlock()
    return run


def epochs(learner, run, progress, **settings) -> int:
    return sum(report.row is not None for report in follow(learner, run, progress, Signals(), **settings))


def test_the_best_weights_are_those_of_the_first_best_epoch(run: Run):
    assert epochs(Scripted([0.1, 0.5, 0.5, 0.3]), run, Progress()) == 4
    assert run.read_best()["network"]["weight"].item() == 2 and run.read_best()["score"] == 0.5
    assert [row["score"] for row in run.read_last()["history"]] == [0.1, 0.5, 0.5, 0.3]


@pytest.mark.parametrize(("scores", "losses", "best"), [
    ([0.5, 0.4, 0.3], [0.1, 0.2, 0.3], 0), ([0.5, 0.4, 0.5, 0.5], [0.1, 0.2, 0.9, 0.8], 3), ([0.5, 0.6], [0.1, 0.2], 1),
    ([1.0, 1.0, 1.0, 1.0], [0.1, 0.5, 0.2, 0.3], 2), ([0.5], [0.1], 0)])
def test_of_epochs_as_good_as_a_head_alone_the_least_loss_is_kept(scores: list[float], losses: list[float], best: int):
    rows = [{"epoch": float(epoch), "valid/loss": loss} for epoch, loss in enumerate(losses)]
    assert Progress(rows, scores).best == best and Progress(rows, scores).epochs == len(scores) - 1
    usual = [row | {"epoch": row["epoch"] + 1} for row in rows]    # without an epoch 0 the first of equals, as before
    assert Progress(usual, scores).best == scores.index(max(scores))


def test_patience_counts_epochs_since_the_best(run: Run):
    assert epochs(Scripted([0.1, 0.5, 0.4, 0.3, 0.9]), run, Progress(), patience=2) == 4


def test_a_resumed_run_remembers_its_patience(run: Run):
    scores = [0.1, 0.5, 0.4, 0.3, 0.9]
    for _ in follow(Scripted(scores[:3]), run, Progress(), Signals(), patience=2):
        pass
    again = Scripted(scores)
    progress = restore(again, run)
    assert again.step == 9 and progress.best == 1
    assert epochs(again, run, progress, patience=2) == 1
    assert epochs(again, run, restore(again, run), patience=2) == 0    # it had ended, and it stays ended


def test_without_a_held_out_part_the_newest_weights_are_kept(run: Run):
    epochs(Scripted([None, None, None]), run, Progress())
    assert run.read_best()["network"]["weight"].item() == 3


def test_a_score_that_is_no_number_is_never_the_best(run: Run):
    epochs(Scripted([0.2, float("nan"), 0.1]), run, Progress())
    assert run.read_best()["network"]["weight"].item() == 1


def test_where_no_score_is_a_number_the_newest_weights_are_kept_and_patience_never_ends(run: Run):
    assert epochs(Scripted([float("nan")] * 4), run, Progress(), patience=1) == 4
    assert run.read_best()["network"]["weight"].item() == 4
    assert epochs(Scripted([float("nan"), 0.1, float("nan")]), run, Progress()) == 3
    assert run.read_best()["network"]["weight"].item() == 2


@pytest.mark.parametrize(("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "told to end")])
def test_a_signal_saves_and_says_how_to_go_on(run: Run, number, word):
    learner, signals = Scripted([0.1, 0.2]), Signals()
    with pytest.raises(Interrupted) as raised, signals.handled():
        for report in follow(learner, run, Progress(), signals):
            if report.step == 2:
                os.kill(os.getpid(), number)
    assert raised.value.code == 130
    told = str(raised.value)
    assert told.startswith(word)
    assert f"after step 2 of 6; all is saved. Go on with: lensmith train --resume {run}" in told
    assert run.read_last()["learner"]["step"] == 2
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


@pytest.mark.parametrize(("sent", "count", "raises"), [
    ([signal.SIGINT], 0, True), ([signal.SIGTERM], 0, True), ([signal.SIGINT], 1, False),
    ([signal.SIGINT, signal.SIGINT], 1, True), ([signal.SIGTERM, signal.SIGINT], 1, True),
    ([signal.SIGTERM, signal.SIGTERM], 1, False), ([signal.SIGINT] * 3, None, False)])
@pytest.mark.parametrize("before", [False, True])
def test_signals_raise_where_it_was_said_and_once(sent: list[signal.Signals], count: int | None, raises: bool,
                                                  before: bool):
    signals, raised = Signals(), 0
    with signals.handled():
        for number in sent if before else ():
            os.kill(os.getpid(), number)
        try:
            with nullcontext() if count is None else signals.raised_after(count):
                for number in () if before else sent:
                    os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            raised += 1
            for _ in range(3):    # while that unwinds
                os.kill(os.getpid(), signal.SIGINT)
    assert raised == raises and len(signals.caught) == len(sent) + 3 * raised
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_signals_are_left_alone_where_another_thread_trains():
    seen: list[object] = []

    def look():
        with Signals().handled():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_it_saves_between_epochs_when_time_has_passed(run: Run):
    for report in follow(Scripted([0.1]), run, Progress(), Signals(), save_every=0.0):
        if report.step == 1:
            assert run.read_last()["learner"]["step"] == 1


def test_a_full_disk_leaves_the_last_whole_checkpoint(run: Run, monkeypatch: pytest.MonkeyPatch):
    from lensmith.engine import checkpoint

    write = checkpoint.save_file

    def until_full(tensors, aside, metadata):
        if '"step": 6' in metadata["tree"]:
            aside.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        write(tensors, aside, metadata=metadata)

    monkeypatch.setattr(checkpoint, "save_file", until_full)
    with pytest.raises(Stopped, match="the disk is full"):
        epochs(Scripted([0.3, 0.2]), run, Progress())
    assert run.read_last()["learner"]["step"] == 3
    assert not [path for path in run.folder.iterdir() if path.name.startswith(".")]


def test_too_little_memory_is_said_in_words(run: Run):
    class Hungry(Scripted):
        def __iter__(self):
            torch.empty(1 << 60)
            yield SimpleNamespace()

    with pytest.raises(Stopped, match=r"not enough memory for a step: .* loading.batch"):
        epochs(Hungry([0.1]), run, Progress())


def test_wrong_patience_is_refused(run: Run):
    with pytest.raises(UserError, match="learner.patience is a number of epochs, 0 for never stopping early; got -1"):
        epochs(Scripted([0.1]), run, Progress(), patience=-1)
