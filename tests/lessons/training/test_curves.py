"""Activations and losses beside each other, against closed forms."""

import math

import pytest

from lensmith.lessons.training.activations import USUAL, activation_curves, gradients_through
from lensmith.lessons.training.losses import class_loss_curves, number_loss_curves


def at(curve, place: float) -> float:
    return min(curve, key=lambda point: abs(point[0] - place))[1]


def test_the_curves_of_activations_are_their_formulas():
    curves = activation_curves(USUAL, seed=0)
    assert at(curves["sigmoid"].values, 2.0) == pytest.approx(1 / (1 + math.exp(-2)))
    assert at(curves["sigmoid"].slopes, 0.0) == pytest.approx(0.25)
    assert at(curves["leaky_relu"].values, -2.0) == pytest.approx(-0.02)
    assert at(curves["elu"].values, -2.0) == pytest.approx(math.exp(-2) - 1)
    assert at(curves["elu"].slopes, -2.0) == pytest.approx(math.exp(-2))
    assert at(curves["relu"].slopes, -2.0) == 0 and at(curves["relu"].slopes, 2.0) == 1


def test_a_gradient_vanishes_behind_sigmoids_and_less_where_the_first_weights_fit():
    plain, fitted = (gradients_through("sigmoid", 0, fitted=fitted) for fitted in (False, True))
    assert len(plain) == 10 and plain[-1] == 1
    assert plain[0] < 1e-4 < 1e-3 < fitted[0]
    assert 0.3 < gradients_through("relu", 0, fitted=True)[0] < 3    # He et al. 2015: signals keep their size
    assert gradients_through("relu", 1, fitted=True) != gradients_through("relu", 0, fitted=True)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_losses_of_classes_are_their_formulas(p: float):
    curves, rest = class_loss_curves(), (1 - p) / 9
    truth = min((point[0] for point in curves["cross entropy"].costs), key=lambda place: abs(place - p))
    p, rest = truth, (1 - truth) / 9
    assert at(curves["cross entropy"].costs, p) == pytest.approx(-math.log(p), rel=1e-4)
    assert at(curves["cross entropy"].pulls, p) == pytest.approx(1 - p, abs=1e-4)
    smooth = -0.91 * math.log(p) - 9 * 0.01 * math.log(rest)
    assert at(curves["label smoothing 0.1"].costs, p) == pytest.approx(smooth, rel=1e-4)
    assert at(curves["focal 2"].costs, p) == pytest.approx(-(1 - p) ** 2 * math.log(p), rel=1e-3)
    assert at(curves["squared error"].costs, p) == pytest.approx((1 - p) ** 2 + 9 * rest**2, rel=1e-3)


def test_squared_error_lets_go_where_the_answer_is_most_wrong():
    pulls = class_loss_curves()["squared error"].pulls
    assert pulls[0][1] < 0.02 < max(pull for _, pull in pulls)


def test_the_losses_of_numbers():
    curves = number_loss_curves()
    assert at(curves["squared"].costs, 3) == pytest.approx(9) and at(curves["squared"].pulls, 3) == pytest.approx(6)
    assert at(curves["absolute"].costs, -3) == pytest.approx(3) and at(curves["absolute"].pulls, -3) == -1
    assert at(curves["huber"].costs, 3) == pytest.approx(2.5) and at(curves["huber"].pulls, 3) == pytest.approx(1)
