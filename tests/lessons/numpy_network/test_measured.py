"""The lesson `numpy` as a whole: on a set, with the network of a run, and what it refuses."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lensmith.base.errors import DataError, ModelError, UserError
from lensmith.base.html_page import render_page
from lensmith.data.formats.named_sets import DEBIAN
from lensmith.lessons import lesson as any_lesson
from lensmith.lessons import lesson_data
from lensmith.lessons.numpy_network.lesson import numpy_lesson
from lensmith.lessons.numpy_network.measured import NumpyResults, numpy_results, results_of_run


def finished(results: NumpyResults) -> str:
    """The text of the page."""
    lesson = numpy_lesson(results)
    return render_page(any_lesson._TEMPLATES / "numpy.html.jinja", lesson.contents)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is timed for longer than it takes once."""
    from lensmith.lessons.numpy_network import layer_times

    monkeypatch.setattr(layer_times, "_REPEATS", 1)
    monkeypatch.setattr(layer_times, "_SECONDS", 0.0)


@pytest.mark.usefixtures("quick")
def test_the_lesson_on_a_set():
    told: list[str] = []
    results = numpy_results("shapes", pictures=64, epochs=2, seed=1, tell=told.append)
    lesson = numpy_lesson(results)
    assert [each.name for each in results.networks] == ["two layers", "lenet"]
    assert all(each.largest_gap.gap < 1e-10 for each in results.networks)
    assert len([line for line in told if "epoch 2 of 2" in line]) == 2
    text = "\n".join(lesson.lines)
    assert "drawn shapes: 64 pictures learned from, 200 tested on, 3 classes, seed 1" in text
    assert text.count("gradients in float64 against PyTorch's: equal") == 2
    assert re.search(r"a step on 32 pictures: NumPy [\d.]+ ms, PyTorch on cpu, \d+ threads? [\d.]+ ms \(", text)
    assert lesson.facts["networks"][1]["gradients"][0]["weight"] == "conv1.weight"
    page = finished(results)
    for name in ("conv1.columns", "conv2.weight.gradient", "dense3.bias.after", "maxpool1.input.gradient"):
        assert f'data-array="{name}"' in page and f'"{name}": {{"shape"' in page
    assert "output = weight.reshape(len(weight), -1) @ self.columns" in page    # the code that ran
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)    # nothing is fetched


@pytest.fixture(scope="module")
def run(run_of: Callable[[str], Path]) -> Path:
    return run_of("lenet")


@pytest.mark.usefixtures("quick")
def test_the_network_of_a_run_which_is_only_read(run: Path):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    results = results_of_run(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    gap = re.search(r"differ by ([\d.e-]+) at most", results.note)
    assert gap is not None and float(gap[1]) < 1e-4
    assert results.networks[0].largest_gap.gap < 1e-10 and results.networks[0].accuracy is None
    assert "The run itself was only read" in finished(results)


def test_what_the_lesson_refuses_is_one_line(tmp_path: Path, run: Path):
    with pytest.raises(UserError, match="--pictures 32 or more in --epochs 1 or more"):
        numpy_results("shapes", pictures=3)
    with pytest.raises(DataError, match="Did you mean 'mnist'"):
        numpy_results("mnits")
    (tmp_path / "recipe.toml").write_text((run / "recipe.toml").read_text())
    with pytest.raises(ModelError, match="never began to learn, so it has no network to look at"):
        results_of_run(tmp_path)


def test_where_fashion_mnist_is_not_another_set_is_taken_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def only(*names: str):
        def find(name: str) -> Path:
            if name not in names:
                raise DataError("not here")
            return tmp_path
        return find

    for names, expected in (((), "shapes"), (("mnist",), "mnist"), (("mnist", "fashion-mnist"), "fashion-mnist")):
        monkeypatch.setattr(lesson_data, "find_idx", only(*names))
        assert lesson_data.usual_set() == expected
    assert "lensmith data get fashion-mnist" in lesson_data.how_to_get("shapes")
    assert not lesson_data.how_to_get("fashion-mnist")


@pytest.mark.slow
@pytest.mark.skipif(not (DEBIAN / "fashion-mnist").is_dir() and "LENSMITH_DATA" not in os.environ,
                    reason="needs Fashion-MNIST, as of Debian's package dataset-fashion-mnist")
def test_numpy_alone_reaches_085_on_fashion_mnist():
    results = numpy_results("fashion-mnist")
    accuracies = {each.name: each.accuracy for each in results.networks}
    assert results.tested == 10_000 and all(accuracy >= 0.85 for accuracy in accuracies.values()), accuracies
