"""An ONNX file of others, used by a form: the answers of the file run by hand, and what a form lacks in one line."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.ship.runtimes.foreign_file import ForeignFile
from lensmith.ship.runtimes.form_file import Signature, facts_of_others, read_form
from tests import hostile_onnx as hostile

MEAN, DEVIATION = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
FORM = f'classes = ["disc", "square", "triangle"]\nmean = {list(MEAN)}\ndeviation = {list(DEVIATION)}\nfit = "squash"\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file of others, its form, and a picture of the size that the file takes."""
    onnx.save(hostile.small_network(), tmp_path / "others.onnx")
    (tmp_path / "form.toml").write_text(FORM)
    Image.effect_noise((16, 16), 80).convert("RGB").save(tmp_path / "a.png")
    return tmp_path


def by_hand(file: Path, picture: Path) -> np.ndarray:
    """The probabilities of the file's classes, by NumPy alone."""
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    values = (np.asarray(Image.open(picture)) / 255 - MEAN) / DEVIATION
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    maps = np.array([[np.einsum("hwc,ochw->o", padded[row : row + 3, column : column + 3], weights["kernel"])
                      for column in range(0, 16, 2)] for row in range(0, 16, 2)]) + weights["bias"]
    logits = np.maximum(maps, 0).mean((0, 1)) @ weights["matrix"] + weights["shift"]
    return np.exp(logits) / np.exp(logits).sum()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_of_others_answers_as_by_hand(place: Path, command, runtime: str):
    ended = command("predict", place / "others.onnx", place / "a.png", "--form", place / "form.toml", "--json",
                    "--runtime", runtime)
    assert ended.code == 0, ended.err
    scores = json.loads(ended.out)[0]["scores"]
    expected = dict(zip(("disc", "square", "triangle"), by_hand(place / "others.onnx", place / "a.png"), strict=True))
    assert scores == pytest.approx(expected, abs=1e-4)


def test_inspect_says_what_a_file_of_others_takes(place: Path, command):
    (place / "names.txt").write_text("disc\nsquare\ntriangle\n")
    (place / "form.toml").write_text('classes = "names.txt"\nmean = 0\ndeviation = 1\n')
    lines = command("inspect", place / "others.onnx", "--form", place / "form.toml").out.splitlines()
    assert lines[0] == f"{place / 'others.onnx'}  task classification, 251 parameters, written by others"
    assert lines[1:3] == ["  takes pictures: float32 [batch, 3, 16, 16], of this size alone; brought by crop, bilinear",
                          "  gives label: label of 3 classes (disc, square, triangle)"]


# What is found in the file of others.
FOUND = {"input": "values", "type": "float32", "channels_last": False, "batch": None, "channels": 3, "size": [16, 16],
         "any_size": False, "outputs": {"logits": [1, 3]}, "last": {"logits": "Gemm"}}
TAKES = "FILE takes pictures of fractional numbers: say in FORM what is taken away from values between 0 and 1 and what"


@pytest.mark.parametrize(("form", "found", "text"), [
    ("", {}, TAKES), ("mean = 0", {}, TAKES),
    (FORM + "fitt = 1", {}, "FORM has no setting 'fitt'. Did you mean 'fit'? It has: "),
    (FORM + 'task = "detection"', {}, "FORM: task must be 'classification', 'tagging', 'regression' or 'segmentation'"),
    (FORM + "size = [1, 2, 3]", {}, "FORM: size must be an edge, as 224, or height and width, as [224, 320]"),
    (FORM + "size = 0", {}, "FORM: size must be an edge, as 224, or height and width, as [224, 320]; got 0"),
    (FORM.replace('"disc", ', ""), {}, "FORM has 2 names, and FILE gives 3: name the classes in their order"),
    (FORM.replace('"square"', '"disc"'), {}, "FORM names class 'disc' more than once"),
    (FORM.replace('["disc", "square", "triangle"]', '"n.txt"'), {}, "FORM names classes = 'n.txt', which cannot be re"),
    (FORM.replace("0.25, 0.3", "0.3"), {}, "FORM: deviation must be a number above 0, or one for each of the 3 channe"),
    (FORM, {"type": "uint8"}, "FILE takes pictures as they are, uint8: leave mean and deviation out of FORM"),
    (FORM + 'output = "logit"', {}, "FORM names output 'logit', and the file gives 'logits' (1 x 3). Did you mean 'lo"),
    (FORM, {"outputs": {"a": [1, 3], "b": [1]}}, "gives 2 outputs, 'a' (1 x 3), 'b' (1): say in FORM which is read, a"),
    (FORM + 'task = "segmentation"', {}, "'logits' of FILE has shape 1 x 3, and task = 'segmentation' in FORM reads 4"),
    (FORM, {"outputs": {"logits": [1, 1]}}, "reads 2 axes, on the second 2 to 1,048,576 classes: name another task or"),
    ("classes = [", {}, "the form FORM cannot be read: it is not valid TOML")])
def test_what_a_form_lacks_is_one_line(tmp_path: Path, form: str, found: dict[str, Any], text: str):
    file, path = tmp_path / "others.onnx", tmp_path / "form.toml"
    file.write_bytes(b"")
    path.write_text(form)
    with pytest.raises(UserError) as refused:
        facts_of_others(path, read_form(path), FOUND | found, str(file))
    said = str(refused.value).replace(str(path), "FORM").replace(str(file), "FILE")
    assert text in said and "\n" not in said, said


