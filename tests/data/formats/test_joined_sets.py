"""Several sets joined by their pictures: what is known, what is not, and whose split counts."""

import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.sample import Splits
from lensmith.recipe.from_source import anchored
from lensmith.recipe.open_data import open_data, open_splits
from lensmith.recipe.sections import resolve
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN

XML = """<annotation><filename>{name}.png</filename><size><width>20</width><height>10</height></size>
<object><name>cat</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"""
SETS = {"species": {"name": "table", "path": "species.csv"}, "breed": {"name": "table", "path": "breeds/list.csv"},
        "head": {"name": "voc", "path": "boxes"}, "outline": {"name": "masks", "path": "."}}


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures a to h with a species, breeds of b to i, a box for c and d, and masks of d and e."""
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "breeds", "boxes", "masks"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate("abcdefghi"):
        Image.new("L", (20, 10), 20 * number).save(tmp_path / "images" / f"{name}.png")
    for name in "cd":
        (tmp_path / "boxes" / f"{name}.xml").write_text(XML.format(name=name))
        (tmp_path / "boxes" / f"{name}.png").symlink_to(tmp_path / "images" / f"{name}.png")
    for number, name in enumerate("de"):
        Image.new("L", (20, 10), number).save(tmp_path / "masks" / f"{name}.png")
    species(tmp_path)
    lines = [f"../images/{name}.png,{'tabby' if number % 2 else 'boxer'}" for number, name in enumerate("bcdefghi")]
    (tmp_path / "breeds" / "list.csv").write_text("\n".join(["path,label", *lines]))
    return tmp_path


def species(folder: Path, *, splits: str = "", file: str = "species.csv", to: str = "abcdefgh") -> None:
    """A table of species; `splits` has the first letter of each picture's split."""
    named = {"t": "train", "v": "valid", "e": "test"}
    lines = [f"images/{name}.png,{'cat' if number % 2 else 'dog'}" + (f",{named[splits[number]]}" if splits else "")
             for number, name in enumerate(to)]
    (folder / file).write_text("\n".join(["path,label" + ",split" * bool(splits), *lines]))


def opened(sets: dict = SETS, **sections) -> Splits:
    return open_splits(resolve({"data": {"name": "several", "sets": sets}, **sections}, trusted=False))


def files(source) -> str:
    return "".join(path.stem for path in source.paths)


def test_what_a_set_lacks_of_a_picture_is_unknown(pets: Path):
    parts = opened()
    source = parts.splits["all"]
    assert files(source) == "abcdefghi" and source.classes == {
        "species": ("cat", "dog"), "breed": ("boxer", "tabby"), "head": ("cat",), "outline": ("0", "1")}
    assert source.targets["species"].index.tolist() == [1, 0, 1, 0, 1, 0, 1, 0, UNKNOWN]
    assert source.targets["breed"].index.tolist() == [UNKNOWN, 0, 1, 0, 1, 0, 1, 0, 1]
    head = source.targets["head"]
    assert isinstance(head, Boxes) and head.image.tolist() == list(range(9))
    assert head.crowd.tolist() == [True, True, False, False, *[True] * 5]
    # By a link: sets are joined by the files that paths lead to.
    assert head.corners[2].tolist() == [1, 2, 9, 8] and head.corners[0].tolist() == [0, 0, 20, 10]
    told = parts.account["parts"]
    assert {name: (one["known"], one["unknown"]) for name, one in told.items()} == {
        "species": (8, 1), "breed": (8, 1), "head": (2, 7), "outline": (2, 7)}
    assert parts.account["pictures"] == {"all": 9} and set(parts.account["sets"]) == set(SETS)
    assert not {"taken_for_train", "twice"} & set(parts.account)


def test_a_split_that_sets_agree_on_is_kept_and_the_others_follow(pets: Path):
    species(pets, splits="ttttvvee")
    species(pets, splits="ttvv", file="other.csv", to="abef")
    parts = opened({**SETS, "again": {"name": "table", "path": "other.csv"}})
    named = {name: files(part) for name, part in parts.splits.items()}
    assert named == {"train": "abcdi", "valid": "ef", "test": "gh"}
    assert parts.splits["valid"].targets["again"].index.tolist() == [1, 0]
    assert parts.splits["train"].targets["outline"].masks[3].path.stem == "d"
    assert parts.account["taken_for_train"] == {"count": 1, "pictures": [f"{pets.resolve()}/images/i.png"]}


def test_sets_that_disagree_about_the_split_are_named(pets: Path):
    species(pets, splits="ttttvvee")
    species(pets, splits="ttte", file="other.csv", to="abef")
    with pytest.raises(DataError, match=r"^data\.sets\.species has .*images/e\.png in 'valid', and data\.sets\.again "
                                        r"in 'train': make them agree, or leave the split of one out"):
        opened({**SETS, "again": {"name": "table", "path": "other.csv"}})
    again = {"name": "table", "path": "other.csv", "split": False}
    assert files(opened({**SETS, "again": again}).splits["valid"]) == "ef"


def test_a_picture_that_comes_twice_in_a_set_is_taken_once_and_counted(pets: Path):
    (pets / "images" / "j.png").symlink_to("a.png")
    species(pets, to="abcdefghj")
    parts = opened({"species": SETS["species"], "outline": SETS["outline"]})
    assert parts.account["twice"] == {"species": 1} and files(parts.splits["all"]) == "abcdefgh"
    assert parts.splits["all"].targets["species"].index.tolist() == [1, 0] * 4


