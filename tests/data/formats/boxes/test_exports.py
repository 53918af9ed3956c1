"""The exports of VIA, CVAT and Label Studio: what they are taken for, their objects, and every entry that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.data.formats.boxes.cvat import cvat
from lensmith.data.formats.boxes.label_studio import label_studio
from lensmith.data.formats.boxes.via import via
from lensmith.data.formats.detect import recognise

SIZE = (40, 20)    # width, height of every picture
OPEN = {"via": via, "cvat": cvat, "label-studio": label_studio}
BOX, POLYGON = (4.0, 2.0, 14.0, 12.0), (20.0, 2.0, 30.0, 18.0)    # of a red rectangle and of a blue polygon in a.png
POINTS = [(20.0, 2.0), (30.0, 10.0), (25.0, 18.0)]


def save(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(root / name)


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = region({"name": "rect", "x": 4, "y": 2, "width": 10, "height": 10}, label="red")
POLY = region({"name": "polygon", "all_points_x": [x for x, _ in POINTS], "all_points_y": [y for _, y in POINTS]},
              label="blue")
POINT = region({"name": "point", "cx": 3, "cy": 3}, label="red")


def via_json(regions: Any) -> dict[str, Any]:
    return {"a.png123": {"filename": "a.png", "size": 123, "regions": regions, "file_attributes": {}},
            "b.png9": {"filename": "b.png", "size": 9, "regions": [], "file_attributes": {}}}


def via_csv() -> str:
    rows = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for i, one in enumerate((RECT, POLY, POINT)):
        cells = [json.dumps(one[name]).replace('"', '""') for name in ("shape_attributes", "region_attributes")]
        rows.append(f'a.png,123,"{{}}",3,{i},"{cells[0]}","{cells[1]}"')
    return "\n".join([*rows, 'b.png,9,"{}",0,0,"{}","{}"']) + "\n"


def cvat_xml(shapes: str | None = None, subset: str = "") -> str:
    points = ";".join(f"{x},{y}" for x, y in POINTS)
    shapes = shapes if shapes is not None else (
        f'<box label="red" occluded="0" xtl="4" ytl="2" xbr="14" ybr="12"/><polygon label="blue" points="{points}"/>'
        '<points label="red" points="3,3"/><tag label="day"/>')
    return ('<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task/></meta>'
            f'<image id="0" name="sub/a.png" {subset} width="40" height="20">{shapes}</image>'
            f'<image id="1" name="sub\\b.png" {subset.replace("rain", "est")} width="40" height="20"/></annotations>')


def result(kind: str, label: str, **value: Any) -> dict[str, Any]:
    return {"type": kind, "original_width": 40, "original_height": 20, "value": value | {kind: [label]}}


RESULTS = [result("rectanglelabels", "red", x=10, y=10, width=25, height=50, rotation=0),
           result("polygonlabels", "blue", points=[[100 * x / 40, 100 * y / 20] for x, y in POINTS]),
           result("keypointlabels", "red", x=10, y=10, width=1),
           {"type": "choices", "value": {"choices": ["day"]}}]


def tasks(results: Any = RESULTS) -> list[dict[str, Any]]:
    return [{"id": 1, "data": {"image": "/data/upload/1/1a2b3c4d-a.png"}, "annotations": [
                {"was_cancelled": True, "result": []}, {"result": results}]},
            {"id": 2, "data": {"image": "/data/local-files/?d=set/b.png"}, "annotations": [{"result": []}]}]


def least() -> list[dict[str, Any]]:
    values = [one["value"] | {"original_width": 40, "original_height": 20} for one in RESULTS[:3]]
    return [{"image": "s3://bucket/x/a.png?sign=1", "id": 1, "label": values[:1], "outline": values[1:]},
            {"image": "b.png", "id": 2}]


MADE: dict[str, tuple[str, str, Any]] = {
    "via": ("via", "via_region_data.json", via_json([RECT, POLY, POINT])),
    "via of 1": ("via", "any.json", via_json({"0": RECT, "1": POLY, "2": POINT})),
    "a project of via": ("via", "project.json", {"_via_settings": {},
                                                  "_via_img_metadata": via_json([RECT, POLY, POINT])}),
    "via as csv": ("via", "via_export_csv.csv", via_csv()),
    "cvat": ("cvat", "annotations.xml", cvat_xml()),
    "label studio": ("label-studio", "project-1-at-2024.json", tasks()),
    "label studio, the least": ("label-studio", "result.json", least()),
}


def write(root: Path, how: str) -> Path:
    _, name, content = MADE[how]
    save(root, "images/sub/a.png" if "cvat" in how else "images/a.png",
         "images/sub/b.png" if "cvat" in how else "images/b.png")
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return root / name


@pytest.mark.parametrize("how", MADE)
def test_an_export_is_known_and_gives_its_objects(how: str, tmp_path: Path):
    file, kind = write(tmp_path, how), MADE[how][0]
    assert recognise(tmp_path) == kind == recognise(file)
    for path in (tmp_path, file):
        opened = OPEN[kind](str(path))
        source = opened.splits["all"]
        assert [path.name for path in source.paths] == ["a.png", "b.png"]
        boxes = source.targets["boxes"]
        assert source.classes == {"boxes": ("blue", "red")} and boxes.image.tolist() == [0, 0]
        corners = [tuple(box) for box in boxes.corners.tolist()]
        assert dict(zip(boxes.classes.tolist(), corners, strict=True)) == {1: BOX, 0: POLYGON}
        assert opened.account["shapes_without_box"] == 1 and opened.account["background"] == {"all": 1}
    masks = OPEN[kind](str(tmp_path), outlines=True)
    assert len(masks.splits["all"].targets["masks"].classes) == 1 and masks.account["without_outline"] == 1


def test_what_is_not_there_is_counted_and_with_all_missing_an_error(tmp_path: Path):
    file = write(tmp_path, "via")
    (tmp_path / "images/b.png").unlink()
    assert via(str(tmp_path)).account["labels_without_picture"] == {"count": 1, "files": ["b.png"]}
    (tmp_path / "images/a.png").unlink()
    with pytest.raises(DataError, match=r"via_region_data.json lists 'a.png' and more, none of which is in or below "):
        via(str(file))
    save(tmp_path, "photos here/a.png")
    assert len(via(str(tmp_path), images="photos here").splits["all"]) == 1
    with pytest.raises(DataError, match="data.images=.*none is no folder"):
        via(str(tmp_path), images="none")


def test_via_by_split_and_its_attributes(tmp_path: Path):
    for split in ("train", "val"):
        save(tmp_path, f"{split}/a.png", f"{split}/b.png")
        ticked = region(RECT["shape_attributes"], kind={"cat": False, "dog": True})
        (tmp_path / split / "via_region_data.json").write_text(json.dumps(via_json([ticked])))
    opened = via(str(tmp_path))
    assert recognise(tmp_path) == "via" and list(opened.splits) == ["train", "valid"]
    assert opened.splits["train"].classes["boxes"] == ("dog",)
    bare = region(RECT["shape_attributes"])
    two = region(RECT["shape_attributes"], colour="red", size="big")
    for regions, settings, name in [([bare], {}, "object"), ([two], {}, "object"),
                                    ([two], {"attribute": "size"}, "big")]:
        (tmp_path / "one.json").write_text(json.dumps(via_json(regions)))
        save(tmp_path, "a.png", "b.png")
        assert via(str(tmp_path / "one.json"), **settings).splits["all"].classes["boxes"] == (name,)


@pytest.mark.parametrize(("shape", "box"), [
    ({"name": "circle", "cx": 10, "cy": 10, "r": 4}, (6, 6, 14, 14)),
    ({"name": "ellipse", "cx": 10, "cy": 10, "rx": 8, "ry": 2}, (2, 8, 18, 12)),
    ({"name": "polyline", "all_points_x": [1, 9, 5], "all_points_y": [2, 2, 8]}, (1, 2, 9, 8))])
def test_other_shapes_of_via(shape: dict[str, Any], box: tuple[int, ...], tmp_path: Path):
    save(tmp_path, "a.png", "b.png")
    (tmp_path / "v.json").write_text(json.dumps(via_json([region(shape)])))
    assert via(str(tmp_path)).splits["all"].targets["boxes"].corners.tolist()[0] == pytest.approx(box, abs=1e-4)


def test_cvats_subsets_turned_boxes_ellipses_and_masks(tmp_path: Path):
    save(tmp_path, "images/sub/a.png", "images/sub/b.png")
    shapes = ('<box label="red" xtl="10" ytl="5" xbr="20" ybr="7" rotation="90"/>'
              '<ellipse label="red" cx="10" cy="10" rx="8" ry="2"/>'
              '<mask label="blue" left="4" top="2" width="3" height="2" rle="1, 4, 1"/>')
    (tmp_path / "annotations.xml").write_text(cvat_xml(shapes, subset='subset="Train"'))
    opened = cvat(str(tmp_path))
    assert list(opened.splits) == ["train", "test"]
    assert opened.splits["train"].targets["boxes"].corners.tolist() == [
        pytest.approx([14, 1, 16, 11], abs=1e-4), pytest.approx([2, 8, 18, 12], abs=1e-4), [4, 2, 7, 4]]
    objects = cvat(str(tmp_path), outlines=True).splits["train"].targets["masks"]
    mask = objects.outlines[int(objects.outline[1])][0].inside()
    assert mask.shape == (20, 40) and mask[2:4, 4:7].tolist() == [[False, True, True], [True, True, False]]
    assert mask.sum() == 4


def test_label_studio_without_annotation_and_turned(tmp_path: Path):
    save(tmp_path, "a.png", "b.png")
    content = tasks([result("rectanglelabels", "red", x=50, y=10, width=25, height=20, rotation=90),
                     result("ellipselabels", "red", x=25, y=50, radiusX=10, radiusY=20)])
    content[1]["annotations"] = []
    (tmp_path / "t.json").write_text(json.dumps(content))
    opened = label_studio(str(tmp_path))
    assert len(opened.splits["all"]) == 1 and opened.account["unlabelled"]["pictures"] == ["b.png"]
    assert opened.splits["all"].targets["boxes"].corners.tolist() == [
        pytest.approx([16, 2, 20, 12], abs=1e-4), pytest.approx([6, 6, 14, 14], abs=1e-4)]
    assert len(label_studio(str(tmp_path), unlabelled="empty").splits["all"]) == 2
    with pytest.raises(DataError, match="1 picture without annotation: .*b.png"):
        label_studio(str(tmp_path), unlabelled="refuse")


@pytest.mark.parametrize(("kind", "name", "content", "said"), [
    ("via", "v.json", via_json([{"x": 1}]), r"v.json: a.png, regions\[0\]: has no shape_attributes"),
    ("via", "v.json", {"shape_attributes": 1, "filename": 2}, "'shape_attributes' names no picture: filename and reg"),
    ("via", "v.json", via_json([region({"name": "rect", "x": 1})]), r"\[0\]: the shape .* cannot be read \('y'\)"),
    ("via", "v.json", via_json([region({"x": 1})]), r"the shape .* cannot be read \('name'\)"),
    ("via", "v.json", [], "is no export of VIA: a map of pictures is expected"),
    ("via", "v.csv", "filename,region_shape_attributes,region_attributes\na.png,{,\n", "line 2: the attributes are"),
    ("via", "v.csv", "filename,region_shape_attributes,region_attributes\n,{},{}\n", "line 2: a filename, region"),
    ("cvat", "c.xml", "<annotations/>", "lists no picture: export the task as \"CVAT for images\", not for video"),
    ("cvat", "c.xml", "<annotation/>", "its first element is 'annotation', and 'annotations' is expected"),
    ("cvat", "c.xml", cvat_xml('<box label="red" xtl="x" ytl="2" xbr="14" ybr="12"/>'), "a.png, box 1: xtl is 'x'"),
    ("cvat", "c.xml", cvat_xml('<polygon label="red" points="1,2;q"/>'), "polygon 1: the points cannot be read"),
    ("cvat", "c.xml", cvat_xml('<mask label="red" left="4" top="2" width="3" height="2" rle="1, 9"/>'), "does not fit"),
    ("label-studio", "l.json", {}, "is no export of Label Studio: a list of tasks is expected"),
    ("label-studio", "l.json", [{"id": 7, "data": {"text": "x"}, "annotations": []}], "task 7: names no picture"),
    ("label-studio", "l.json", tasks([result("rectanglelabels", "red", x=1)]), "task 1, result 0: .* is no shape")])
def test_an_entry_that_is_wrong_is_named(kind: str, name: str, content: Any, said: str, tmp_path: Path):
    save(tmp_path, "a.png", "b.png", "sub/a.png", "sub/b.png")
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=said) as caught:
        OPEN[kind](str(tmp_path / name))
    assert "\n" not in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(DataError, match="holds no"):
        OPEN[kind](str(tmp_path))


def test_tags_of_whole_pictures_are_named(tmp_path):
    (tmp_path / "annotations.xml").write_text(
        '<annotations><image id="0" name="a.png" width="9" height="9"><tag label="cat"/></image></annotations>')
    with pytest.raises(DataError, match="holds 1 tag of whole pictures and no shape: .* from CVAT as ImageNet"):
        cvat(str(tmp_path))
