"""Which of two trials is the faster, by passes whose times are given."""

from collections.abc import Iterator

import pytest

from lensmith.engine.plan.compare_trials import TURNS, faster
from lensmith.engine.plan.plan import Plan, make_plan

PLAIN = make_plan(device="cpu", layout="contiguous", threads=1)
OTHER_LAYOUT = make_plan(device="cpu", layout="channels_last", threads=1)
OTHER_PRECISION = make_plan(device="cpu", layout="contiguous", precision="bfloat16", threads=1)


class Scripted:
    """Takes passes of these seconds one after the other, the last again and again."""

    def __init__(self, plan: Plan, *seconds: float):
        self.plan, self.seconds, self.taken = plan, list(seconds), 0

    def step(self, batch: object) -> float:
        self.taken += 1
        return self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]


def won(best: Scripted, trial: Scripted, *, looks: tuple[float, ...] = (), turns: int = TURNS) -> bool:
    left: Iterator[bool] = iter([True] * (turns - 1) + [False])
    return faster(best, trial, None, goes_on=lambda: next(left), looks=looks) is trial    # type: ignore[arg-type, comparison-overlap]


def test_one_slow_or_lucky_pass_of_many_does_not_decide():
    assert won(Scripted(PLAIN, 0.1, 0.1, 0.08, 0.1), Scripted(OTHER_LAYOUT, 0.12, 0.09))
    assert not won(Scripted(PLAIN, 0.09), Scripted(OTHER_LAYOUT, 0.1, 0.08, 0.1))


def test_a_busy_moment_that_hits_both_changes_nothing():
    assert won(Scripted(PLAIN, 0.1, 0.5, 0.9, 0.1), Scripted(OTHER_LAYOUT, 0.09, 0.45, 0.81, 0.09))


@pytest.mark.parametrize(("fraction", "turns"), [(2.0, 1), (0.4, 1), (1.2, 2), (0.8, 2)])
def test_what_is_clear_ends_early(fraction: float, turns: int):
    trial = Scripted(OTHER_PRECISION, fraction * 0.1)
    assert won(Scripted(PLAIN, 0.1), trial) == (fraction < 1) and trial.taken == turns


def test_what_is_alike_ends_after_three_turns_and_what_is_not_goes_on():
    alike = Scripted(OTHER_LAYOUT, 0.099, 0.101, 0.102)
    assert not won(Scripted(PLAIN, 0.1), alike) and alike.taken == 3
    unlike = Scripted(OTHER_LAYOUT, *[0.08, 0.12] * TURNS)
    assert not won(Scripted(PLAIN, 0.1), unlike) and unlike.taken == TURNS


def test_another_precision_has_to_be_faster_by_a_margin():
    assert not won(Scripted(PLAIN, 0.1), Scripted(OTHER_PRECISION, 0.098))
    assert won(Scripted(PLAIN, 0.1), Scripted(OTHER_LAYOUT, 0.098))


def test_where_there_is_no_time_one_turn_decides_beside_what_is_known():
    trial = Scripted(OTHER_LAYOUT, 0.09, 0.2)
    assert won(Scripted(PLAIN, 0.1), trial, turns=1) and trial.taken == 1
    assert not won(Scripted(PLAIN, 0.1), Scripted(OTHER_LAYOUT, 0.09), looks=(1.4, 1.2), turns=1)
