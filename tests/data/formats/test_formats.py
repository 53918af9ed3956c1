"""The table of formats: what every record must be, and that one from outside is a record and a line."""

import inspect
import json
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter

from lensmith.data.formats import FORMATS
from lensmith.data.formats.boxes.annotations import AnnotatedSplit, sources_of_boxes
from lensmith.data.formats.detect import recognise
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.formats.format import BESIDE, LAYOUT, NOTHING, Evidence, Format, Writer, beside_pictures
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.write_sets import write_boxes, writers
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.sample import Source, Splits
from lensmith.values.boxes import Boxes

NAMES = ("cat", "dog")
# So that pictures without an object are opened too.
UNLABELLED = {"voc": {"unlabelled": "empty"}, "labelme": {"unlabelled": "empty"}}


@pytest.mark.parametrize("name", FORMATS)
def test_every_setting_has_a_type_that_a_recipe_can_be_checked_against(name):
    hints = typing.get_type_hints(FORMATS[name].open)
    assert hints.pop("return") is Splits
    for setting, parameter in inspect.signature(FORMATS[name].open).parameters.items():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        adapter = TypeAdapter(hints[setting])
        assert parameter.default is parameter.empty or adapter.validate_python(parameter.default) == parameter.default


def test_the_sets_that_need_a_path_say_so_and_the_others_do_not():
    needs = {name for name, one in FORMATS.items() if one.needs}
    assert needs == {"folder", "table", "yolo", "coco", "voc", "labelme", "via", "cvat",
                     "label-studio", "masks", "object-masks",
                     "several"}


def test_a_source_gives_what_a_collection_must():
    part = shapes(24).splits["train"]
    asked = {name for protocol in Source.__mro__ for name in (*protocol.__dict__, *inspect.get_annotations(protocol))
             if not name.startswith("_") or name in ("__len__", "__getitem__")}
    assert asked == {"classes", "targets", "groups", "subset", "place", "shaped", "__len__", "__getitem__"}
    assert all(hasattr(part, name) for name in asked)


@pytest.mark.parametrize("name", FORMATS)
def test_every_record_is_complete(name: str, tmp_path: Path) -> None:
    record = FORMATS[name]
    assert len((record.open.__doc__ or "").split()) > 10
    # Either the user gives the path, or the set has a name by which it is found, or it is made by itself.
    assert ("path" in record.needs) == (record.recognise is not None)
    assert (record.find is None) == (record.public is None)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in record.suffixes)
    if record.recognise is not None:
        assert record.recognise(Listing(tmp_path)) == Evidence()
    if record.write is not None:
        for split in ("all", "train", "valid", "test"):
            folder = Path(record.write.picture_folder(split))
            assert not folder.is_absolute() and ".." not in folder.parts


def own_set(folder: Path) -> dict[str, Files]:
    """Two pictures to train on and one to validate, with corners in whole pixels."""
    paths = [folder / f"{i}.png" for i in range(3)]
    folder.mkdir()
    for path in paths:
        Image.new("L", (64, 32)).save(path)
    corners = torch.tensor([[1, 2, 11, 12], [3, 4, 63, 32], [0, 0, 5, 6], [7, 8, 9, 10]]).float()
    boxes = Boxes(corners, torch.tensor([0, 1, 1, 0]), image=torch.tensor([0, 0, 1, 2]))
    whole = Files(paths, {"boxes": boxes}, {"boxes": NAMES}, root=folder)
    return {"train": whole.subset([0, 1]), "valid": whole.subset([2])}


def check_written(name: str, written: str, folder: Path) -> None:
    """What a format writes is recognised as it, and opens to the same boxes."""
    own = own_set(folder / "own")
    write_boxes(written, own, folder / "new")
    assert recognise(folder / "new") == name
    opened = FORMATS[name].open(str(folder / "new"), **UNLABELLED.get(name, {}))
    assert list(opened.splits) == ["train", "valid"]
    for split, source in own.items():
        again = opened.splits[split]
        assert again.classes["boxes"] == NAMES and len(again) == len(source)
        for i in range(len(source)):
            before, after = source.targets["boxes"][i], again.targets["boxes"][i]
            assert torch.allclose(before.corners, after.corners, atol=1e-4)
            assert before.classes.tolist() == after.classes.tolist()


