"""What a training begins with where nobody says: ImageNet weights for photographs, drawn ones for everything else."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import lensmith
from lensmith.models.backbones import find_backbone
from lensmith.recipe.sections import switch

PLAIN = ("--epochs", 1, "--batch", 6, "--plan", "exact", "--device", "cpu", "plan.threads=1", "learner.head_first=1")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of 24 pictures of 80 x 72 pixels: dark ones and light ones."""
    folder = tmp_path_factory.mktemp("squares")
    draw = np.random.default_rng(0)
    for number in range(24):
        kind = ("dark", "light")[number % 2]
        (folder / kind).mkdir(exist_ok=True)
        pixels = draw.integers(0, 100, (80, 72, 3)) + 120 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / kind / f"{number}.png")
    return folder


def resolved(command, *arguments: object) -> dict:
    ended = command("train", *arguments, "--dry-run")
    assert ended.code == 0, ended.err
    return tomllib.loads(ended.out)


@pytest.mark.parametrize(("arguments", "backbone", "weights", "interpolation"), [
    ((), "efficientnet_lite0", "imagenet", "bicubic"),
    (("pictures.channels=1",), "efficientnet_lite0", "imagenet", "bicubic"),
    (("pictures.interpolation=bilinear",), "efficientnet_lite0", "imagenet", None),
    (("--probe",), "efficientnet_lite0", "imagenet", "bicubic"),
    (("--scratch",), "mobilenet_v3_small", "none", None),
    (("--weights", "none"), "mobilenet_v3_small", "none", None),
    (("pictures.bits=16",), "mobilenet_v3_small", None, None),
    (("pictures.channels=4",), "mobilenet_v3_small", None, None),
    (("--size", 64), "cnn3", None, None),
    (("--backbone", "resnet18"), "resnet18", None, None),
    (("--backbone", "efficientnet_lite0"), "efficientnet_lite0", None, None),
    (("--backbone", "efficientnet_lite2", "--weights", "imagenet"), "efficientnet_lite2", "imagenet", "bicubic"),
    (("--weights", "imagenet", "--size", 48), "efficientnet_lite0", "imagenet", "bicubic"),
])
def test_what_a_folder_of_photos_begins_with(squares: Path, command, arguments, backbone, weights, interpolation):
    recipe = resolved(command, squares, *arguments)
    assert recipe["backbone"]["name"] == backbone and recipe["learner"].get("weights") == weights
    assert recipe["pictures"].get("interpolation", "bilinear") == (interpolation or "bilinear")


def test_objects_and_small_pictures_begin_from_nothing(command):
    assert "weights" not in resolved(command, "shapes", "data.size=96", "--task", "detection")["learner"]
    recipe = resolved(command, "shapes", "data.size=28")
    assert recipe["backbone"]["name"] == "cnn3" and "weights" not in recipe["learner"]
    for task in ("segmentation", "classification"):
        assert resolved(command, "shapes", "data.size=96", "--task", task)["learner"]["weights"] == "imagenet"


def test_small_colour_pictures_are_enlarged_for_imagenet_unless_there_are_many(command, monkeypatch):
    monkeypatch.setattr("lensmith.tasks.usual_settings._FEW", 10_000)    # as it is: the tests learn from small ones
    recipe = resolved(command, "shapes", "data.count=240")
    assert (recipe["backbone"]["name"], recipe["learner"]["weights"]) == ("efficientnet_lite0", "imagenet")
    assert recipe["pictures"]["size"] == 128 and recipe["pictures"]["interpolation"] == "bicubic"
    assert resolved(command, "shapes", "data.count=240", "--size", 32)["backbone"]["name"] == "cnn3"
    for other in (("data.channels=1",), ("data.count=15000",), ("--scratch",), ("--task", "segmentation"),
                  ("pictures.bits=16",)):
        recipe = resolved(command, "shapes", "data.count=240", *other)
        assert recipe["backbone"]["name"] == "cnn3" and "size" not in recipe["pictures"], other
    first = resolved(command, "shapes", "data.count=240")
    assert {key: first["learner"][key] for key in ("head_first", "freeze", "depth_decay", "epochs")} == \
        {"head_first": 20, "freeze": "norms", "depth_decay": 0.9, "epochs": 8}    # 200 pictures 7.5 times
    assert resolved(command, "shapes", "data.count=6000")["learner"]["epochs"] == 2
    assert resolved(command, "shapes", "data.count=60")["learner"]["epochs"] == 10


def test_a_file_of_weights_alone_is_taken_for_one_of_the_usual_network(squares: Path, command, tmp_path: Path):
    """A file says nothing of its network: it is compared with the default one, and the error names the nearest."""
    backbone = find_backbone("efficientnet_lite0", trusted=False)(inputs=3, size=(80, 72))
    save_file({f"backbone.{name}": tensor.clone() for name, tensor in backbone.state_dict().items()},
              tmp_path / "efficientnet.safetensors")
    recipe = resolved(command, squares, "--weights", tmp_path / "efficientnet.safetensors")
    assert recipe["backbone"]["name"] == "efficientnet_lite0" and recipe["pictures"]["interpolation"] == "bicubic"


