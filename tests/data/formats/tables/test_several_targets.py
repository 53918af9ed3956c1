"""Tables with several things to learn: which columns, corners and masks become parts, and what is unknown in them."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.tables.table import open_table
from lensmith.data.sources.fitting import fit_source
from lensmith.data.sources.picture_form import settle_form, survey
from lensmith.data.sources.unknown_targets import known_in
from lensmith.values.boxes import Boxes
from lensmith.values.labels import UNKNOWN, Label, Numbers, Tags
from lensmith.values.semantic_mask import IGNORED, Mask

GIVEN = os.environ.get("LENSMITH_DATA", "")
HEAD = "path,species,breed,age,head_xmin,head_ymin,head_xmax,head_ymax,outline"
ROWS = ["images/a.png,cat,tabby,1.5,1,2,5,6,masks/a.png", "images/b.png,dog,,2.5,,,,,", "images/c.png,,tabby,,,,,,",
        "images/d.png,dog,boxer,4.0,0,0,8,9,masks/d.png", "images/e.png,,,,,,,,"]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """The folder of five pictures of 20 x 10 pixels and two masks."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "abcde":
        Image.new("L", (20, 10), 90).save(tmp_path / "images" / f"{name}.png")
    ids = np.repeat(np.array([[1] * 10 + [2] * 9 + [3]], dtype=np.uint8), 10, axis=0)
    for name in "ad":
        Image.fromarray(ids).save(tmp_path / "masks" / f"{name}.png")
    return tmp_path


def write(folder: Path, rows: list[str], head: str = HEAD) -> str:
    (folder / "list.csv").write_text("\n".join([head, *rows]) + "\n")
    return str(folder / "list.csv")


def masks_of(source, name: str) -> torch.Tensor:
    found = survey(source)
    value = fit_source(source, found.headers, settle_form([found], size=[10, 20])).targets[name]
    assert isinstance(value, Mask)
    return value.classes


def test_labels_numbers_corners_and_masks_are_parts_and_empty_cells_unknown(pets: Path):
    parts = open_table(write(pets, ROWS), target=["species", "breed", "age", "head", "outline"],
                  ids={"1": "pet", "2": "rest", "3": "void"})
    source = parts.splits["all"]
    assert source.classes == {"species": ("cat", "dog"), "breed": ("boxer", "tabby"), "age": ("age",),
                              "head": ("head",), "outline": ("pet", "rest")}
    assert [source.place(i).file for i in range(len(source))] == [f"images/{name}.png" for name in "abcd"]
    species, breed, age, head = (source.targets[name] for name in ("species", "breed", "age", "head"))
    assert isinstance(species, Label) and species.index.tolist() == [0, 1, UNKNOWN, 1]
    assert isinstance(breed, Label) and breed.index.tolist() == [1, UNKNOWN, 1, 0]
    assert isinstance(age, Numbers) and age.values[[0, 1, 3], 0].tolist() == [1.5, 2.5, 4] and age.values[2].isnan()
    assert isinstance(head, Boxes) and head.image.tolist() == [0, 1, 2, 3]
    assert head.corners.tolist() == [[1, 2, 5, 6], [0, 0, 20, 10], [0, 0, 20, 10], [0, 0, 8, 9]]
    assert head.crowd.tolist() == [False, True, True, False]
    masks = masks_of(source, "outline")
    assert masks[0, 0, [0, 12, 19]].tolist() == [0, 1, IGNORED] and bool((masks[1] == IGNORED).all())
    assert parts.account["without_target"] == {"count": 1, "pictures": [str(pets / "images" / "e.png")]}
    told = parts.account["parts"]
    assert {name: (one["kind"], one["known"], one["unknown"]) for name, one in told.items()} == {
        "species": ("label", 3, 1), "breed": ("label", 3, 1), "age": ("numbers", 3, 1), "head": ("boxes", 2, 2),
        "outline": ("mask", 2, 2)}
    assert told["breed"]["because"] == "2 different values" and parts.account["unused"] == []


