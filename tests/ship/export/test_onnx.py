"""The contract of the target `onnx`: the file of one network of each family and task answers as the network does."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lensmith.base.errors import ModelError, Stopped, UserError
from lensmith.base.pictures import Form
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network
from lensmith.ship.export import TARGETS
from lensmith.ship.export.in_graph import judged, target_facts
from lensmith.ship.export.onnx import write_onnx
from lensmith.ship.export.parity import parities
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask, as_the_file_takes
from lensmith.tasks import TASKS
from lensmith.tasks.task import Task

NAMES = ("disc", "square", "triangle")
TOGETHER = ("label", "numbers", "boxes", "mask")    # of several tasks
# What an entry cannot do without.
OWN: dict[str, dict[str, Any]] = {"stack": {"layers": [{"conv": 8, "kernel": 3}, "relu", {"maxpool": 2},
                                                       {"residual": 12, "stride": 2}, {"globalpool": "mean"}]}}
FAST = [("lenet", 20, "tagging"), ("lenet", 20, "regression")]
FAMILIES = ("efficientnet_lite0", "resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "densenet121", "vgg11",
            "squeezenet1_1", "regnet_x_400mf", "mnasnet0_5", "convnext_tiny", "efficientnet_b0", "mobilenet_v2")
SLOW = [*((family, 64, task) for family in FAMILIES for task in ("classification", "segmentation")),
        ("csp", 64, "detection"), ("csp", 64, "yolov3"), ("csp", 64, "instances"), ("csp", 64, "multitask")]
CASES = [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


def made(backbone: str, size: int, task: str) -> tuple[Network, Task, FileFacts]:
    """A network whose weights are drawn so that its answers differ from picture to picture."""
    torch.manual_seed(0)
    trunk = find_backbone(backbone, trusted=False)(**OWN.get(backbone, {}), inputs=3, size=(size, size))
    classes = dict.fromkeys(TOGETHER if task == "multitask" else TASKS[task].needs, NAMES)
    settings: dict[str, Any] = {"threshold": 0.3} if task in ("detection", "yolov3", "instances") else {}
    kind = TASKS[task](classes) if task == "multitask" else TASKS[task](NAMES, **settings)
    network = Network(trunk, kind.head(trunk), mean=[110.0] * 3, deviation=[60.0] * 3)
    with torch.no_grad():
        for layer in network.head.modules():    # last layers begin at zero, or with the same score everywhere
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                layer.bias.normal_(0, 0.3)
                layer.weight.normal_(0, 0.3)
    form = Form(3, size, size, fit="pad" if kind.objects else "crop")
    return network.eval(), kind, FileFacts(target_facts(kind, classes), form, True, {"name": task}, None, "0", {})


def pictures_of(form: Form, number: int) -> torch.Tensor:
    return torch.randint(0, 256, (number, 3, *form.size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("backbone", "size", "task"), CASES)
@torch.inference_mode()
def test_a_file_answers_as_its_network_in_both_runtimes(backbone: str, size: int, task: str, tmp_path: Path):
    network, kind, facts = made(backbone, size, task)
    file = tmp_path / "model.onnx"
    facts = write_onnx(network, kind, facts, file)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert b"site-packages" not in file.read_bytes() and b"lensmith/" not in file.read_bytes()    # no path of ours
    forms = [facts.form, replace(facts.form, height=size + 32, width=size + 64)] if facts.any_size else [facts.form]
    for name, runtime in RUNTIMES.items():
        if ".onnx" not in runtime.suffixes:
            continue
        in_file, of_file = FileNetwork(runtime.open(file, 1), facts), FileTask(kind, facts)
        of_file.for_files, found = True, parities(facts.targets)
        for form in forms:
            pictures = pictures_of(form, 3)
            for some in (pictures, pictures[:1]):    # the batch is dynamic
                expected, answers = judged(kind).decode(network(some)), of_file.decode(in_file(some))
                for target, parity in found.items():
                    parity.add(expected[target], answers[target])
        for target, parity in found.items():
            assert parity.agrees and parity.answers, (name, target, parity)


def test_a_convolutional_network_takes_pictures_of_any_size_and_a_dense_one_its_own(tmp_path: Path):
    network, kind, facts = made("stack", 64, "classification")
    assert write_onnx(network, kind, facts, tmp_path / "any.onnx").any_size
    network, kind, facts = made("lenet", 20, "classification")
    facts = write_onnx(network, kind, facts, tmp_path / "one.onnx")
    assert not facts.any_size
    small = torch.full((1, 3, 10, 20), 7, dtype=torch.uint8)
    padded = as_the_file_takes(small, facts)
    assert padded.shape == (1, 3, 20, 20) and (padded[:, :, :10] == 7).all() and (padded[:, :, 10:] == 114).all()
    with pytest.raises(ModelError, match="takes pictures of 20 x 20 pixels alone; these have 40 x 20"):
        as_the_file_takes(torch.zeros(1, 3, 40, 20, dtype=torch.uint8), facts)


def test_a_torchvision_detector_is_refused_by_its_layer():
    kind = TASKS["detection"](NAMES)
    trunk = find_backbone("fasterrcnn_mobilenet_v3_large_320_fpn", trusted=False)(inputs=3, size=(64, 64))
    network = Network(trunk, kind.head(trunk), mean=[0.0] * 3, deviation=[255.0] * 3).eval()
    facts = FileFacts(target_facts(kind, {"boxes": NAMES}), Form(3, 64, 64, fit="pad"), True, {"name": "detection"},
                      None, "0", {})
    with pytest.raises(ModelError, match="cannot be written as ONNX: layer|no file can hold .layer head"):
        write_onnx(network, kind, facts, Path("never.onnx"))


class Odd(nn.Module):
    """A head with an operator that ONNX has not."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.inner = head

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return torch.special.bessel_j0(self.inner(maps))    # this line is named


