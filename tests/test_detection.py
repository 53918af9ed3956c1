"""Objects from the command line to the report: trained, measured, predicted, resumed; Darknet's files both ways."""

import csv
import json
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lensmith
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.models.adapters.torchvision_detectors import DETECTORS
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO set of 40 pictures in two shapes, with bright squares and dark bars."""
    folder = tmp_path_factory.mktemp("cells")
    draw = np.random.default_rng(0)
    for part, count in (("train", 28), ("valid", 6), ("test", 6)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(count):
            width, height = (96, 64) if number % 2 else (64, 80)
            pixels = draw.integers(90, 130, (height, width, 3)).astype(np.uint8)
            lines = []
            for kind, (wide, high), shade in ((0, (20, 20), 240), (1, (30, 10), 10))[: number % 3]:
                x, y = draw.integers(0, width - wide), draw.integers(0, height - high)
                pixels[y : y + high, x : x + wide] = shade
                lines.append(f"{kind} {(x + wide / 2) / width} {(y + high / 2) / height} {wide / width} "
                             f"{high / height}\n")
            Image.fromarray(pixels).save(folder / "images" / part / f"{number}.png")
            (folder / "labels" / part / f"{number}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: images/train\nval: images/valid\ntest: images/test\n"
                                      "names: [square, bar]\n")
    return folder


@pytest.fixture(scope="module")
def trained(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the cells that learned something."""
    runs = tmp_path_factory.mktemp("runs")
    return lensmith.train(cells, task="detection", backbone="csp", epochs=30, batch=7, device="cpu", name="cells",
                          runs=runs, settings={"backbone.width": 8, "task.width": 16, "plan.threads": 1,
                                               "plan.mode": "exact", "optimizer.rate": 4e-3}).folder


def size_of(file: Path | str) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def test_a_run_on_boxes_has_all_that_a_run_has(trained: Path, cells: Path):
    found = json.loads((trained / "metrics.json").read_text())["test"]
    assert found["mAP50"] > 0.3    # 28 pictures, a minute of one core
    data = json.loads((trained / "data.json").read_text())
    assert data["form"]["fit"] == "pad" and data["classes"] == {"boxes": ["square", "bar"]}
    page = (trained / "report.html").read_text()
    assert "mAP50" in page and "square" in page and "background" in page
    assert list((trained / "pictures").glob("test-worst-*.png"))
    recipe = (trained / "recipe.toml").read_text()
    assert 'name = "yolo"' in recipe and "mosaic = 1.0" in recipe