def test_the_class_of_a_box_comes_from_a_column(pets: Path):
    source = open_table(write(pets, ROWS), target=["breed"], boxes={"head": "species"}).splits["all"]
    assert source.classes == {"breed": ("boxer", "tabby"), "head": ("cat", "dog")}
    head = source.targets["head"]
    assert [(row, number) for row, number, crowd in zip(head.image.tolist(), head.classes.tolist(), head.crowd.tolist(),
                                                        strict=True) if not crowd] == [(0, 0), (2, 1)]
    assert sorted(head.classes[head.crowd].tolist()) == [0, 1]    # of the one picture left, a crowd for each class


def test_without_a_target_all_that_can_be_learned_is(pets: Path):
    names = [*"abcd" * 3]
    rows = [f"images/{name}.png,{'cat' if name < 'c' else 'dog'},{'tabby' if name < 'b' else 'boxer'},20,10"
            for name in names]
    parts = open_table(write(pets, rows, "path,species,breed,width,height"))
    assert list(parts.splits["all"].classes) == ["species", "breed"] and parts.account["unused"] == ["width", "height"]
    rows = [f"images/{name}.png,masks/{'d' if name > 'b' else 'a'}.png,{'cat' if name < 'c' else 'dog'}"
            for name in names]
    source = open_table(write(pets, rows, "path,mask,kind")).splits["all"]
    assert source.classes == {"kind": ("cat", "dog"), "mask": ("1", "2", "3")}
    alone = open_table(write(pets, rows, "path,mask,kind"), target="kind").splits["all"]
    assert list(alone.classes) == ["label"]


@pytest.mark.parametrize(("head", "rows", "kind"), [
    ("path,a,b", ["images/a.png,0,1", "images/b.png,1,1"], "tags"),
    ("path,a,b", ["images/a.png,0,1", "images/b.png,1,2"], "numbers"),
    ("path,p_xmin,p_ymin,p_xmax,p_ymax", ["images/a.png,0,1,4,4", "images/b.png,1,2,5,5"], "numbers"),
    ("path,label,colour", ["images/a.png,x,red", "images/b.png,y,red"], "label")])
def test_tables_of_one_target_stay_so(pets: Path, head: str, rows: list[str], kind: str):
    assert list(open_table(write(pets, rows, head)).splits["all"].classes) == [kind]


def test_one_part_alone_has_the_name_that_its_task_asks_for(pets: Path):
    boxes = open_table(write(pets, ROWS), target="head").splits["all"]
    assert boxes.classes == {"boxes": ("head",)} and len(boxes) == 2 and not boxes.targets["boxes"].crowd.any()
    mask = open_table(write(pets, ROWS), target="outline", ids={"1": "pet", "2": "rest", "3": "void"}).splits["all"]
    assert mask.classes == {"mask": ("pet", "rest")} and len(mask) == 2
    same = open_table(write(pets, ROWS), target=[], masks={"mine": "outline"}).splits["all"]
    assert list(same.classes) == ["mask"]


def test_patterns_over_columns_name_pictures_and_masks(pets: Path):
    rows = [f"{name},{'cat' if name < 'c' else 'dog'},x" for name in "abcd"]
    file = write(pets, rows, "name,species,note")
    parts = open_table(file, target="species", pictures="images/{name}.png", masks={"outline": "masks/{name}.png"})
    source = parts.splits["all"]
    assert [path.name for path in source.paths] == ["a.png", "b.png", "c.png", "d.png"]
    assert [bool((one == IGNORED).all()) for one in masks_of(source, "outline")] == [False, True, True, False]
    assert parts.account["parts"]["outline"]["missing"] == 2 and parts.account["unused"] == ["note"]
    assert list(open_table(file, target="species", pictures="images/{name}.png").splits["all"].classes) == ["label"]
    # A pattern with one name for the part, and a column of file names that is called otherwise.
    assert "mask" in open_table(file, target="species", pictures="images/{name}.png",
                           masks="masks/{name}.png").splits["all"].classes
    other = open_table(write(pets, ["images/a.png,x", "images/b.png,y"], "thing,label"), pictures="thing")
    assert [path.name for path in other.splits["all"].paths] == ["a.png", "b.png"]