def test_scores_are_probabilities_behind_a_softmax_or_where_the_form_says_so(tmp_path: Path):
    (tmp_path / "form.toml").write_text(FORM)
    (tmp_path / "others.onnx").write_bytes(b"")
    form = read_form(tmp_path / "form.toml")
    for last, scores, logits in (("Gemm", None, True), ("Softmax", None, False), ("Gemm", "probabilities", False),
                                 ("Sigmoid", "logits", True)):
        found = FOUND | {"last": {"logits": last}}
        facts, signature = facts_of_others(tmp_path / "form.toml", replace(form, scores=scores), found,
                                           str(tmp_path / "others.onnx"))
        assert signature.logits is logits and facts.names == {"label": ("disc", "square", "triangle")}


def test_a_form_belongs_to_a_file_of_others(place: Path, command):
    onnx.save(hostile.own_network(), place / "own.onnx")
    none = "what an ONNX file of others takes, and"
    for words, form, text in [
            (("predict", place / "own.onnx", place / "a.png"), "form.toml", "was written by Lensmith and says itself"),
            (("predict", "imagenet", place / "a.png"), "form.toml", f"predict.form (--form) says {none} imagenet is n"),
            (("inspect", "lenet"), "form.toml", f"--form says {none} lenet is none: leave it out"),
            (("predict", place / "others.onnx", place / "a.png"), "fom.toml", "no such file. Did you mean 'form.toml")]:
        ended = command(*words, "--form", place / form)
        assert ended.code in (2, 4) and ended.err.count("\n") == 1 and text in ended.err, ended.err
    ended = command("predict", place / "others.onnx", place / "a.png")
    assert ended.code == 4 and "was not written by Lensmith" in ended.err and "predict.form (--form)" in ended.err


def of_input(*axes: Any) -> Callable[[Any], object]:
    return lambda graph: graph.input[0].CopyFrom(helper.make_tensor_value_info("values", TensorProto.FLOAT, axes))


@pytest.mark.parametrize(("change", "form", "text"), [
    (lambda graph: graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1])), "",
     "takes 2 inputs ('values', 'more'), and a network of pictures takes one"),
    (of_input("b", 3, "h", "w"), "", "takes pictures of any size: say in FORM to which they are brought, as size = [2"),
    (of_input("b", 3, 16, 16), "size = 32", "takes pictures of 16 x 16 pixels, and size in FORM is 32 x 32: leave si")])
def test_files_that_the_form_does_not_fit_are_one_line(place: Path, command, change, form: str,
                                                       text: str):
    model = hostile.small_network()
    change(model.graph)
    onnx.save(model, place / "others.onnx")
    (place / "form.toml").write_text(FORM + form)
    ended = command("inspect", place / "others.onnx", "--form", place / "form.toml")
    err = ended.err.replace(str(place / "form.toml"), "FORM")
    assert ended.code == 4 and err.count("\n") == 1 and text in err, err


def signature(**changes: Any) -> Signature:
    usual = {"type": "float32", "channels_last": False, "batch": None, "bgr": False, "mean": (0.0,) * 3,
             "deviation": (1.0,) * 3, "output": "out", "logits": True}
    return Signature(**{**usual, **changes})


def test_pictures_are_brought_to_what_a_file_takes():
    pictures, seen = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8), []

    def run(batch: torch.Tensor) -> dict[str, torch.Tensor]:
        seen.append(batch)
        return {"out": batch.double().sum((1, 2, 3))[:, None].float().expand(-1, 2)}

    ForeignFile(run, signature(mean=MEAN, deviation=DEVIATION, bgr=True, channels_last=True), "label")(pictures)
    expected = (pictures.numpy()[:, ::-1].transpose(0, 2, 3, 1) / 255 - MEAN) / DEVIATION
    assert seen[0].shape == (5, 4, 6, 3) and np.allclose(seen[0].numpy(), expected, atol=1e-6)
    seen.clear()
    found = ForeignFile(run, signature(batch=2, type="uint8", logits=False), "tags")(pictures)["tags"]
    assert [len(batch) for batch in seen] == [2, 2, 2] and all(batch.dtype == torch.uint8 for batch in seen)
    assert torch.equal(found[:, 0], pictures.float().sum((1, 2, 3)))    # the repeated picture is left out again


def test_outputs_become_probabilities_of_their_kind():
    logits = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pictures = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    mask = ForeignFile(lambda batch: {"out": logits}, signature(), "mask")(pictures)
    assert mask["mask"].shape == (2, 8, 8) and mask["mask"].dtype == torch.uint8
    assert torch.allclose(mask["mask_scores"].sum(1), torch.ones(2, 8, 8), atol=1e-5)
    whole = logits[:, :, :1, :1]    # as fully convolutional classifiers give it
    for kind, expected in (("label", whole[:, :, 0, 0].softmax(1)), ("tags", whole[:, :, 0, 0].sigmoid()),
                           ("numbers", whole[:, :, 0, 0])):
        assert torch.equal(ForeignFile(lambda batch: {"out": whole}, signature(), kind)(pictures)[kind], expected)
