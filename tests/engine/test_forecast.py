"""How long a run will still take, against runs whose clock is known."""

from collections.abc import Iterator

import pytest

from lensmith.engine.forecast import END, Forecast
from lensmith.engine.learner import Report

STEPS, EPOCHS = 12, 5
PICTURES = {"train": 768, "valid": 96, "test": 192}


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(clock: Clock, *, step: float, valid: float, from_step: int = 0, waiting: float = 0.0,
        ) -> Iterator[tuple[Report, float]]:
    """The reports of a run, each as its clock has been moved, with the seconds that its epoch has waited; in the first
    epoch each step waits for `waiting` seconds more."""
    for epoch in range(from_step // STEPS, EPOCHS):
        waited = 0.0
        for number in range(from_step % STEPS if epoch == from_step // STEPS else 0, STEPS):
            done = epoch * STEPS + number + 1
            waited += waiting * (epoch == 0)
            # The first two steps of a process are slow.
            clock.now += step + waiting * (epoch == 0) + 5.0 * (done - from_step <= 2)
            yield Report(done, STEPS * EPOCHS, epoch, 0.5), waited
        clock.now += valid
        yield Report(epoch * STEPS + STEPS, STEPS * EPOCHS, epoch + 1, 0.5, {"epoch": epoch + 1.0}, 0.5), waited


def test_what_is_left_is_what_the_run_takes():
    step, valid = 0.8, 3.0
    final = valid * (96 + 192) / 96 + END
    clock = Clock()
    forecast = Forecast(epochs=EPOCHS, steps=STEPS, pictures=PICTURES, clock=clock)
    assert forecast.left() is None and not forecast.is_sure
    told = []
    for report, waited in run(clock, step=step, valid=valid):
        forecast.note(report, waited)
        left = (STEPS * EPOCHS - report.step) * step + (EPOCHS - report.epoch) * valid + final
        if report.epoch and report.row is None:    # an epoch has been measured
            assert forecast.left() == pytest.approx(left)
        elif forecast.is_sure:
            told.append((forecast.left(), left))
    # In the first epoch measuring is guessed from the steps: 0.4 of learning from as many pictures.
    guess = 0.4 * step * STEPS / 768 * 96
    first, true = told[0]
    assert first - true == pytest.approx((EPOCHS + 3) * (guess - valid))
    assert forecast.left() == pytest.approx(final)


def test_it_is_sure_after_four_steps_and_two_seconds_of_them_or_an_epoch():
    for step, sure_at in ((0.8, 6), (0.3, 9), (0.01, None)):
        clock = Clock()
        forecast = Forecast(epochs=EPOCHS, steps=STEPS, pictures=PICTURES, clock=clock)
        for report, waited in run(clock, step=step, valid=1.0):
            forecast.note(report, waited)
            if forecast.is_sure:
                assert report.step == (sure_at or STEPS) and (report.row is not None) == (sure_at is None)
                break


def test_pictures_that_are_decoded_meanwhile_are_waited_for_in_the_first_epoch_alone():
    clock, decoding = Clock(), True
    forecast = Forecast(epochs=EPOCHS, steps=STEPS, pictures=PICTURES, clock=clock, decoding=lambda: decoding)
    sure = []
    for report, waited in run(clock, step=1.0, valid=3.0, waiting=2.0):
        decoding = report.epoch == 0
        forecast.note(report, waited)
        sure.append(forecast.is_sure)
        if report.step == 8:
            guess = 0.4 * 1.0 * STEPS / 768 * 96
            assert forecast.left() == pytest.approx(4 * 3.0 + 4 * STEPS * 1.0 + (EPOCHS + 3) * guess + END)
    # 15 seconds of steps after warming up: five of three seconds each.
    assert sure.index(True) == 6


def test_a_resumed_run_counts_what_it_has_still_to_do():
    clock = Clock()
    forecast = Forecast(epochs=EPOCHS, steps=STEPS, pictures=PICTURES, clock=clock)
    for report, waited in run(clock, step=0.5, valid=2.0, from_step=3 * STEPS + 5):
        forecast.note(report, waited)
        if report.epoch == 4 and report.row is None:
            assert forecast.left() == pytest.approx((STEPS * EPOCHS - report.step) * 0.5 + 2.0 + 6.0 + END)


def test_without_a_held_out_split_nothing_is_measured():
    clock = Clock()
    forecast = Forecast(epochs=EPOCHS, steps=STEPS, pictures={"train": 768}, clock=clock)
    for report, waited in run(clock, step=0.5, valid=0.25):    # the state is saved
        forecast.note(report, waited)
        if report.epoch and report.row is None:
            assert forecast.left() == pytest.approx((STEPS * EPOCHS - report.step) * 0.5 +
                                                    (EPOCHS - report.epoch) * 0.25 + END)
