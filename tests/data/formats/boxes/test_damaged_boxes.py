"""Whatever stands in a file of boxes, opening the set gives sources or a UserError."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import UserError
from lensmith.data.formats import FORMATS

# Format -> the file that is damaged, what it holds, and what else lies there.
WHOLE = {
    "yolo": ("labels/a.txt", b"0 0.5 0.5 0.25 0.125\n1 0.1 0.2 0.3 0.2 0.3 0.6\r\n", {"images/a.png": None}),
    "description": ("data.yaml", b"path: .\ntrain: images\nval: [images]\nnc: 2\nnames:\n  0: cat\n  1: 'dog'\n# end\n",
                    {"images/a.png": None, "labels/a.txt": b"0 0.5 0.5 0.25 0.125\n"}),
    "coco": ("one.json", b'{"images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}], "annotations": '
                         b'[{"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2.5, 3, 4e0], "iscrowd": 0}], '
                         b'"categories": [{"id": 3, "name": "c\\u00e4t"}]}', {"a.png": None}),
    "voc": ("a.xml", b"<?xml version='1.0'?>\n<annotation><filename>a.png</filename><size><width>20</width></size>"
                     b"<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>"
                     b"</annotation>", {"a.png": None}),
    "labelme": ("a.json", b'{"shapes": [{"label": "cat", "points": [[1, 2], [3, 4.5]], "shape_type": "rectangle", '
                          b'"flags": {}}], "imagePath": "a.png", "imageWidth": 20, "imageHeight": 10}',
                {"a.png": None}),
    "table": ("one.csv", b'path,x0,y0,x1,y1,label,split\na.png,1,2,3.5,4,cat,train\n"a.png",,,,,,train\n',
              {"a.png": None}),
}

SIGNS = b"0123456789.-+eE<>&;:,{}[]\"'\n \t/|#!*nN"


def damaged(whole: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """The file with bytes changed, put in, taken out or cut off, or a part of it moved."""
    data = bytearray(whole)
    for kind, place, value in edits:
        at = place % (len(data) + 1)
        if kind == 0 and at < len(data):
            data[at] = value
        elif kind == 1:
            data.insert(at, value)
        elif kind == 2:
            del data[at : at + value % 20]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = data[value % (len(data) + 1) :][:20]
        elif kind == 5 and at < len(data):    # another sign that means something in one of the formats
            data[at] = SIGNS[value % len(SIGNS)]
    return bytes(data)


def open_damaged(folder: Path, which: str, edits: list[tuple[int, int, int]]) -> None:
    file, whole, others = WHOLE[which]
    for name, content in {**others, file: damaged(whole, edits)}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
        elif not (folder / name).exists():
            Image.new("L", (20, 10)).save(folder / name)
    path = folder / file if which in ("coco", "table", "description") else folder
    kind = "yolo" if which == "description" else which
    said = "it opens"
    try:
        FORMATS[kind].open(str(path))
    except UserError as error:
        said = str(error)
    assert said and "\n" not in said


EDITS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.mark.parametrize("which", WHOLE)
def test_the_whole_file_opens(which, tmp_path):
    file, whole, _ = WHOLE[which]
    open_damaged(tmp_path, which, [])
    assert (tmp_path / file).read_bytes() == whole
    kind, path = ("yolo", tmp_path / file) if which == "description" else (which, tmp_path)
    path = tmp_path / file if which in ("coco", "table") else path
    assert len(next(iter(FORMATS[kind].open(str(path)).splits.values())).targets["boxes"].classes) > 0


@pytest.mark.parametrize("which", WHOLE)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS)
def test_a_damaged_file_opens_or_is_refused(which, edits, tmp_path):
    open_damaged(tmp_path, which, edits)


@pytest.mark.slow
@pytest.mark.parametrize("which", WHOLE)
@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(edits=EDITS)
def test_two_thousand_damaged_files_of_each_kind_open_or_are_refused(which, edits, tmp_path):
    open_damaged(tmp_path, which, edits)