def test_tags_of_a_part_are_unknown_where_the_cell_is_empty_and_none_where_it_holds_a_sign_alone(pets: Path):
    rows = ["images/a.png,cat,red;old", "images/b.png,dog,;", "images/c.png,dog,"]
    source = open_table(write(pets, rows, "path,kind,tags"), target=["kind", "tags"]).splits["all"]
    tags = source.targets["tags"]
    assert isinstance(tags, Tags) and source.classes["tags"] == ("old", "red")
    assert tags.present[:2].tolist() == [[1, 1], [0, 0]] and bool(tags.present[2].isnan().all())


def test_a_split_is_honoured_named_or_left_unread(pets: Path):
    head, rows = "path,species,breed,split,use", [
        "images/a.png,cat,x,trainval,train", "images/b.png,dog,y,trainval,train", "images/c.png,dog,x,,test",
        "images/d.png,,y,test,valid"]
    file = write(pets, rows, head)
    with pytest.raises(DataError, match=r"line 4: column 'split' is empty; fill it or remove the line, or read no "
                                        r"split with data\.split=false"):
        open_table(file, target=["species", "breed"])
    assert list(open_table(file, target=["species", "breed"], split=False).splits) == ["all"]
    named = open_table(file, target=["species", "breed"], split="use").splits
    assert {name: len(part) for name, part in named.items()} == {"train": 2, "valid": 1, "test": 1}
    file = write(pets, rows[:2], head)
    with pytest.raises(DataError, match=r"line 2: unknown split 'trainval'\. Did you mean 'train'\? .* Another column "
                                        r"is named by data\.split; false reads none"):
        open_table(file, target=["species", "breed"])
    with pytest.raises(DataError, match=r"has no column 'used' for the split\. Did you mean 'use'\? Its columns: path"):
        open_table(file, target=["species", "breed"], split="used")


def test_a_box_that_cannot_be_used_leaves_its_picture_unknown(pets: Path):
    rows = ["images/a.png,cat,1,2,5,6", "images/b.png,dog,30,2,35,6", "images/c.png,dog,3,3,3,6"]
    parts = open_table(write(pets, rows, "path,kind,xmin,ymin,xmax,ymax"), target=["kind", "boxes"])
    boxes = parts.splits["all"].targets["boxes"]
    assert boxes.crowd.tolist() == [False, True, True] and parts.splits["all"].classes["boxes"] == ("boxes",)
    assert {what: one["count"] for what, one in parts.account["parts"]["boxes"]["dropped"].items()} == {
        "outside": 1, "without_area": 1}


