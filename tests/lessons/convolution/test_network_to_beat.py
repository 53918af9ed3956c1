"""The dense network beside LeNet: trained by the product, and measured as it measures."""

import pytest
import torch

from lensmith.api import train
from lensmith.engine.run_loop import Interrupted
from lensmith.lessons.convolution import network_to_beat as module
from lensmith.lessons.convolution.network_to_beat import accuracy_of, compare_networks, moved


def test_pictures_are_moved_and_their_edge_repeated():
    picture = torch.arange(9).view(1, 1, 3, 3)
    assert moved(picture, 1)[0, 0].tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]
    assert torch.equal(moved(picture, 0), picture)


def test_the_accuracy_is_the_one_that_the_run_measured(tmp_path):
    settings = {**module._QUICK, **module._DRAWN, "data.count": 240}
    trained = train("shapes", backbone="lenet", epochs=2, device="cpu", runs=tmp_path, settings=settings)
    pictures, labels = module._test_pictures(trained)
    assert len(labels) == 40
    assert accuracy_of(trained, pictures, labels) == pytest.approx(trained.metrics["test"]["accuracy_top1"])


def test_without_a_known_set_drawn_shapes_are_learned(monkeypatch):
    monkeypatch.setattr(module, "usual_set", lambda *names: "shapes")
    monkeypatch.setitem(module._DRAWN, "data.count", 120)
    monkeypatch.setattr(module, "_EPOCHS", 1)
    told: list[str] = []
    found = compare_networks(device="cpu", tell=told.append)
    assert told == ["training dense: 128 hidden units on drawn shapes", "training LeNet on drawn shapes"]
    assert (found.data, found.learned_from, found.tested, found.epochs) == ("shapes", 90, 20, 1)
    dense, lenet = found.contenders
    assert dense.parameters == 784 * 128 + 128 + 128 * 3 + 3 and lenet.parameters == 43_831
    assert set(dense.shifted) == {1, 2} and f"{100 * lenet.accuracy:.1f} %" in found.verdict()
    assert "Both learned from the same 90 pictures of drawn shapes for 1 epoch, with the same" in found.in_words()


def test_a_ctrl_c_does_not_name_a_run_that_is_gone(monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted("interrupted. Go on with: lensmith train --resume /tmp/gone")

    monkeypatch.setattr(module, "usual_set", lambda *names: "shapes")
    monkeypatch.setattr(module, "train", interrupted)
    with pytest.raises(Interrupted, match=r"nothing was written. --no-train leaves them out") as caught:
        compare_networks(device="cpu")
    assert "resume" not in str(caught.value)


@pytest.mark.slow
def test_lenet_beats_the_dense_network_on_real_pictures():
    found = compare_networks(device="cpu")
    if found.data != "mnist":
        pytest.skip("needs MNIST, in LENSMITH_DATA or the cache")
    dense, lenet = found.contenders
    assert found.learned_from == 5400 and found.tested == 10_000
    assert lenet.accuracy > dense.accuracy > 0.85 and lenet.shifted[2] > dense.shifted[2]
