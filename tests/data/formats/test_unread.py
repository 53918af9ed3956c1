"""Layouts that are not read, which are told by their names."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.detect import recognise
from tests.data.formats.test_rivals import write

NAMED = [
    ({"ds0/img/a.jpg": "", "ds0/ann/a.jpg.json": "{}", "meta.json": "{}"}, "a project of Supervisely's (ds0/ann)"),
    ({"training/image_2/a.png": "", "training/label_2/a.txt": "Car"}, "KITTI's objects (training/label_2)"),
    ({"images/a.png": "", "labelTxt/a.txt": "gsd:1"}, "DOTA's turned boxes (labelTxt)"),
    ({"D-train/images/a.jpg": "", "D-train/annotations/a.txt": "1,2"}, "VisDrone's boxes (D-train/annotations)"),
    ({"WIDER_train/images/x/a.jpg": "", "wider_face_split/a.txt": ""}, "WIDER FACE's lists (wider_face_split)"),
    ({"train/a.jpg": "", "train/_annotations.createml.json": "[]"}, "Create ML's boxes (train/_annotations.createml"),
    ({"train/a.jpg": "", "train/_annotations.txt": "a.jpg 1,2,3,4,0"}, "keras-yolo3's list of boxes (train/_annotatio"),
    ({"train/a.jpg": "", "train/x.jsonl": '{"prompt": 1}'}, "lines of JSON (train/x.jsonl)"),
    ({"images/a.jpg": "", "p.json": '[{"data": {"image": "a.jpg"}, "annotations": [{"type": "choices"}]}]'},
     "Label Studio's choices (p.json)"),
    ({"img/a.jpg": "", "train.txt": "img/a.jpg 0\nimg/b.jpg 1\n"}, "a list of pictures with the numbers of their clas"),
]


@pytest.mark.parametrize(("files", "said"), NAMED)
def test_it_is_named_with_what_to_do(files: dict[str, str], said: str, tmp_path: Path):
    with pytest.raises(DataError) as told:
        recognise(write(tmp_path, files))
    assert f"is laid out as {said}" in str(told.value)
    assert "which is not read: " in str(told.value) and str(told.value).split("not read: ")[1].split()[0] in (
        "export", "bring", "make")


def test_classes_with_files_beside_them_are_none(tmp_path: Path):
    write(tmp_path, {"cat/a.jpg": "", "dog/b.jpg": "", "ann/c.jpg": "", "train.txt": "cat/a.jpg\n", "notes.txt": "x"})
    assert recognise(tmp_path) == "folder"
