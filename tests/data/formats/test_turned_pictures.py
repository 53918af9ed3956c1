"""Labels of pictures before their EXIF rotation are turned with the picture, in every format that can tell them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.orientation import upright_pixels
from lensmith.base.picture_headers import read_header
from lensmith.base.pictures import Form, decode
from lensmith.data.formats.boxes.coco import coco
from lensmith.data.formats.boxes.labelme import labelme
from lensmith.data.formats.boxes.turned_pictures import drawn_before_rotation
from lensmith.data.formats.boxes.voc import voc
from lensmith.data.formats.boxes.yolo import yolo
from lensmith.data.formats.masks.semantic_masks import labelled_pixels
from lensmith.data.formats.tables.table import open_table
from lensmith.data.sources.findings import findings
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.picture_form import survey

WIDTH, HEIGHT = 40, 24                              # of the files as they are stored
BOXES = [(3, 2, 15, 9), (22, 12, 38, 20)]           # x0 y0 x1 y1 there; the second one is beyond a portrait of 24
ORIENTATIONS = (3, 6, 8, 5, 7)


def white(path: Path, orientation: int) -> Path:
    """A black picture with white boxes, which EXIF turns."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    for x0, y0, x1, y1 in BOXES:
        pixels[y0:y1, x0:x1] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
    return path


def pictures(folder: Path) -> list[Path]:
    return [white(folder / f"p{orientation}.png", orientation) for orientation in ORIENTATIONS]


def as_coco(root: Path) -> Any:
    images = [{"id": i, "file_name": path.name, "width": WIDTH, "height": HEIGHT}
              for i, path in enumerate(pictures(root / "images"))]
    annotations = [{"id": 10 * i + number, "image_id": i, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]] if number else rle((x0, y0, x1, y1))}
                   for i in range(len(images)) for number, (x0, y0, x1, y1) in enumerate(BOXES)]
    (root / "a.json").write_text(json.dumps({"images": images, "annotations": annotations,
                                             "categories": [{"id": 1, "name": "white"}]}))
    return str(root / "a.json")


def rle(box: tuple[int, int, int, int]) -> dict[str, Any]:
    inside = np.zeros((HEIGHT, WIDTH), dtype=bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    changes = np.flatnonzero(np.diff(inside.T.ravel(), prepend=False))
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(np.concatenate(([0], changes, [inside.size]))).tolist()}


def as_voc(root: Path) -> str:
    pictures(root / "JPEGImages")
    (root / "Annotations").mkdir()
    objects = "".join(f"<object><name>white</name><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax>"
                      f"<ymax>{y1}</ymax></bndbox></object>" for x0, y0, x1, y1 in BOXES)
    for orientation in ORIENTATIONS:
        (root / "Annotations" / f"p{orientation}.xml").write_text(
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size>{objects}</annotation>")
    return str(root)


def as_labelme(root: Path) -> str:
    for path in pictures(root):
        path.with_suffix(".json").write_text(json.dumps({
            "imagePath": path.name, "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": [
                {"label": "white", "points": [[x0, y0], [x1, y1]], "shape_type": "rectangle"}
                for x0, y0, x1, y1 in BOXES]}))
    return str(root)


def as_table(root: Path) -> str:
    """Without a declared size: boxes beyond the picture that is shown tell it."""
    rows = [f"images/{path.name},{','.join(map(str, box))},white" for path in pictures(root / "images")
            for box in BOXES]
    (root / "boxes.csv").write_text("\n".join(["path,x0,y0,x1,y1,label", *rows]) + "\n")
    return str(root / "boxes.csv")


@pytest.mark.parametrize(("write", "read"), [(as_coco, coco), (as_voc, voc), (as_labelme, labelme),
                                             (as_table, open_table)])
def test_boxes_are_turned_with_their_pictures(write: Callable[[Path], str], read: Callable[..., Any],
                                              tmp_path: Path) -> None:
    parts = read(write(tmp_path))
    source = parts.splits["all"]
    boxes = source.targets["boxes"]
    assert len(boxes.classes) == 2 * len(ORIENTATIONS) and not parts.account["clipped"]
    for row, header in enumerate(survey(source).headers):
        assert header is not None
        shown = decode(source.paths[row], Form(1, header.height, header.width))[0][0] > 127
        painted = torch.zeros_like(shown)
        for x0, y0, x1, y1 in boxes[row].corners.round().int().tolist():
            painted[y0:y1, x0:x1] = True
        assert torch.equal(painted, shown)
    assert parts.account["turned"]["count"] == len(ORIENTATIONS) and parts.account["size_differs"]["count"] == 0
    assert any("before its EXIF rotation, turned with it" in each.sentence()
               for each in findings({"source": parts.account}))


def test_outlines_are_turned_too(tmp_path: Path) -> None:
    source = coco(as_coco(tmp_path), outlines=True).splits["all"]
    headers = [header for header in survey(source).headers if header is not None]
    form = Form(1, 40, 40, "pad")
    masks: Any = fit_source(source, headers, form).targets["masks"]
    for row, path in enumerate(source.paths):
        shown = decode(path, form)[0][0] > 200    # the padding is gray
        together = torch.stack([masks[row].mask(number) for number in range(2)]).any(0)
        assert torch.equal(together[:, :40], shown)


@pytest.mark.parametrize("kind", ["pixels", "coco"])
def test_masks_are_turned_too(kind: str, tmp_path: Path) -> None:
    if kind == "coco":
        parts = labelled_pixels(as_coco(tmp_path))
    else:
        mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
        for x0, y0, x1, y1 in BOXES:
            mask[y0:y1, x0:x1] = 1
        (tmp_path / "masks").mkdir()
        for path in pictures(tmp_path / "images"):
            pixels = mask if path.stem != "p3" else upright_pixels(mask, 3)    # of the same size: as it is shown
            Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "masks" / path.name)
        parts = labelled_pixels(str(tmp_path))
    source = parts.splits["all"]
    headers = [header for header in survey(source).headers if header is not None]
    form = Form(1, 40, 40, "pad")
    classes: Any = fit_source(source, headers, form).targets["mask"]
    for row, path in enumerate(source.paths):
        if kind == "pixels" or path.stem != "p3":
            shown = decode(path, form)[0][0] > 200
            assert torch.equal(classes.classes[row] == 1, shown)
    assert parts.account["turned"]["count"] == len(ORIENTATIONS) - 1


