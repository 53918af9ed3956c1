"""A file that takes pictures of any size: its answers are those of the network, in the pixels of the pictures."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lensmith.base.errors import Stopped
from lensmith.base.pictures import Place, fit_of
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.ship.export.any_size import trims
from lensmith.ship.export.fit_in_graph import FitPicture
from lensmith.ship.export.in_graph import judged
from lensmith.ship.export.onnx import write_onnx
from lensmith.ship.export.openvino import write_openvino
from lensmith.ship.export.parity import parities
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.file_facts import facts_of_file
from lensmith.ship.runtimes.file_network import FileTask, network_in
from tests.ship.export.test_onnx import made

SIZES = ((131, 187), (40, 50), (90, 64))    # of pictures; with objects and without


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("backbone", "task"), [("stack", "classification"), ("stack", "segmentation"),
                                                ("csp", "detection"), ("csp", "instances"), ("csp", "multitask")])
@pytest.mark.parametrize("fit", ["crop", "pad"])
@torch.inference_mode()
def test_answers_to_pictures_of_any_size_are_in_their_pixels(backbone: str, task: str, fit: str, tmp_path: Path):
    network, kind, facts = made(backbone, 64, task)
    facts = replace(facts, form=replace(facts.form, fit=fit), fits_inside=True)    # type: ignore[arg-type]
    facts = write_onnx(network, kind, facts, tmp_path / "any.onnx")
    form = facts.form
    for name, runtime in RUNTIMES.items():
        if ".onnx" not in runtime.suffixes:
            continue
        in_file, ours, found = network_in(tmp_path / "any.onnx", facts, name), judged(kind), parities(facts.targets)
        of_file = FileTask(kind, facts).with_thresholds(0.0, None)
        for size in SIZES:
            draw = torch.Generator().manual_seed(1)
            picture = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=draw)
            brought = FitPicture(form, trims=False)(picture)
            place = Place("", size, fit_of(size, form))
            batch = Batch(brought, {}, [place])
            batch = trimmed(batch) if trims(facts) else batch
            expected = in_files(ours.decode(network(batch.images)), batch.places)
            answers = of_file.decode(in_file(picture))
            for target, parity in found.items():
                value = expected[target]
                parity.add(type(value).stack([value[0].in_file(batch.places[0], form.size)]), answers[target])
        for target, parity in found.items():
            assert parity.agreement >= 0.98 and parity.answers, (name, target, parity)


def test_what_a_file_says_of_itself_is_read_again():
    facts = replace(made("stack", 64, "segmentation")[2], fits_inside=True)
    assert facts.outputs == {"mask": ("mask",)} and facts_of_file(facts.as_json(), "x.onnx") == facts
    older = json.loads(facts.as_json()) | {"format": 1}    # wrote nothing of fitting
    del older["fits_inside"]
    assert not facts_of_file(json.dumps(older), "x.onnx").fits_inside
    instances = replace(made("csp", 64, "instances")[2], fits_inside=True)
    assert instances.outputs["masks"] == ("masks", "masks_boxes", "masks_classes", "masks_scores", "masks_count")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@torch.inference_mode()
def test_the_files_of_openvino_answer_as_the_onnx_file_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network, kind, facts = made("lenet", 20, "classification")
    whole = write_onnx(network, kind, facts, tmp_path / "model.onnx")
    assert write_openvino(network, kind, facts, tmp_path / "model.xml") == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.onnx", "model.xml"]
    pictures = torch.randint(0, 256, (3, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    expected = network_in(tmp_path / "model.onnx", whole, "openvino")(pictures)["label"]
    torch.testing.assert_close(network_in(tmp_path / "model.xml", whole, "openvino")(pictures)["label"], expected)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Stopped, match="the disk is full: .*model.* could not be written .*choose another file"):
        write_openvino(network, kind, facts, tmp_path / "model.xml")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
