"""The target `ncnn`: its files answer as the network does where pnnx and ncnn are here; and what is refused."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lensmith.base.errors import ModelError, UserError
from lensmith.ship.export.in_graph import judged
from lensmith.ship.export.ncnn import write_ncnn
from lensmith.ship.export.parity import parities
from lensmith.ship.runtimes.checked_file import check_file
from lensmith.ship.runtimes.file_network import FileTask, network_in
from lensmith.ship.runtimes.packages import is_installed
from tests.ship.export.test_onnx import FAMILIES, made, pictures_of

with_ncnn = pytest.mark.skipif(not (is_installed("ncnn") and is_installed("pnnx")), reason="needs pnnx and ncnn")
CASES = [("lenet", 20, "tagging"), *(pytest.param(name, 64, "classification", marks=pytest.mark.slow)
                                     for name in FAMILIES[:4])]


@with_ncnn
@pytest.mark.parametrize(("backbone", "size", "task"), CASES)
def test_its_files_answer_as_the_network(backbone: str, size: int, task: str, tmp_path: Path):
    network, kind, facts = made(backbone, size, task)
    file = tmp_path / "model.ncnn.param"
    facts = write_ncnn(network, kind, facts, file)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"model.ncnn.{end}" for end in ("bin", "json", "param")]
    assert not facts.any_size and check_file(file, ["ncnn"]).facts == facts
    in_file, of_file, found = network_in(file, facts, "ncnn"), FileTask(kind, facts), parities(facts.targets)
    of_file.for_files = True
    with torch.inference_mode():
        for pictures in (pictures_of(facts.form, 3), pictures_of(facts.form, 1)):
            expected, answers = judged(kind).decode(network(pictures)), of_file.decode(in_file(pictures))
            for target, parity in found.items():
                parity.add(expected[target], answers[target])
    for target, parity in found.items():
        assert parity.agrees and parity.answers, (target, parity)


@with_ncnn
def test_what_pnnx_says_is_one_line_and_damaged_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network, kind, facts = made("lenet", 20, "tagging")
    file = tmp_path / "model.ncnn.param"
    write_ncnn(network, kind, facts, file)
    whole = file.read_text()
    file.write_text(whole.replace("Convolution", "Convulsion"))
    with pytest.raises(ModelError, match=r"model.ncnn.param cannot be run by ncnn \(is damaged: ncnn cannot open it"):
        check_file(file, ["ncnn"])
    file.write_text(whole)
    file.with_suffix(".json").unlink()
    with pytest.raises(ModelError, match="lacks model.ncnn.json, which has to lie beside it"):
        check_file(file, ["ncnn"])
    monkeypatch.setattr(subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1, "", "no\nworse\n"))
    with pytest.raises(ModelError, match=r"^pnnx cannot convert the network \(worse\): choose another with"):
        write_ncnn(network, kind, facts, tmp_path / "other.param")
    assert not (tmp_path / "other.param").exists()


def test_what_ncnn_cannot_take_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "model.ncnn.param"
    network, kind, facts = made("lenet", 20, "tagging")
    if not is_installed("ncnn"):
        with pytest.raises(UserError, match=r'ncnn, which are not installed: pip install "lensmith\[ncnn\]"'):
            write_ncnn(network, kind, facts, file)
    monkeypatch.setattr("lensmith.ship.runtimes.packages.is_installed", lambda package: True)
    with pytest.raises(UserError, match="ncnn takes pictures of one size: leave export.any_size out, or choose"):
        write_ncnn(network, kind, replace(facts, fits_inside=True), file)
    with pytest.raises(ModelError, match="ncnn takes pictures of 8 bits: choose another"):
        write_ncnn(network, kind, replace(facts, form=replace(facts.form, bits=16)), file)
    network, kind, facts = made("csp", 64, "detection")
    with pytest.raises(ModelError, match=r"ncnn has no operators that decide on boxes \(boxes\): choose another with"):
        write_ncnn(network, kind, facts, file)
    assert not list(tmp_path.iterdir())
