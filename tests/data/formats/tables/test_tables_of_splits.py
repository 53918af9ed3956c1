"""A table beside the pictures of each split, and pictures in several folders."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, Question
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.tables.table import open_table


def sizes(opened) -> dict[str, int]:
    return {split: len(source) for split, source in opened.splits.items()}


@pytest.mark.parametrize(("name", "lines"), [
    ("metadata.csv", ["file_name,label", "a.png,cat", "b.png,dog"]),
    ("metadata.jsonl", ['{"file_name": "a.png", "label": "cat"}', "", '{"label": "dog", "file_name": "b.png"}'])])
def test_of_hugging_face(name: str, lines: list[str], tmp_path: Path, picture):
    for split in ("train", "test"):
        picture(f"{split}/a.png")
        picture(f"{split}/b.png")
        (tmp_path / split / name).write_text("\n".join(lines))
    assert recognise(tmp_path) == "table"
    opened = open_table(str(tmp_path))
    assert sizes(opened) == {"train": 2, "test": 2}
    assert opened.splits["test"].classes == {"label": ("cat", "dog")}
    assert opened.splits["test"].paths[0] == tmp_path / "test/a.png"
    assert "divided by the folders of their splits" in opened.account["notes"][0]


def test_of_roboflow_with_boxes_and_with_classes(tmp_path: Path, picture):
    for split in ("train", "valid"):
        picture(f"boxes/{split}/a.png")
        picture(f"tags/{split}/a.png")
        (tmp_path / f"boxes/{split}/_annotations.csv").write_text(
            "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,200,100,cat,1,2,30,40\n")
        (tmp_path / f"tags/{split}/_classes.csv").write_text("filename, cat, dog\na.png, 1, 1\n")
    assert recognise(tmp_path / "boxes") == recognise(tmp_path / "tags") == "table"
    assert list(open_table(str(tmp_path / "boxes")).splits["valid"].targets) == ["boxes"]
    assert list(open_table(str(tmp_path / "tags")).splits["valid"].targets) == ["tags"]


def test_other_columns_in_one_of_them_are_named(tmp_path: Path, picture):
    for split, header in (("train", "file_name,label"), ("test", "file_name,kind")):
        picture(f"{split}/a.png")
        (tmp_path / f"{split}/m.csv").write_text(f"{header}\na.png,x\n")
    with pytest.raises(DataError, match=r"m\.csv have other columns \(file_name, label, and file_name, kind"):
        open_table(str(tmp_path))


@pytest.mark.parametrize("content", ["x", "[1]"])
def test_lines_that_are_no_objects_are_named(content: str, tmp_path: Path):
    (tmp_path / "t.jsonl").write_text('{"file_name": "a.png", "label": "x"}\n' + content)
    with pytest.raises(DataError, match=r"t\.jsonl, line 2"):
        open_table(str(tmp_path / "t.jsonl"))


def test_pictures_in_several_folders(tmp_path: Path, picture):
    """HAM10000: a name without suffix, and two folders."""
    for i in range(4):
        picture(f"part_{1 + i // 2}/I{i}.png")
    (tmp_path / "meta.csv").write_text("image_id,dx\n" + "".join(f"I{i},{'ab'[i % 2]}\n" for i in range(4)))
    with pytest.raises(Question) as told:
        open_table(str(tmp_path / "meta.csv"))
    assert told.value.answers[0].settings == ("data.name=table", "data.pictures=*/{image_id}.png")
    source = open_table(str(tmp_path / "meta.csv"), pictures="*/{image_id}.png").splits["all"]
    assert [path.parent.name for path in source.paths] == ["part_1", "part_1", "part_2", "part_2"]
    picture("part_2/I0.png")
    with pytest.raises(DataError, match=r"finds I0\.png in part_1 and in part_2: name the folder by a column"):
        open_table(str(tmp_path / "meta.csv"), pictures="*/{image_id}.png")
    with pytest.raises(DataError, match=r"no folder is called as 'x\*' in data\.pictures='x\*/\{image_id\}\.png'"):
        open_table(str(tmp_path / "meta.csv"), pictures="x*/{image_id}.png")


@pytest.mark.parametrize(("cell", "file", "how"), [
    ("img/a.jpg", "img/A.JPG", "in capital and small letters"), ("my%20pic.png", "my pic.png", "of an address")])
def test_names_that_differ_by_their_spelling_are_told(cell: str, file: str, how: str, tmp_path: Path, picture):
    picture(file)
    (tmp_path / "t.csv").write_text(f"path,label\n{cell},x\nother.png,y\n")
    with pytest.raises(DataError, match=rf"is: the names differ \(.*{how}\): give files and cells one name"):
        open_table(str(tmp_path / "t.csv"))