class Branching(Odd):
    """A head that goes one way or the other by the values of a tensor."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        scores = self.inner(maps)
        return scores if scores.sum() > 0 else -scores    # and this one


@pytest.mark.parametrize(("kind", "line", "text"), [
    (Odd, "this line is named", "has the operator prims.bessel_j0, for which there is no translation"),
    (Branching, "and this one", "goes one way or the other by the values of a tensor, which a file cannot: use")])
def test_an_operator_without_a_translation_is_named_with_its_layer_and_line(tmp_path: Path, capfd, kind, line, text):
    network, task, facts = made("stack", 20, "classification")
    other = Network(network.backbone, kind(network.head), mean=[0.0] * 3, deviation=[1.0] * 3).eval()
    number = next(i for i, row in enumerate(Path(__file__).read_text().splitlines(), 1) if row.endswith(f"# {line}"))
    with pytest.raises(ModelError) as refused:
        write_onnx(other, task, facts, tmp_path / "odd.onnx")
    said = str(refused.value)
    assert said.startswith(f"the network cannot be written as ONNX: layer head ({kind.__name__}, {Path(__file__).name} "
                           f"line {number}) {text}") and "\n" not in said
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["soft", "diou"])
def test_suppression_that_onnx_lacks_is_refused(kind: str):
    with pytest.raises(ModelError, match=f"suppression='{kind}' has no operator in ONNX: accepted are batched and"):
        target_facts(TASKS["detection"](NAMES, suppression=kind), {"boxes": NAMES})


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    network, kind, facts = made("lenet", 20, "classification")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Stopped, match="the disk is full: .*model.onnx could not be written .*choose another file"):
        write_onnx(network, kind, facts, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lensmith.ship.runtimes.packages.find_spec", lambda name: None)
    network, kind, facts = made("lenet", 20, "classification")
    with pytest.raises(UserError, match=r'needs onnx and onnxscript, which are not installed: pip install "lens'):
        write_onnx(network, kind, facts, tmp_path / "model.onnx")


def test_targets_are_named_as_their_suffix():
    assert {name: target.suffix for name, target in TARGETS.items()} == {"onnx": ".onnx", "openvino": ".xml",
                                                                            "ncnn": ".param"}
    assert json.loads(made("lenet", 20, "regression")[2].as_json())["outputs"] == {"numbers": ["numbers"]}
