"""Pictures that are not where a table says: found below it and suggested."""

import pytest

from lensmith.base.errors import DataError
from lensmith.data.formats.tables.table import open_table


@pytest.mark.parametrize(("head", "name", "place", "said"), [
    ("id,label", "a", "train_images/a.png", r"column 'id' names is there \(a\), and train_images/a\.png is: `lensmith "
     r"train \S+list.csv data\.name=table 'data\.pictures=train_images/\{id\}\.png'` takes those in train_images"),
    ("path,label", "a.png", "images/all/a.png", r"'data\.pictures=images/all/\{path\}'` takes"),
    ("path,label", "/home/me/a.png", "images/a.png", r"paths are taken from the folder of the table: mend them, or "
     r"write a pattern over columns, as data\.pictures=\"images/\{name\}\.jpg\"")])
def test_they_are_found_below_the_table(tmp_path, picture, head, name, place, said):
    picture(place)
    (tmp_path / "list.csv").write_text(f"{head}\n{name},x\nb,y\n")
    with pytest.raises(DataError, match=said):
        open_table(str(tmp_path / "list.csv"))


def test_one_that_is_there_is_enough(tmp_path, picture):
    picture("a.png")
    picture("sub/b.png")
    (tmp_path / "list.csv").write_text("path,label\na.png,x\nb.png,y\n")
    assert len(open_table(str(tmp_path / "list.csv")).splits["all"]) == 2


def test_what_programs_leave_behind_and_our_own_results_are_not_suggested(tmp_path, picture):
    """They come before the folder of the pictures in the alphabet."""
    for place in ("@eaDir/a.png", "__MACOSX/a.png", ".thumbnails/a.png", "images/._a.png", "images/a.png"):
        picture(place)
    picture("done/pictures/a.png")
    for name in ("recipe.toml", "run.json"):
        (tmp_path / "done" / name).write_text("")
    (tmp_path / "list.csv").write_text("path,label\na.png,x\nb.png,y\n")
    with pytest.raises(DataError, match=r"and images/a\.png is: `[^`]* 'data\.pictures=images/\{path\}'`"):
        open_table(str(tmp_path / "list.csv"))