def test_groups_are_those_of_the_first_set_that_has_any(pets: Path):
    lines = [f"images/{name}.png,{'cat' if name < 'c' else 'dog'},{name < 'e'}" for name in "abcdefgh"]
    (pets / "species.csv").write_text("\n".join(["path,label,group", *lines]))
    groups = opened().splits["all"].groups
    assert groups is not None and groups.tolist()[:8] == ["True"] * 4 + ["False"] * 4
    assert groups[8].endswith("i.png") and opened({"breed": SETS["breed"]}).splits["all"].groups is None


def test_a_loader_gives_every_part_kept_streamed_and_by_workers(pets: Path):
    recipe = {"data": {"name": "several", "sets": SETS}, "split": {"valid": 0.0, "test": 0.2}, "pictures": {"size": 16}}
    batches = {}
    for way, workers in ((0.5, 0), (0.0, 0), (0.0, 2)):
        data = open_data(resolve({**recipe, "loading": {"memory": way, "disk": 0.0}}, trusted=False))
        assert data.account["kept"] == ("memory" if way else "not") and data.form.fit == "pad"
        loader = Loader(data.splits["train"], 3, seed=1, shuffle=True, workers=workers)
        found = [(batch.images, batch.targets) for batch in loader.at(1, 0)]
        batches[way, workers] = found, data.account["fingerprint"]
    (first, mark), *others = batches.values()
    assert len(first) == 2 and all(set(targets) == set(SETS) for _, targets in first)
    for found, other in others:
        assert other == mark and len(found) == len(first)
        for (images, targets), (its, same) in zip(first, found, strict=True):
            assert torch.equal(images, its)
            for name, value in targets.items():
                assert all(torch.equal(one, vars(same[name])[field]) for field, one in vars(value).items()
                           if one is not None), name


def test_the_fingerprint_changes_with_any_part(pets: Path):
    def mark() -> str:
        found = open_data(resolve({"data": {"name": "several", "sets": SETS}}, trusted=False))
        return found.account["fingerprint"]

    marks = [mark(), mark()]
    (pets / "boxes" / "c.xml").write_text((pets / "boxes" / "c.xml").read_text().replace(">9<", ">11<"))
    marks.append(mark())
    Image.new("L", (20, 10), 1).save(pets / "masks" / "a.png")
    marks.append(mark())
    assert marks[0] == marks[1] and len(set(marks)) == 3


def test_the_recipe_of_a_run_holds_every_setting_of_every_set_and_whole_paths(pets: Path):
    text = """[data]\nname = "several"\n[data.sets]\nspecies = {name = "table", path = "species.csv"}
head = {name = "voc", path = "boxes"}"""
    found = anchored(resolve(tomllib.loads(text), trusted=False))["data"]["sets"]
    assert found["species"]["path"] == str(pets / "species.csv") and found["species"]["kind"] == "auto"
    assert found["head"] == {"name": "voc", "path": str(pets / "boxes"), "unlabelled": "leave"}


WRONG = {
    "no common picture": ({"species": SETS["species"], "mark": {"name": "folder", "path": "classes"}}, DataError,
                          r"^data\.sets\.species has no picture in common with another set: its first is .*images/a"
                          r"\.png, that of mark .*classes/x/1\.png; sets are joined by the files of their pictures"),
    "not files": ({"species": SETS["species"], "kind": {"name": "shapes"}}, DataError,
                  r"^data\.sets\.kind: its pictures are not files of their own, by which sets are joined: take a "),
    "several targets": ({"species": SETS["species"], "both": {"name": "table", "path": "two.csv"}}, DataError,
                        r"^data\.sets\.both gives kind, colour: a set is the source of one target; say which with "
                        "its `target`, and list it once for each"),
    "no word": ({"hair colour": SETS["species"]}, DataError, r"^data\.sets: 'hair colour' cannot be the name of a part"
                ": accepted is one word"),
    "no set": ({}, UserError, r"^data\.sets is empty: give a section for each target, as \{species = \{name = "),
    "unknown format": ({"head": {"name": "vok", "path": "boxes"}}, DataError,
                       r"^data\.sets\.head: unknown data set 'vok'\. Did you mean 'voc'\? Known: "),
    "unknown setting": ({"head": {"name": "voc", "path": "boxes", "clases": ["a"]}}, UserError,
                        r"^data\.sets\.head: data 'voc' has no setting 'clases'\. Did you mean 'classes'\?"),
    "no format": ({"head": {"path": "boxes"}}, UserError, r"^data\.sets\.head: section \[data\] needs a name\. Kno"),
    "no table of settings": ({"head": "boxes"}, UserError, r"^data 'several': sets must be a table; got \{'head': '"),
    "a list": (["head"], UserError, r"^data 'several': sets must be a table; got \['head'\]"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_joined_is_told_in_one_line(what, pets: Path):
    for name in "12":
        (pets / "classes" / name.replace("1", "x").replace("2", "y")).mkdir(parents=True)
        Image.new("L", (4, 4)).save(pets / "classes" / name.replace("1", "x").replace("2", "y") / f"{name}.png")
    (pets / "two.csv").write_text("\n".join(["path,kind,colour", *(f"images/{name}.png,{name < 'c'},{name < 'b'}"
                                                                   for name in "abcdefgh")]))
    sets, error, said = WRONG[what]
    with pytest.raises(error, match=said) as caught:
        opened(sets)
    assert "\n" not in str(caught.value) and type(caught.value) is error