def test_contradictions_are_one_line(squares: Path, command):
    ended = command("train", squares, "--backbone", "resnet18", "--weights", "imagenet", "--dry-run")
    assert ended.code == 4 and ended.err.count("\n") == 1
    assert "learner.weights='imagenet' (--weights) are those of efficientnet_lite0, efficientnet_lite1, " \
        "efficientnet_lite2, and backbone.name='resnet18' (--backbone) has none" in ended.err
    ended = command("train", squares, "--scratch", "--weights", "imagenet", "--dry-run")
    assert ended.code == 2 and ended.err == (
        "lensmith: --scratch stands for learner.weights=none (--weights); got learner.weights=imagenet beside it: "
        "leave one of the two out\n")
    ended = command("train", squares, "--scratch", "--probe", "--runs", squares / "runs")
    assert ended.code == 2 and "this backbone has learned nothing yet" in ended.err


def test_another_backbone_on_the_recipe_of_a_run_leaves_its_weights_behind():
    run = {"backbone": {"name": "efficientnet_lite0"}, "pictures": {"interpolation": "bicubic", "size": 96},
           "learner": {"weights": "imagenet", "epochs": 3}}
    changed = switch(run, {"backbone.name": "resnet18"})
    assert changed == {"backbone": {"name": "resnet18"}, "pictures": {"size": 96}, "learner": {"epochs": 3}}
    assert switch(run, {"backbone.name": "efficientnet_lite0", "learner.epochs": None}) == run
    own = run | {"learner": {"weights": "my.pth"}}
    assert switch(own, {"backbone.name": "resnet18"})["learner"] == {"weights": "my.pth"}
    assert switch(run, {"backbone.name": "efficientnet_lite1", "learner.weights": "imagenet"})["learner"] == \
        {"weights": "imagenet", "epochs": 3}


def test_a_run_begins_with_them_and_goes_on_and_predicts_as_it_began(squares: Path, command, tmp_path: Path):
    ended = command("train", squares, *PLAIN, "--name", "one", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert "by efficientnet_lite0 from ImageNet weights at" in ended.err
    run = tmp_path / "one"
    weights = json.loads((run / "weights.json").read_text())
    assert weights["file"] == "imagenet" and weights["counts"]["unknown"] == 0
    assert weights["counts"]["missing"] == 2 and weights["counts"]["taken"] > 290    # all but the last layer
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    assert recipe["learner"]["weights"] == "imagenet" and recipe["pictures"]["interpolation"] == "bicubic"
    trained = lensmith.load(run)
    assert trained.form.interpolation == "bicubic"
    assert trained.network.mean.flatten().tolist() == [127.5] * 3
    assert trained.validate("test")["accuracy_top1"] == trained.metrics["test"]["accuracy_top1"]
    again = command("train", "--resume", run)
    assert again.code == 0, again.err
    assert command("train", run, "--dry-run").code == 0


def test_a_recipe_that_names_a_backbone_alone_goes_on_from_nothing(squares: Path, command, tmp_path: Path):
    """As recipes did that were written before there were weights by default."""
    path = tmp_path / "recipe.toml"
    path.write_text(f'data = {{name = "folder", path = "{squares}"}}\nbackbone = {{name = "mobilenet_v3_small"}}\n')
    recipe = resolved(command, path)
    assert "weights" not in recipe["learner"] and "interpolation" not in recipe["pictures"]


def test_the_last_layer_is_taken_where_there_are_its_thousand_classes():
    from lensmith.base.pictures import Form
    from lensmith.models.adapters.embedded_weights import embedded_weights, imagenet_classes
    from lensmith.models.backbones import BACKBONES
    from lensmith.models.network import Network
    from lensmith.recipe.starting_weights import begin_with

    def build(classes):
        backbone = BACKBONES["efficientnet_lite0"](inputs=3, size=(64, 64))
        return Network(backbone, backbone.classifier(len(classes["label"])), mean=[0.0] * 3, deviation=[1.0] * 3)

    names = imagenet_classes()
    published = embedded_weights("efficientnet_lite0", build({"label": names}).backbone)["head.dense.weight"]
    for classes in (names, tuple(reversed(names)), (*names[:999], "a unicorn"), ("tench", "goldfish")):
        network = build({"label": classes})
        begin_with(network, "imagenet", Form(3, 64, 64), name="efficientnet_lite0", classes={"label": classes},
                   build=build, from_zero=[(network, len(classes))])
        rows = network.head.dense.weight
        for name, row in zip(classes, rows, strict=True):
            known = name in names and len(classes) == 1000
            assert torch.equal(row, published[names.index(name)]) if known else not row.any()