def headers_of(tmp_path: Path, *orientations: int) -> list[Any]:
    return [read_header(white(tmp_path / f"{i}.png", orientation)) for i, orientation in enumerate(orientations)]


def test_mere_differences_of_size_turn_nothing(tmp_path: Path) -> None:
    headers, none = headers_of(tmp_path, 1, 6, 6), np.zeros((0, 4))

    def before(declared: dict[int, tuple[float, float]], corners: np.ndarray = none,
               image: tuple[int, ...] = ()) -> list[bool]:
        return drawn_before_rotation(headers, declared, corners, np.array(image, dtype=np.int64)).tolist()

    assert before({}) == [False] * 3
    assert before({0: (HEIGHT, WIDTH)}) == [False] * 3            # not turned by EXIF: a mere difference
    assert before({1: (HEIGHT, WIDTH), 2: (HEIGHT, WIDTH)}) == [False] * 3    # as it is shown
    assert before({1: (WIDTH + 1, HEIGHT)}) == [False] * 3
    assert before({1: (WIDTH, HEIGHT)}) == [False, True, True]    # the other follows
    assert before({1: (WIDTH, HEIGHT), 2: (HEIGHT, WIDTH)}) == [False, True, False]
    beyond, within = np.array([[22.0, 12, 38, 20]]), np.array([[2.0, 12, 8, 20]])
    assert before({}, beyond, (1,)) == [False, True, True] and before({}, within, (1,)) == [False] * 3
    assert before({}, np.array([[5.0, 10, 20, 38]]), (1,)) == [False] * 3
    assert before({}, np.concatenate((beyond, [[5.0, 10, 20, 38]])), (1, 2)) == [False, True, False]
    assert before({}, np.array([[np.nan] * 4]), (1,)) == [False] * 3


@pytest.mark.parametrize(("line", "read"), [("0 0.5 0.5 0.2 0.2", yolo),
                                            ("0 0.1 0.1 0.5 0.1 0.5 0.5", labelled_pixels)])
def test_of_labels_in_fractions_nothing_says_whether_they_were_drawn_before(line: str, read: Callable[..., Any],
                                                                            tmp_path: Path) -> None:
    """A box in the middle fits either way: the pictures are counted and told with what to do."""
    for path in [*pictures(tmp_path / "images"), white(tmp_path / "images" / "p1.png", 1),
                 white(tmp_path / "images" / "empty.png", 6)]:
        label = tmp_path / "labels" / f"{path.stem}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("" if path.stem == "empty" else f"{line}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [white]\n")
    account = read(str(tmp_path)).account
    assert account["maybe_turned"]["count"] == len(ORIENTATIONS) and "turned" not in account
    (found,) = findings({"source": account})
    assert found.sentence() == (
        "5 of 7 pictures with an EXIF rotation, of which labels in fractions do not say whether they were drawn before "
        "it: taken as drawn on the picture as it is shown; where they were not, take the rotation off the files "
        "(exiftool -Orientation= FILE)")
    assert not found.lost and found.names == tuple(f"images/p{orientation}.png" for orientation in sorted(ORIENTATIONS))
