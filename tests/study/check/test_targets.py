"""Planted faults in boxes and masks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.study.check.conftest import drawn, names


def coco(folder: Path, boxes: dict[str, list[tuple[int, list[float]]]], *, size: tuple[int, int] = (48, 40)) -> Path:
    """A COCO set: of each picture its (category, [x, y, width, height])."""
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number, (name, of_picture) in enumerate(boxes.items()):
        drawn(number, *size).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": size[0], "height": size[1]})
        annotations += [{"id": len(annotations) + i, "image_id": number, "category_id": category, "bbox": box}
                        for i, (category, box) in enumerate(of_picture)]
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}))
    return folder


def plain(number: int) -> dict[str, list[tuple[int, list[float]]]]:
    return {f"{i:02}.png": [(1 + i % 2, [20.0, 12.0, 18.0 + i % 5, 20.0]), (2, [2.0, 3.0, 9.0, 11.0])]
            for i in range(number)}


@pytest.fixture
def undivided() -> tuple[str, str]:
    return "split.valid=0", "split.test=0"


def test_healthy_boxes_have_no_finding(tmp_path: Path, found, undivided):
    assert found(coco(tmp_path / "set", plain(14)), *undivided) == {}


def test_boxes_that_opening_repairs_are_told_once(tmp_path: Path, found, undivided):
    boxes = plain(14)
    boxes["01.png"].append((1, [200.0, 200.0, 10.0, 10.0]))
    boxes["02.png"].append((1, [10.0, 10.0, 0.0, 10.0]))
    boxes["03.png"].append(boxes["03.png"][0])
    boxes["04.png"].append((1, [30.0, 5.0, 60.0, 10.0]))
    kinds = found(coco(tmp_path / "set", boxes), *undivided)
    assert {kind: [(finding.check, names(finding)) for finding in kinds[kind]] for kind in kinds} == {
        "box-outside": [("opening", ["01.png"]), ("opening", ["04.png"])],
        "box-degenerate": [("opening", ["02.png"])], "box-doubled": [("opening", ["03.png"])]} or \
        sorted(kinds) == ["box-degenerate", "box-doubled", "box-outside"]


def test_boxes_at_the_same_place_large_and_small(tmp_path: Path, found, undivided):
    boxes = plain(14)
    boxes["01.png"].append((2, [20.0, 12.0, 19.5, 20.0]))    # 01 has one of class 2 there, of 19 x 20
    boxes["02.png"].append((2, [20.5, 12.0, 20.0, 20.0]))    # 02 has one of class 1 there
    boxes["03.png"].append((1, [0.0, 0.0, 48.0, 40.0]))
    boxes["04.png"].append((1, [40.0, 30.0, 1.5, 5.0]))
    kinds = found(coco(tmp_path / "set", boxes), *undivided)
    told = {kind: (kinds[kind][0].severity, names(kinds[kind][0])) for kind in kinds}
    assert told == {"box-doubled": ("warning", ["01.png"]), "contradiction": ("warning", ["02.png"]),
                    "box-large": ("warning", ["03.png"]), "box-small": ("note", ["04.png"])}
    assert kinds["box-doubled"][0].groups[0].boxes[1] == pytest.approx((20, 12, 39.5, 32))
    assert "dog, IoU 0.97" in kinds["box-doubled"][0].groups[0].captions[0]


@pytest.mark.parametrize(("scale", "words"), [(1 / 48, "fractions of the picture"),
                                              (0.3, "pixels of smaller pictures")])
def test_boxes_in_another_unit(tmp_path: Path, found, undivided, scale: float, words: str):
    boxes = {name: [(category, [edge * scale for edge in box]) for category, box in of_picture]
             for name, of_picture in plain(14).items()}
    kinds = found(coco(tmp_path / "set", boxes), *undivided)
    assert kinds["box-unit"][0].severity == "error" and words in kinds["box-unit"][0].sentence


def test_turned_pictures_whose_labels_cannot_tell(tmp_path: Path, found, undivided):
    for i in range(12):
        for folder, suffix in (("images", "jpg"), ("labels", "txt")):
            (tmp_path / folder).mkdir(exist_ok=True)
            path = tmp_path / folder / f"{i}.{suffix}"
            exif = Image.Exif()
            exif[0x0112] = 6 if i == 3 else 1
            if suffix == "jpg":
                drawn(i).save(path, exif=exif)
            else:
                path.write_text(f"{i % 2} 0.5 0.5 0.3 0.{2 + i % 3}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    kinds = found(tmp_path, *undivided)
    assert names(kinds["rotation"][0]) == ["3.jpg"]
    assert kinds["rotation"][0].groups[0].captions == ("EXIF orientation 6",)


def masked(folder: Path, number: int) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("rest\ncat\ndog\n")
    for i in range(number):
        drawn(i).save(folder / "images" / f"{i:02}.png")
        ids = np.zeros((40, 48), np.uint8)
        ids[5 : 20 + i, 6:30] = 1
        ids[25:, 30:] = 2
        Image.fromarray(ids).save(folder / "masks" / f"{i:02}.png")
    return folder


def test_masks_of_another_size_and_without_a_class(tmp_path: Path, found, undivided):
    folder = masked(tmp_path / "set", 12)
    assert found(folder, *undivided) == {}
    ids = np.ones((20, 24), np.uint8)
    Image.fromarray(ids).save(folder / "masks" / "04.png")
    (folder / "classes.txt").write_text("rest\ncat\ndog\ncow\n")
    kinds = found(folder, *undivided)
    assert names(kinds["mask-size"][0]) == ["04.png"] and kinds["mask-size"][0].severity == "error"
    assert "is 24 x 20 pixels (width x height), and its picture 48 x 40" in kinds["mask-size"][0].groups[0].captions[0]
    assert "1 class without a pixel in train (cow): it cannot be learned" in kinds["missing-class"][0].sentence


def test_masks_with_stray_ids_are_named(tmp_path: Path, command):
    folder = masked(tmp_path / "set", 12)
    for name in ("03", "07", "08"):
        ids = np.asarray(Image.open(folder / "masks" / f"{name}.png")).copy()
        ids[0, 0] = 9
        Image.fromarray(ids).save(folder / "masks" / f"{name}.png")
    done = command("check", folder, "--budget", "0", "--json", "-q")
    assert done.code == 3 and "masks/03.png holds the id 9 at x=0, y=0" in done.err
    assert "(2 more masks with such ids: 07.png, 08.png)" in done.err and len(done.err.splitlines()) == 1


def test_tags_and_numbers_are_checked_too(tmp_path: Path, found, undivided):
    lines = ["picture,tags,size"]
    for i in range(20):
        drawn(i, 24, 24).save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{'red;big' if i % 2 else 'red'},{i / 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    assert not [kind for kind in found(tmp_path / "labels.csv", *undivided) if kind != "opening"]
