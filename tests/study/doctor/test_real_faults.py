"""Real trainings with one fault of the network or of the settings each, which has to be named first or second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.study.doctor.conftest import DATA, PLAIN, Trained, check_named, found_in, needed, own

pytestmark = pytest.mark.slow

SETS = ("fashion", "cifar", "pets", "drawn")
Arguments = Callable[[str], list[str]]


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize(("network", "fault", "settings"), [
    ("SoftmaxTwice", "softmax twice", []), ("EvaluationMode", "evaluation mode", []),
    ("Frozen", "frozen by accident", []), ("Detached", "frozen by accident", []),
    ("DecayedNorm", "decay on norms", ["optimizer.decay=0.1"]),
    ("SlowNorm", "running statistics", ["learner.norm_floor=0", "optimizer.rate=0.003"]),
    ("DeadUnits", "dead relus", []), ("Deep", "vanishing gradients", ["--epochs", "2"]),
    ("Exploding", "exploding gradients", ["--epochs", "2"]),
    ("Sigmoids", "saturated activations", ["optimizer.rate=0.3"])])
def test_a_fault_of_a_network(tmp_path: Path, trained: Trained, arguments_of: Arguments, data: str, network: str,
                              fault: str, settings: list[str]):
    epochs = [] if "--epochs" in settings else ["--epochs", "4"]
    check_named(trained(*arguments_of(data), *own(tmp_path, network), *epochs, *settings), fault)


@pytest.mark.parametrize("data", SETS)
@pytest.mark.parametrize(("settings", "fault"), [
    (["--optimizer", "sgd", "--rate", "30"], "rate too high"),
    (["--rate", "1e-7"], "rate too low"),
    (['learner.groups=[{match = "*dense3*", rate = 1000}]'], "a layer thrown about"),
    ([*PLAIN, "--batch", "2", "loading.fraction=0.2"], "tiny batches"),
    (["augment.resized_crop=[0.01, 0.04]"], "objects cut away"),
    (["loading.fraction=0.1", "--epochs", "40", "--rate", "0.003", "split.valid=0.3", "augment.flip=false"],
     "overfitting"),
    (["--backbone", "stack", 'backbone.layers=[{avgpool = 6}, {dense = 3}]', "--epochs", "6"],
     "underfitting")])
def test_a_fault_of_the_settings(trained: Trained, arguments_of: Arguments, data: str, settings: list[str], fault: str):
    backbone = [] if "--backbone" in settings else ["--backbone", "lenet"]
    epochs = [] if "--epochs" in settings else ["--epochs", "4"]
    if data == "fashion":    # which has sixty times as many pictures
        settings = [text.replace("fraction=0.", "fraction=0.00").replace("valid=0.", "valid=0.00") for text in settings]
    places = {text.partition("=")[0] for text in settings}
    given = [text for text in arguments_of(data) if text.partition("=")[0] not in places]
    check_named(trained(*given, *backbone, *epochs, *settings), fault)


@pytest.mark.parametrize("data", SETS)
def test_preprocessing_that_does_not_fit(tmp_path: Path, trained: Trained, arguments_of: Arguments, data: str):
    healthy = trained(*arguments_of(data), *own(tmp_path, "Whole"), "--epochs", "3", name="whole")
    assert not any(each.grave for each in found_in(healthy))
    check_named(trained(*arguments_of(data), *own(tmp_path, "Rescaled"), "--epochs", "3", "--weights", str(healthy)),
                "preprocessing")
    good = trained(*arguments_of(data), *own(tmp_path, "Whole"), "--epochs", "3", "--weights", str(healthy),
                   name="good")
    assert not any(each.grave for each in found_in(good))


def test_mirrored_digits(trained: Trained):
    needed(DATA / "mnist")
    check_named(trained("mnist", "loading.fraction=0.02", "--backbone", "lenet", "--epochs", "2", "augment.flip=true"),
                "mirrored labels")