def test_the_same_numbers_are_measured_again(trained: Path, cells: Path, command):
    wanted = json.loads((trained / "metrics.json").read_text())["test"]
    ended = command("val", trained, "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["mAP50-95"] == pytest.approx(wanted["mAP50-95"], abs=1e-6)
    other = command("val", trained, "--data", cells, "--split", "test", "--json")
    assert other.code == 0, other.err
    assert json.loads(other.out)["mAP50-95"] == pytest.approx(wanted["mAP50-95"], abs=1e-6)


def test_predictions_are_in_the_files_pixels(trained: Path, cells: Path, tmp_path: Path, command):
    out = tmp_path / "out"
    ended = command("predict", trained, cells / "images" / "test", "--out", out, "--threshold", "0.05", "--json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    assert len(rows) == 6 and {"boxes", "file"} <= set(rows[0])
    for row in rows:
        width, height = size_of(row["file"])
        for box in row["boxes"]:
            x0, y0, x1, y1 = box["corners"]
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
    with open(out / "predictions.csv", newline="") as lines:
        table = list(csv.DictReader(lines))
    assert {row["label"] for row in table if row.get("label")} <= {"square", "bar"}
    results = json.loads((out / "coco_results.json").read_text())
    assert all(set(one) >= {"bbox", "score", "category_id", "image_id"} for one in results)
    assert len(list((out / "labels").glob("*.txt"))) == 6
    only = command("predict", trained, cells / "images" / "test", "--threshold", "0.05", "--classes", "bar", "--json")
    assert {box["label"] for row in json.loads(only.out) for box in row["boxes"]} <= {"bar"}


def test_the_categories_of_a_coco_file_are_those_of_what_is_found(trained: Path, cells: Path, tmp_path: Path, command):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(trained, run)
    facts = json.loads((run / "data.json").read_text())
    facts["source"]["category_ids"] = [3, 18]    # as of a set in COCO's form with gaps between its numbers
    (run / "data.json").write_text(json.dumps(facts))
    ended = command("predict", run, cells / "images" / "test", "--out", out, "--threshold", "0.05")
    assert ended.code == 0, ended.err
    assert {one["category_id"] for one in json.loads((out / "coco_results.json").read_text())} == {3, 18}


def test_truth_and_prediction_agree_where_it_was_trained(trained: Path, cells: Path):
    """The way back from the network's pixels, by a picture whose truth the file says."""
    best = 0.0
    for file in sorted((cells / "images" / "train").iterdir()):
        lines = (cells / "labels" / "train" / f"{file.stem}.txt").read_text().splitlines()
        if not lines:
            continue
        kind, x, y, wide, high = map(float, lines[0].split())
        width, height = size_of(file)
        truth = [(x - wide / 2) * width, (y - high / 2) * height, (x + wide / 2) * width, (y + high / 2) * height]
        (found,) = lensmith.load(trained).predict(file, threshold=0.01)
        assert found.boxes is not None
        same = found.boxes.corners[found.boxes.classes == int(kind)]
        if len(same):
            best = max(best, float(_overlap(torch.tensor(truth), same).max()))
    assert best > 0.7


def _overlap(one: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    low, high = torch.maximum(one[:2], others[:, :2]), torch.minimum(one[2:], others[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1)
    return inner / (areas + (one[2:] - one[:2]).prod() - inner)


@pytest.mark.parametrize("name", ["ssdlite320_mobilenet_v3_large", *(
    pytest.param(one, marks=pytest.mark.slow) for one in DETECTORS if not one.startswith("ssdlite"))])
def test_torchvisions_detectors_train_and_predict(cells: Path, tmp_path: Path, command, name: str):
    ended = command("train", cells, "--backbone", name, "--size", 320 if name.startswith("ssd") else 64, "--epochs", 1,
                    "--batch", 4, "--device", "cpu", "plan.threads=1", "--plan", "exact", "--name", "one", "--runs",
                    tmp_path, "-q", "loading.fraction=0.3")
    assert ended.code == 0, ended.err
    assert "mAP50" in ended.out
    history = (tmp_path / "one" / "history.csv").read_text().splitlines()
    assert "train/loss" in history[0] and "valid/loss" not in history[0]
    predicted = command("predict", tmp_path / "one", cells / "images" / "test", "--threshold", "0", "--json")
    assert predicted.code == 0, predicted.err
    assert len(json.loads(predicted.out)) == 6


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["augment.cutmix=1.0"], 2, "augment.cutmix=1 hides objects whose boxes stay: use augment.mixup"),
    (["--task", "classification"], 2, "gives boxes; task 'classification' needs label"),
    (["--backbone", "ssd300_vgg16", "--size", "64"], 4, "cannot take pictures of 64 x 64 pixels: take larger"),
    (["--backbone", "fcos_resnet50_fpn", "pictures.channels=1"], 4, "takes pictures of 3 channels; these have 1"),
    (["--backbone", "darknet", "backbone.cfg=lost.cfg"], 4, "cannot read the cfg"),
    (["--task", "detection", "task.threshold=2"], 2, "task.threshold=2.0 cannot be: accepted is 0 <= threshold < 1"),
    (["--task", "detection", "task.suppression=gone"], 2,
     "suppression must be 'batched', 'agnostic', 'soft' or 'diou'; got 'gone'"),
    (["backbone.width=8"], 2,
     "section [backbone] sets width and names no network: give it as backbone.name=NAME (--backbone); "),
])
def test_wrong_settings_are_told_in_a_line(cells: Path, tmp_path: Path, command, arguments, code, text):
    ended = command("train", cells, "--epochs", 1, "--device", "cpu", *arguments, "--runs", tmp_path / "runs", "-q")
    assert ended.code == code, ended.err
    assert text in ended.err and ended.err.count("\n") == 1


def test_wrong_words_about_predictions_are_told(trained: Path, cells: Path, tmp_path: Path, command):
    picture = cells / "images" / "test" / "0.png"
    for arguments, text in ((["--classes", "sqare"], "knows no class 'sqare'. Did you mean 'square'?"),
                            (["--threshold", "1.5"],
                             "predict.threshold=1.5 (--threshold) is not possible: accepted is 0 .. 1"),
                            (["--iou", "2"], "predict.overlap=2 (--iou) is not possible: accepted is 0 .. 1"),
                            (["--cfg", "a.cfg"], "--cfg and --weights go together")):
        ended = command("predict", trained, picture, *arguments)
        assert ended.code == 2 and text in ended.err
    lonely = tmp_path / "other"
    (lonely / "images").mkdir(parents=True)
    (lonely / "labels").mkdir()
    (lonely / "images" / "a.png").write_bytes(picture.read_bytes())
    (lonely / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (lonely / "data.yaml").write_text("train: images\nnames: [triangle]\n")
    ended = command("val", trained, "--data", lonely)
    assert ended.code == 3 and "has the class 'triangle', which the network does not know" in ended.err


def darknet(name: str) -> Path:
    path = Path(os.environ.get("LENSMITH_DATA", "")) / "darknet" / name
    if not path.is_file():
        pytest.skip(f"darknet/{name} is not in LENSMITH_DATA")
    return path


def test_darknets_files_become_a_run_folder_and_go_back(tmp_path: Path, command):
    cfg, weights = darknet("yolo-fastest-1.1.cfg"), darknet("yolo-fastest-1.1.weights")
    run = tmp_path / "runs" / "fastest"
    ended = command("convert", cfg, weights, run, "--names", darknet("coco.names"))
    assert ended.code == 0, ended.err
    assert "80" in ended.out
    dog = darknet("dog.jpg")
    said = command("predict", run, dog, "--json")
    direct = command("predict", "--cfg", cfg, "--weights", weights, "--names", darknet("coco.names"), dog, "--json")
    assert json.loads(said.out) == json.loads(direct.out)
    assert {"dog", "bicycle", "car"} <= {box["label"] for box in json.loads(said.out)[0]["boxes"]}
    (found,) = lensmith.darknet(cfg, weights, darknet("coco.names")).predict(dog)
    assert found.boxes is not None and len(found.boxes.classes) == len(json.loads(said.out)[0]["boxes"])
    back = command("convert", run, tmp_path / "back.cfg", tmp_path / "back.weights")
    assert back.code == 0, back.err
    assert (tmp_path / "back.cfg").read_bytes() == cfg.read_bytes()
    assert (tmp_path / "back.weights").read_bytes() == weights.read_bytes()
    alone = command("train", run, "--epochs", 1)
    assert alone.code == 4 and "has no data of its own: train other data from its weights, as in" in alone.err
    moved = run.rename(tmp_path / "elsewhere")    # the folder holds all that it needs
    assert json.loads(command("predict", moved, dog, "--json").out)[0]["boxes"]
    nothing = command("val", moved)
    assert nothing.code == 4
    assert "has no data of its own: name some to measure on, with validate.data (--data)" in nothing.err


def test_a_darknet_network_learns_other_classes(cells: Path, tmp_path: Path, command):
    cfg, weights = darknet("yolo-fastest-1.1.cfg"), darknet("yolo-fastest-1.1.weights")
    ended = command("train", cells, "--task", "yolov3", "--backbone", "darknet", f"backbone.cfg={cfg}", "--weights",
                    weights, "--size", 96, "--epochs", 1, "--batch", 14, "--device", "cpu", "--plan", "exact",
                    "plan.threads=1", "--name", "tuned", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert "tensors taken; 4 tensors of another shape left fresh" in ended.err
    assert "deviation 255, 255, 255" in ended.err
    shown = command("predict", tmp_path / "tuned", cells / "images" / "test" / "1.png", "--threshold", "0", "--json")
    assert {box["label"] for box in json.loads(shown.out)[0]["boxes"]} <= {"square", "bar"}
    back = command("convert", tmp_path / "tuned", tmp_path / "tuned.cfg", tmp_path / "tuned.weights")
    assert back.code == 0, back.err
    again = command("predict", "--cfg", tmp_path / "tuned.cfg", "--weights", tmp_path / "tuned.weights",
                    cells / "images" / "test" / "1.png", "--threshold", "0", "--json")
    assert again.code == 0, again.err
    same = [[(box["corners"], box["score"]) for box in json.loads(one.out)[0]["boxes"]] for one in (shown, again)]
    assert len(same[0]) > 9
    for (corners, score), (others, other) in zip(*same, strict=True):    # of the run's own size, 96
        assert np.allclose(corners, others, atol=0.02) and score == pytest.approx(other, abs=1e-4)


def test_a_gray_darknet_learns_from_nothing_and_is_written_as_its_files(cells: Path, tmp_path: Path, command):
    cfg = tmp_path / "own.cfg"
    cfg.write_text("[net]\nwidth=32\nheight=32\nchannels=1\n[conv]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=8\n"
                   "pad=1\nactivation=leaky\n[conv]\nfilters=14\nactivation=linear\n[yolo]\nclasses=2\nnum=2\nmask=0,1\n"
                   "anchors=20,20, 30,10\n")
    common = ("--size", 64, "--epochs", 1, "--batch", 14, "--device", "cpu", "--plan", "exact", "plan.threads=1",
              "pictures.channels=1", "--runs", tmp_path, "-q")
    ended = command("train", cells, "--task", "yolov3", "--backbone", "darknet", f"backbone.cfg={cfg}", "--name", "one",
                    *common)
    assert ended.code == 0, ended.err
    back = command("convert", tmp_path / "one", tmp_path / "back.cfg", tmp_path / "back.weights")
    assert back.code == 0, back.err
    assert (tmp_path / "back.cfg").read_text() == cfg.read_text().replace("32", "64")
    again = command("train", cells, "--weights", tmp_path / "one", "--name", "two", *common)    # a gray network's
    assert again.code == 0, again.err


@pytest.mark.parametrize("to", ["yolo", "coco", "voc", "csv", "labelme"])
def test_a_set_is_written_in_any_format_and_read_again(cells: Path, tmp_path: Path, command, to: str):
    ended = command("convert", cells, tmp_path / to, "--to", to, "--images", "copy")
    assert ended.code == 0, ended.err
    shown = command("data", "show", tmp_path / to, "--json")
    assert shown.code == 0, shown.err
    counts = {part: one["count"] for part, one in json.loads(shown.out)["splits"].items()}
    assert sum(counts.values()) == 40


@pytest.mark.parametrize(("arguments", "text"), [
    (["a.cfg"], "lensmith convert takes CFG WEIGHTS RUN"),
    (["data", "folder", "--to", "pascal"], "pascal"),
    (["a.cfg", "b.weights", "run", "--names", "lost.names"], "cannot read the cfg a.cfg"),
])
def test_wrong_conversions_are_told(arguments, text, command, cells: Path):
    ended = command("convert", *[cells if one == "data" else one for one in arguments])
    assert ended.code in (2, 3, 4) and text in ended.err and ended.err.count("\n") == 1


def test_the_network_of_the_weights_is_taken_where_none_is_named(trained: Path, cells: Path, tmp_path: Path, command):
    ended = command("train", cells, "--weights", trained, "--dry-run")
    assert ended.code == 0, ended.err
    recipe = tomllib.loads(ended.out)
    assert recipe["backbone"] == {"name": "csp", "width": 8} and recipe["task"]["width"] == 16
    other = command("train", cells, "--weights", trained, "--backbone", "cnn3", "--dry-run")    # as a training would
    assert other.code == 4 and "cnn3" in other.err and other.err.count("\n") == 1, other.err


def test_processes_measure_the_batches_that_one_would(cells: Path):
    """Pictures of like shape come together before they are shared out, so that the same ground is cut away."""
    recipe = resolve({"data": {"name": "yolo", "path": str(cells)}, "loading": {"batch": 2}, "pictures": {"size": 640},
                      "backbone": {"name": "csp"}}, trusted=False)
    data = open_data(recipe)
    recipe = complete(recipe, data.classes, data.form)
    task = choose_task(recipe, data.classes)
    alone = list(make_loaders(recipe, data, task)["valid"])
    shared = [batch for rank in range(2) for batch in make_loaders(recipe, data, task, ProcessGroup(rank, 2))["valid"]]
    assert len({batch.images.shape for batch in alone}) == 3
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one.images, other.images)
        assert [place.file for place in one.places] == [place.file for place in other.places]