TWO = {"target": ["species", "breed", "head"]}
WRONG = {
    "no such column": (ROWS, {"target": ["species", "bread"]},
                       r"has no column 'bread' to learn\. Did you mean 'breed'\?"),
    "no such corners": (ROWS, {"boxes": {"heat": "species"}}, r"has no corners called 'heat', which data\.boxes names: "
                        r"the columns heat_xmin, .* are expected\. Did you mean 'head'\?"),
    "no such class column": (ROWS, {"boxes": {"head": "specie"}}, r"has no column 'specie', by which data\.boxes "
                             r"names the classes of 'head'\. Did you mean 'species'\?"),
    "half a box": ([*ROWS, "images/a.png,cat,tabby,,1,2,,6,"], TWO, r"line 7: the box 'head' has no head_xmax: give "
                   "all four corners, or none where it is not known"),
    "no number": ([*ROWS, "images/a.png,cat,tabby,,1,2,x,6,"], TWO, r"line 7: column 'head_xmax' holds 'x', which is "
                  "no number of pixels"),
    "a box without class": (["images/a.png,,tabby,,1,2,5,6,", *ROWS], {**TWO, "boxes": {"head": "species"}},
                            r"line 2: the box 'head' has no class: column 'species' is empty"),
    "shares": (["images/a.png,cat,tabby,,0,0,1,1,", "images/b.png,dog,boxer,,,,,,"], TWO,
               r"no corner of 'head' is beyond 1 and all are whole: neither pixels nor fractions"),
    "no box at all": ([row for row in ROWS if ",,,,," in row], {"target": ["species", "head"]},
                      r"head_ymax are empty in every line: there is nothing to learn"),
    "no file of a mask": ([*ROWS, "images/f.png,cat,tabby,,,,,,masks/b.png"], {"target": ["species", "outline"]},
                          r"line 7: the mask .*masks/b\.png of 'outline' does not exist, one of 1 that are missing: "
                          "leave the cell empty where the mask is not known"),
    "no file of a pattern": (ROWS, {"target": "species", "masks": "mask/{breed}.png"}, r"line 2: the mask .*mask/tabby"
                             r"\.png of 'mask' does not exist, one of 3 that are missing: none is there; its path is "
                             "from the folder of the table"),
    "a column of a pattern": (ROWS, {"target": "species", "masks": "masks/{bred}.png"}, r"has no column 'bred', which "
                              r"data\.masks='masks/\{bred\}\.png' names\. Did you mean 'breed'\? Accepted are a "),
    "a pattern without a column": (ROWS, {"pictures": "images"},
                                   r"has no column 'images', which data\.pictures='images' "),
    "a class that is none": (ROWS, {"target": ["species", "breed"], "classes": {"species": ["cat", "dig"]}},
                             r"line 3: label 'dog' is not in data\.classes\. Did you mean 'dig'\? Accepted: cat, d"),
    "an empty column": ([row.replace("cat", "").replace("dog", "") for row in ROWS], {"target": ["species", "breed"]},
                        r"column 'species' is empty in every line: there is nothing to learn"),
    "an id that is none": (ROWS, {"target": ["species", "outline"], "ids": {"1": "pet", "2": "rest"}},
                           r"masks/a\.png holds the id 3 at x=19, y=0, which is none of the ids of data\.ids"),
    "one class": ([row.replace("dog", "cat") for row in ROWS], {"target": ["species", "breed"]},
                  r"gives every picture to learn from one label of 'species', 'cat': to tell classes apart"),
    "the same name twice": (ROWS, {"target": ["species", "breed"], "masks": {"breed": "outline"}}, r"two targets are "
                            r"called 'breed': give one of them another name in data\.masks or in the table"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_table_is_refused_with_the_line_and_what_is_accepted(what, pets: Path):
    rows, options, said = WRONG[what]
    with pytest.raises(DataError, match=said) as caught:
        open_table(write(pets, rows), **options)
    assert "\n" not in str(caught.value) and str(pets) in str(caught.value)


def test_the_name_of_a_column_has_to_be_a_word(pets: Path):
    rows = [f"images/{name}.png,{'cat' if name < 'c' else 'dog'},red" for name in "abcd"]
    with pytest.raises(DataError, match=r"'hair colour' cannot be the name of a part: accepted is one word"):
        open_table(write(pets, rows, "path,kind,hair colour"), target=["kind", "hair colour"])


@pytest.mark.parametrize(("options", "said"), [
    ({"target": "breed", "ids": {"1": "pet"}}, r"data\.ids is for tables with a mask or several targets, and this one "
     "has neither: leave it out, or name the targets with data.target"),
    ({"kind": "label", "target": "species", "masks": "outline"}, r"data\.masks is for .*, and data\.kind=label is for "
     "one: leave one of the two out"),
    ({"target": ["species", "breed"], "classes": ["cat", "dog"]}, r"data\.classes=\['cat', 'dog'\] does not say of "
     r"which target: give \{species = \['cat', 'dog'\]\}; the targets are species, breed"),
    ({"target": ["species", "breed"], "classes": {"specie": ["cat"]}}, r"data\.classes names 'specie', which is no "
     r"target\. Did you mean 'species'\? The targets are species, breed\."),
    ({"target": ["species", "breed"], "classes": {"species": ["cat", "cat"]}}, r"data\.classes: species = \['cat', "
     r"'cat'\] must hold at least one name, none of them twice"),
    ({"target": "age", "kind": "boxes", "classes": {"age": ["x"]}}, "names classes by the target, and this table has "
     "one: give a list"),
    ({"target": ["species", "breed"], "ids": {"1": "pet"}}, r"data\.ids names the ids of masks, and .* names no mask"),
    ({"masks": {}}, r"data\.masks=\{\} names no target: give \{outline = "),
    ({"target": ["species", "species"]}, "names no column, or one twice"),
])
def test_settings_that_do_not_fit_are_user_errors(pets: Path, options, said):
    with pytest.raises(UserError, match=said) as caught:
        open_table(write(pets, ROWS), **options)
    assert caught.value.code == 2


def test_the_pets_give_species_breed_head_and_outline_by_one_table():
    file = Path(GIVEN) / "pets3" / "labels.csv"
    if not GIVEN or not file.is_file():
        pytest.skip("pets3/labels.csv of LENSMITH_DATA is absent")
    parts = open_table(str(file), pictures="images/{name}.jpg", masks={"outline": "trimaps/{name}.png"}, split=False,
                  ids={"1": "pet", "2": "rest", "3": "void"})
    source = parts.splits["all"]
    assert list(source.classes) == ["breed", "species", "head", "outline"]
    with open(file, newline="") as opened:
        rows = list(csv.DictReader(opened))
    head = source.targets["head"]
    assert len(source) == 600 == len(rows)
    assert int((~head.crowd).sum()) == sum(bool(row["head_xmin"]) for row in rows) == 296
    assert source.targets["species"].index.tolist() == [int(row["species"] == "dog") for row in rows]
    row = rows[int(head.image[~head.crowd][-1])]
    assert [round(one, 1) for one in head.corners[~head.crowd][-1].tolist()] == \
        [float(row[f"head_{side}"]) for side in ("xmin", "ymin", "xmax", "ymax")]


def test_a_corner_beyond_what_float32_holds_goes_with_its_picture_that_cannot_be_read(pets: Path):
    rows = ["images/a.png,cat,tabby,,1,1,5,5,", "images/z.png,dog,tabby,,1,1,1e300,5,"]
    source = open_table(write(pets, rows), target=["species", "head"]).splits["all"]
    assert source.targets["head"].corners.isfinite().all()


PICTURES = st.sampled_from(["images/a.png", "images/b.png", "images/z.png"])
CELLS = st.sampled_from(["", "cat", "dog", "1", "2.5", "-3", "nan", "inf", "1e300", ";", "masks/a.png", "masks/z.png"])
TARGETS = st.lists(st.sampled_from(["species", "breed", "age", "head", "outline"]), min_size=1, max_size=4)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(PICTURES, *[CELLS] * 8), min_size=1, max_size=6), target=st.none() | TARGETS)
def test_any_cells_give_targets_of_one_length_or_a_user_error_in_one_line(pets: Path, rows, target):
    said, splits = "", {}
    try:
        splits = open_table(write(pets, [",".join(row) for row in rows]), target=target).splits
    except UserError as error:
        said = str(error)
    assert "\n" not in said and bool(said) != bool(splits)
    for source in splits.values():
        for name, value in source.targets.items():
            assert len(known_in(source, name)) == len(source) and name in source.classes
            taken = source.subset(range(len(source))[::-1]).targets[name]
            assert type(taken) is type(value)
