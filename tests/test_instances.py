"""Objects with their pixels from the command line to the report: trained, measured, predicted, resumed."""

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

import lensmith
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import open_data
from lensmith.recipe.sections import resolve
from lensmith.values.instance_masks import Masks

# Of pycocotools' own code.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
EXACT = {"backbone.width": 8, "task.width": 16, "task.prototypes": 8, "plan.threads": 1, "plan.mode": "exact",
         "optimizer.rate": 4e-3}


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO set of 40 pictures in two shapes, with bright diamonds and dark bars as polygons."""
    folder = tmp_path_factory.mktemp("cells")
    draw = np.random.default_rng(0)
    for part, count in (("train", 28), ("valid", 6), ("test", 6)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for number in range(count):
            width, height = (96, 64) if number % 2 else (64, 80)
            pixels = draw.integers(90, 130, (height, width, 3)).astype(np.uint8)
            y, x = np.mgrid[:height, :width] + 0.5
            lines = []
            for kind, (wide, high), shade in ((0, (28, 28), 240), (1, (34, 14), 10))[: number % 3]:
                left, top = draw.integers(0, width - wide), draw.integers(0, height - high)
                if kind:
                    inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
                    corners = [(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)]
                else:
                    inside = np.abs(x - left - 14) + np.abs(y - top - 14) < 14
                    corners = [(left, top + 14), (left + 14, top), (left + 28, top + 14), (left + 14, top + 28)]
                pixels[inside] = shade
                lines.append(f"{kind} {' '.join(f'{one / width} {two / height}' for one, two in corners)}\n")
            Image.fromarray(pixels).save(folder / "images" / part / f"{number}.png")
            (folder / "labels" / part / f"{number}.txt").write_text("".join(lines))
    (folder / "data.yaml").write_text("train: images/train\nval: images/valid\ntest: images/test\n"
                                      "names: [diamond, bar]\n")
    return folder


@pytest.fixture(scope="module")
def trained(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the cells that learned something."""
    runs = tmp_path_factory.mktemp("runs")
    return lensmith.train(cells, task="instances", backbone="csp", epochs=30, batch=7, device="cpu", name="cells",
                          runs=runs, settings=EXACT).folder


def size_of(file: Path) -> tuple[int, int]:
    with Image.open(file) as picture:
        return picture.size


def test_a_run_on_masks_has_all_that_a_run_has(trained: Path):
    metrics = json.loads((trained / "metrics.json").read_text())["test"]
    assert metrics["mask_mAP50"] > 0.5 and metrics["box_mAP50"] > 0.5
    assert metrics["intervals"]["mask_mAP50"][0] <= metrics["mask_mAP50"]
    rows = metrics["details"]["per_class"]
    assert {row["class"] for row in rows} == {"diamond", "bar"} and "box AP50-95" in rows[0]
    account = json.loads((trained / "data.json").read_text())
    assert account["form"]["fit"] == "pad" and account["boxes"]["boxes"] > 20
    text = (trained / "report.html").read_text()
    assert "over how exactly a mask has to fit" in text and "box AP50-95" in text
    pictures = [row for row in metrics["worst"] if row["target"] == "masks"]
    for row in pictures[:1]:
        with Image.open(trained / row["picture"]) as sheet:
            assert sheet.width > sheet.height    # the truth and what was found, side by side


def test_a_run_is_measured_again_the_same(trained: Path, cells: Path, command):
    ended = command("val", trained, "--json")
    assert ended.code == 0, ended.err
    again = json.loads(ended.out)
    kept = json.loads((trained / "metrics.json").read_text())["test"]["mask_mAP50-95"]
    assert again["mask_mAP50-95"] == pytest.approx(kept, abs=1e-9)


def test_predictions_are_in_the_files_own_pixels(trained: Path, cells: Path, tmp_path: Path, command):
    folder = cells / "images" / "test"
    ended = command("predict", trained, folder, "--out", tmp_path / "out", "--threshold", "0.3", "--json")
    assert ended.code == 0, ended.err
    files = sorted(folder.iterdir())
    said = json.loads((tmp_path / "out" / "predictions.json").read_text())
    found = lensmith.load(trained).predict(files, threshold=0.3)
    shared = []
    for file, one, plain in zip(files, found, said, strict=True):
        wide, high = size_of(file)
        with Image.open(file) as picture:
            bright = np.asarray(picture)[:, :, 0] > 200
        masks = one.masks
        assert isinstance(masks, Masks) and masks.bits.shape[1:] == (high, -(-wide // 8))
        assert [row["pixels"] for row in plain["objects"]] == [int(masks.mask(row).sum())
                                                               for row in range(len(masks.classes))]
        diamonds = [masks.mask(row)[:, :wide].numpy() for row in (masks.classes == 0).nonzero()[:, 0].tolist()]
        if diamonds and bright.any():
            shared.append((diamonds[0] & bright).sum() / (diamonds[0] | bright).sum())
    assert len(shared) > 1 and np.mean(shared) > 0.6
    with open(tmp_path / "out" / "predictions.csv") as file:
        assert "pixels" in next(csv.reader(file))
    results = json.loads((tmp_path / "out" / "coco_results.json").read_text())
    listed = [size_of(file) for file in files]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"info": {}, "images": [{"id": int(file.stem), "width": wide, "height": high}
                                               for file, (wide, high) in zip(files, listed, strict=True)],
                        "annotations": [], "categories": [{"id": 1, "name": "diamond"}, {"id": 2, "name": "bar"}]}
        coco.createIndex()
        read = coco.loadRes(results)
    for file, one in zip(files, found, strict=True):
        rows = read.loadAnns(read.getAnnIds(imgIds=[int(file.stem)]))
        for row, number in zip(rows, range(len(one.masks.classes)), strict=True):
            mask = read.annToMask(row).astype(bool)
            assert np.array_equal(mask, one.masks.mask(number)[:, : mask.shape[1]].numpy())
    drawn = sorted((tmp_path / "out").glob("*.jpg"))
    assert len(drawn) == len(files)
    with Image.open(drawn[0]) as sheet:
        assert sheet.size == listed[0]


def test_a_resumed_run_ends_with_the_same_bits(cells: Path, tmp_path: Path):
    """With mosaic, zoom and mixup, stopped in the middle of an epoch."""
    def stop(report):
        if report.step == 6:
            raise KeyboardInterrupt

    settings = EXACT | {"augment.mosaic": 0.7, "augment.zoom": [0.5, 1.5], "augment.flip": True, "augment.mixup": 0.2,
                        "run.save_every": 0.0}
    given = {"task": "instances", "backbone": "csp", "epochs": 3, "batch": 7, "device": "cpu", "runs": tmp_path,
             "settings": settings}
    whole = lensmith.train(cells, name="whole", **given)
    with pytest.raises(KeyboardInterrupt):
        lensmith.train(cells, name="cut", show=stop, **given)
    gone_on = lensmith.resume(tmp_path / "cut")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, gone_on.network.state_dict()[name]), name


