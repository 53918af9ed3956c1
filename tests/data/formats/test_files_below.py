"""Files below a folder, and the pictures among them that are not read."""

from pathlib import Path

from lensmith.data.formats.files_below import other_formats
from lensmith.data.sources.findings import findings, much_lost
from lensmith.recipe.open_data import open_set


def test_pictures_in_other_formats_are_counted_for_every_format(tmp_path: Path, picture):
    for name in ("cat/a.png", "cat/b.jpe", "dog/a.avif", "dog/b.tga"):
        picture(name)
    (tmp_path / "dog" / "c.HEIC").write_bytes(b"x")
    (tmp_path / "dog" / "._d.heic").write_bytes(b"x")
    (tmp_path / "dog" / "list.txt").write_text("x")
    assert other_formats(tmp_path / "cat") == {} == other_formats(tmp_path / "dog" / "list.txt") == other_formats("")
    opened = open_set({"name": "folder", "path": str(tmp_path)})
    assert len(opened.splits["all"]) == 4 and opened.account["ignored"] == {".txt": 1}
    assert opened.account["other_formats"]["files"] == ["dog/c.HEIC"]
    found = findings({"source": opened.account})
    assert found[0].sentence() == (
        "1 of 5 pictures in formats that are not read, left out: 1 HEIC picture (.heic): convert them to JPEG "
        "(heif-convert, or the export of your photo program)")
    assert found[0].names == ("dog/c.HEIC",) and "(20%)" in much_lost(found, "lensmith data show")
