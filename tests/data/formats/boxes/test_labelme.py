"""LabelMe files: which shapes have a box, which picture a file is of, and every entry that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.labelme import labelme


def shape(kind: str | None = "rectangle", points: Any = ((10, 20), (50, 60)), label: Any = "cat",
          **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, **more}


def write(folder: Path, name: str, *shapes: Any, **more: Any) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    page = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imageData": None} | more
    (folder / name).write_text(json.dumps(page))


def test_shapes_become_the_boxes_around_them(tmp_path, picture):
    picture("a.png")
    write(tmp_path, "a.json", shape(points=[[50, 60], [10, 20]]), shape("polygon", [[5, 5], [9, 7], [6, 30]], "dog"),
          shape("circle", [[100, 50], [103, 54]], " dog "), shape(None, [[1, 1], [2, 9], [7, 3]], "ant"),
          shape("point", [[3, 3]]), shape("linestrip", [[3, 3], [4, 4]]),
          shape(flags={"crowd": True}, points=[[0, 0], [9, 9]]),
          imagePath="a.png", imageWidth=200, imageHeight=99)
    parts = labelme(str(tmp_path))
    source = parts.splits["all"]
    boxes = source.targets["boxes"]
    assert source.classes == {"boxes": ("ant", "cat", "dog")} and boxes.classes.tolist() == [1, 2, 2, 0, 1]
    assert boxes.corners.tolist() == [[10, 20, 50, 60], [5, 5, 9, 30], [95, 45, 105, 55], [1, 1, 7, 9], [0, 0, 9, 9]]
    assert boxes.crowd.tolist() == [False] * 4 + [True] and parts.account["shapes_without_box"] == 2
    assert parts.account["size_differs"] == {"count": 1, "pictures": ["a.png"]}


def test_the_picture_of_a_file_and_what_has_none(tmp_path, picture):
    picture("pictures/far.png")
    for name in ("a.png", "b.png", "bare.png"):
        picture(f"json/{name}")
    write(tmp_path, "json/x.json", shape(), imagePath="..\\pictures\\far.png")
    write(tmp_path, "json/b.json", shape(), imagePath="moved/elsewhere.png")
    write(tmp_path, "json/gone.json", shape(), imagePath="gone.png")
    write(tmp_path, "json/a.json")
    (tmp_path / "json" / "notes.json").write_text('{"categories": []}')
    parts = labelme(str(tmp_path / "json"))
    assert [path.name for path in parts.splits["all"].paths] == ["a.png", "b.png", "far.png"]
    assert parts.account["labels_without_picture"] == {"count": 1, "files": ["gone.json"]}
    assert parts.account["unlabelled"] == {"count": 1, "taken_as": "leave", "pictures": ["bare.png"]}
    assert parts.account["background"] == {"all": 1}
    assert len(labelme(str(tmp_path / "json"), unlabelled="empty").splits["all"]) == 4
    with pytest.raises(DataError, match=r"1 picture without JSON file: .*bare.png. Label them"):
        labelme(str(tmp_path / "json"), unlabelled="refuse")


def test_folders_called_after_splits_divide_it(tmp_path, picture):
    for split in ("train", "val"):
        picture(f"{split}/a.png")
        write(tmp_path, f"{split}/a.json", shape())
    assert {split: source.name(0) for split, source in labelme(str(tmp_path)).splits.items()} == {
        "train": "train/a.png", "valid": "val/a.png"}


@pytest.mark.parametrize(("wrong", "said"), [
    (shape("polygon"), r"a.json, shapes\[0\]: a polygon has at least 3 points, this one 2"),
    (shape(points=[[1, 2]]), r"a rectangle has at least 2 points, this one 1"),
    (shape(points=[[1, 2], [3, "x"]]), r"a.json: shapes\[0\].points\[1\]\[1\]: Input should be a valid number"),
    (shape(points=[[1, 2, 3], [4, 5]]), r"shapes\[0\].points\[0\]"),
    (shape(label=None), r"shapes\[0\].label: Input should"),
    (shape(label=" "), r"shapes\[0\]: the object has no class"),
    (shape(points=[[1, 2], [3, float("inf")]]), r"shapes\[0\]: the box holds a number that is not finite"),
    (shape(label="dog"), r"shapes\[0\]: class 'dog' is not one of the accepted. Did you mean 'dogs'\?")])
def test_a_wrong_shape_is_named(wrong, said, tmp_path, picture):
    picture("a.png")
    write(tmp_path, "a.json", wrong)
    with pytest.raises(DataError, match=said):
        labelme(str(tmp_path), classes=["dogs", "cat"])


def test_what_is_no_set_is_said(tmp_path, picture):
    picture("a.png")
    with pytest.raises(DataError, match=r"holds no JSON file of LabelMe's \(with shapes\)"):
        labelme(str(tmp_path))
    (tmp_path / "a.json").write_text('{"shapes": [')
    with pytest.raises(DataError, match=r"a.json, line 1: is not JSON"):
        labelme(str(tmp_path))
    with pytest.raises(DataError, match=r"a.json is a file: give the folder"):
        labelme(str(tmp_path / "a.json"))