def test_kept_streamed_and_any_workers_give_the_same_batches(cells: Path):
    seen = []
    for memory, workers in ((0.9, 0), (0.0, 0), (0.0, 2)):
        recipe = resolve({"data": {"name": "yolo", "path": str(cells)}, "task": {"name": "instances"},
                          "loading": {"memory": memory, "disk": 0.0, "workers": workers, "batch": 7},
                          "learner": {"epochs": 4}}, trusted=False)
        data = open_data(recipe, whole=True)
        full = complete(recipe, data.classes, data.form)
        task = choose_task(full, data.classes, targets=data.splits["train"].targets)
        loaders = make_loaders(full, data, task, ProcessGroup())
        seen.append([batch for epoch in (0, 3) for batch in loaders["train"].at(epoch, 1)] + list(loaders["valid"]))
    for others in seen[1:]:
        for own, its in zip(seen[0], others, strict=True):
            assert torch.equal(own.images, its.images)
            for name, tensor in own.targets["masks"]._tensors().items():
                assert torch.equal(tensor, getattr(its.targets["masks"], name)), name
    masks = seen[0][0].targets["masks"]
    assert isinstance(masks, Masks) and masks.bits.dtype == torch.uint8 and len(masks.classes) > 7    # a mosaic's


def test_shapes_know_their_masks(tmp_path: Path, command):
    ended = command("train", "shapes", "data.count=60", "data.size=32", "--task", "instances", "--epochs", 1, "--runs",
                    tmp_path, "--name", "one", "--plan", "exact", "--device", "cpu", "-q")
    assert ended.code == 0, ended.err
    assert "mask_mAP50-95" in ended.out


@pytest.mark.slow
def test_mask_rcnn_trains_and_predicts(cells: Path, tmp_path: Path, command):
    ended = command("train", cells, "--task", "instances", "--backbone", "maskrcnn_resnet50_fpn", "--size", 64,
                    "--epochs", 1, "--batch", 4, "--device", "cpu", "plan.threads=1", "--plan", "exact", "--name",
                    "one", "--runs", tmp_path, "-q", "loading.fraction=0.2")
    assert ended.code == 0, ended.err
    predicted = command("predict", tmp_path / "one", cells / "images" / "test", "--threshold", "0", "--json")
    assert predicted.code == 0, predicted.err
    assert len(json.loads(predicted.out)) == 6


@pytest.mark.parametrize(("arguments", "code", "text"), [
    (["augment.cutmix=1.0"], 2, "augment.cutmix=1 hides objects whose boxes stay: use augment.mixup"),
    (["--backbone", "ssd300_vgg16", "--size", "300"], 2, "gives no masks of objects: take a backbone for task "
                                                         "'instances'"),
    (["task.prototypes=0"], 2, "task.prototypes=0 cannot be: accepted is 1 or more"),
])
def test_what_cannot_be_is_said_in_one_line(cells: Path, tmp_path: Path, command, arguments, code, text):
    ended = command("train", cells, "--task", "instances", *arguments, "--epochs", 1, "--runs", tmp_path, "--plan",
                    "exact")
    said = [line for line in ended.err.splitlines() if not line.startswith("decoding")]
    assert ended.code == code and len(said) == 1 and text in said[0], ended.err


def test_a_set_with_boxes_alone_says_the_next_step(cells: Path, tmp_path: Path, command):
    (tmp_path / "boxes").mkdir()
    for number in range(10):
        Image.new("RGB", (64, 64)).save(tmp_path / "boxes" / f"{number}.png")
        (tmp_path / "boxes" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>64</width><height>64</height><depth>3</depth>"
            "</size><object><name>cat</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>30</xmax><ymax>30</ymax></bndbox>"
            "</object></annotation>")
    ended = command("train", tmp_path / "boxes", "--task", "instances", "--runs", tmp_path)
    assert ended.code == 2 and "gives boxes; task 'instances' needs masks" in ended.err
    assert "learn the boxes with task.name=detection (--task)" in ended.err