@pytest.mark.parametrize("name", [name for name, record in FORMATS.items() if record.write is not None])
def test_what_a_format_writes_is_recognised_and_opens_to_the_same_boxes(name: str, tmp_path: Path) -> None:
    writer = FORMATS[name].write
    assert writer is not None
    check_written(name, writer.name or name, tmp_path)


def test_evidence_against_is_told_but_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    record = FORMATS["folder"].recognise
    assert record is not None
    assert record(Listing(tmp_path)) == Evidence(BESIDE, NOTHING, "the folder cat")
    (tmp_path / "a.png").touch()
    assert record(Listing(tmp_path)) == Evidence(BESIDE, BESIDE, "the folder cat")
    assert recognise(tmp_path) == "folder"


# A format as somebody adds it: a file with the three functions and the record, and one line in the table.
def toy(path: str, *, classes: list[str] | None = None) -> Splits:
    """The pictures that lines of `boxes.toy` name, as `train/a.png 1 2 30 40 cat`, with a box each."""
    root = Path(path)
    drawn: dict[str, AnnotatedSplit] = {}
    for line in (root / "boxes.toy").read_text().splitlines():
        name, *corners, label = line.split()
        part = drawn.setdefault(name.split("/")[0], AnnotatedSplit(accepted=classes))
        if root / name not in part.paths:
            part.add_picture(root / name)
        part.add([float(corner) for corner in corners], label, where="boxes.toy")
    return sources_of_boxes(drawn, names=classes, folder=root, account={"layout": "toy"})


def recognise_toy(listing: Listing) -> Evidence:
    """The file that no other format has."""
    return Evidence(LAYOUT, sentence="boxes.toy") if "boxes.toy" in listing.files else beside_pictures(listing, ".toy")


def write_toy(splits: dict[str, list], names: tuple[str, ...], folder: Path) -> Iterator[tuple[Path, str]]:
    """One file; pictures without an object are left out."""
    yield folder / "boxes.toy", "".join(
        f"{split}/{picture.path.name} {' '.join(map(str, corners))} {names[number]}\n"
        for split, pictures in splits.items() for picture in pictures for corners, number, _, _ in picture.objects())


TOY = Format(toy, recognise_toy, Writer(write_toy, lambda split: split))


def test_a_format_from_outside_is_one_record_and_one_line(command, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(FORMATS, "toy", TOY)
    check_written("toy", "toy", tmp_path)
    assert {row["name"]: row["here"] for row in json.loads(command("list", "data", "--json").out)}["toy"] == \
        "give a path"
    write_boxes("yolo", shapes(count=24, size=32).splits, tmp_path / "drawn")
    ended = command("convert", tmp_path / "drawn", tmp_path / "set", "--to", "toy", "--images", "copy")
    assert ended.code == 0 and "format toy" in ended.out, ended.err
    assert len((tmp_path / "set" / "boxes.toy").read_text().splitlines()) == 24
    assert "|labelme|toy" in command("convert", "one", "--to", "toy").err
    ended = command("train", tmp_path / "set", "--backbone", "csp", "backbone.width=8", "--epochs", 1, "--batch", 4,
                    "--device", "cpu", "--plan", "exact", "plan.threads=1", "-q", "--name", "toy", "--runs", tmp_path)
    assert ended.code == 0, ended.err
    assert 'name = "toy"' in (tmp_path / "toy" / "recipe.toml").read_text()
    told = json.loads((tmp_path / "toy" / "data.json").read_text())
    assert told["source"]["layout"] == "toy" and told["classes"] == {"boxes": ["disc", "square", "triangle"]}


def test_a_format_from_outside_is_named_where_another_fits_as_well(command, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(FORMATS, "toy", TOY)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").touch()
    (tmp_path / "boxes.toy").touch()
    ended = command("train", tmp_path)
    assert "can be read as toy and as yolo (boxes.toy; labels/*.txt): say which with data.name=toy" in ended.err


def test_the_help_of_the_command_line_names_what_the_table_has(command) -> None:
    """It is text, since a help that imported the table would wait for PyTorch."""
    assert set(writers()) == {"yolo", "coco", "voc", "csv", "labelme"}
    written, downloaded = (" ".join(command(*verb, "--help").out.split()) for verb in (("convert",), ("data", "get")))
    assert all(name in written for name in writers())
    assert all(name in downloaded for name, record in FORMATS.items() if record.public is not None)
