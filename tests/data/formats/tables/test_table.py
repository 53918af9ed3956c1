"""Tables: what each column means, by which rule, and every cell that cannot be used."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.tables.table import open_table

GIVEN = os.environ.get("LENSMITH_DATA", "")


def write(folder, text, name="list.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding) if isinstance(text, str) else text)
    return str(folder / name)


def files(source):
    return [source.place(i).file for i in range(len(source))]


def labels(source):
    return [source.classes["label"][i] for i in source.targets["label"].index.tolist()]


def test_a_label_a_picture(tmp_path):
    parts = open_table(write(tmp_path, "path,label\na.png,dog\nsub/b.png,cat\nc.png,dog\n"))
    source = parts.splits["all"]
    assert source.classes == {"label": ("cat", "dog")} and labels(source) == ["dog", "cat", "dog"]
    assert source.paths[1] == tmp_path / "sub" / "b.png" and files(source) == ["a.png", "sub/b.png", "c.png"]
    assert parts.account == {"table": str(tmp_path / "list.csv"), "target": ["label"], "kind": "label",
                             "kind_because": "the column is called 'label'", "unused": [], "pictures": {"all": 3},
                             "duplicates": 0}


def test_split_and_group_columns_are_honoured(tmp_path):
    parts = open_table(write(tmp_path, "label,split,path,group\na,train,1.png,p1\nb,Train,2.png,p2\na,val,3.png,p3\n"
                                  "b,validation,4.png,p3\na,test,5.png,p4\n"))
    assert {name: files(source) for name, source in parts.splits.items()} == {
        "train": ["1.png", "2.png"], "valid": ["3.png", "4.png"], "test": ["5.png"]}
    assert parts.splits["valid"].groups.tolist() == ["p3", "p3"] and labels(parts.splits["test"]) == ["a"]
    assert parts.account["pictures"] == {"train": 2, "valid": 2, "test": 1}


@pytest.mark.parametrize("text", [
    "\ufeffpath,label\r\na.png,\"x, \"\"y\"\"\"\r\n\r\nb.png,z\r\n", "path\tlabel\na.png\tx, \"y\"\n\nb.png\tz\n",
    "path;label\na.png;x, \"y\"\n;\nb.png;z"])
def test_marks_quotes_line_ends_empty_lines_and_separators(text, tmp_path):
    if "\t" in text or ";" in text:
        text = text.replace('x, "y"', '"x, ""y"""')
    source = open_table(write(tmp_path, text)).splits["all"]
    assert labels(source) == ['x, "y"', "z"] and files(source) == ["a.png", "b.png"]


def test_a_separator_may_be_given(tmp_path):
    assert labels(open_table(write(tmp_path, "path|label\na|x\nb|y\n"), separator="|").splits["all"]) == ["x", "y"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
                          st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)),
                min_size=2, max_size=6))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory, pairs):
    pairs = [(f"p{path.strip()}q".replace("/", "_"), f"l{label.strip()}l") for path, label in pairs]
    pairs[0] = (pairs[0][0], "another")
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("path", "label"), *pairs])
    source = open_table(write(tmp_path_factory.mktemp("table"), stream.getvalue()), kind="label",
                   classes=sorted({"another", "one more", *(label for _, label in pairs)})).splits["all"] \
        if len({label for _, label in pairs}) > 1 else None
    if source is not None:
        assert labels(source) == [label for _, label in pairs]
        assert [path.name for path in source.paths] == [path for path, _ in pairs]


@pytest.mark.parametrize(("header", "cells", "kind", "because"), [
    ("label", ["cat", "dog", "cat"], "label", "the column is called 'label'"),
    ("label", [str(i) for i in range(50)], "label", "the column is called 'label'"),
    ("Class", ["1", "0", "1"], "label", "the column is called 'Class'"),
    ("label", ["1.5", "2", "0.1"], "numbers", "most cells are numbers, some with a decimal point"),
    ("age", ["3", "4", "3"], "label", "2 different values"),
    ("age", [str(i) for i in range(21)], "numbers", "whole numbers of 21 different values, more than 20"),
    ("age", [str(i % 20) for i in range(40)], "label", "20 different values"),
    ("weight", ["1e3", "-2", ".5"], "numbers", "most cells are numbers, some with a decimal point"),
    ("breed", ["a", "b", "1.5"], "label", "3 different values"),
    ("tags", ["a;b", "", "b|c "], "tags", "the column is called 'tags'"),
    ("Labels", ["a", "b", "a"], "tags", "the column is called 'Labels'"),
    ("a,b", ["0,1", "1,1", "0,0"], "tags", "2 columns of 0 and 1"),
    ("x,y", ["0,1", "1,2.5", "0,0"], "numbers", "2 columns of numbers"),
])
def test_the_kind_of_target_follows_a_rule_that_the_account_names(header, cells, kind, because, tmp_path):
    rows = "\n".join(f"{i}.png,{cell}" for i, cell in enumerate(cells))
    parts = open_table(write(tmp_path, f"path,{header}\n{rows}\n"))
    assert (parts.account["kind"], parts.account["kind_because"]) == (kind, because)
    assert list(parts.splits["all"].classes) == list(parts.splits["all"].targets) == [kind]


def test_numbers_keep_their_names_and_values(tmp_path):
    text = "path,split,x,width\na.png,train,1.25,-3\nb.png,test,+2e-1,4\n"
    parts = open_table(write(tmp_path, text))
    train = parts.splits["train"]
    assert train.classes == {"numbers": ("x", "width")} and train.targets["numbers"].values.dtype == torch.float32
    assert train.targets["numbers"].values.tolist() == [[1.25, -3]]
    assert np.allclose(parts.splits["test"].targets["numbers"].values, [[0.2, 4]])


def test_a_column_may_be_chosen_and_its_kind_too(tmp_path):
    path = write(tmp_path, "path,breed,age,size\na.png,lab,3,1.5\nb.png,pug,4,2.5\nc.png,lab,3,3.5\n")
    assert labels(open_table(path, target="breed").splits["all"]) == ["lab", "pug", "lab"]
    assert open_table(path, target="breed").account["unused"] == ["age", "size"]
    ages = open_table(path, target="age", kind="numbers").splits["all"].targets["numbers"]
    assert ages.values.tolist() == [[3], [4], [3]]
    both = open_table(path, target=["size", "age"]).splits["all"]
    assert both.classes["numbers"] == ("size", "age") and both.targets["numbers"].values[1].tolist() == [2.5, 4]
    assert open_table(path, target="age", kind="label").account["kind_because"] == "data.kind=label"


def test_tags_in_one_cell_become_a_row_of_zeros_and_ones(tmp_path):
    source = open_table(write(tmp_path, "path,tags\na.png,sea; sun\nb.png,\nc.png,sun|sand\n")).splits["all"]
    assert source.classes["tags"] == ("sand", "sea", "sun")
    assert source.targets["tags"].present.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]


def test_tags_in_columns_become_the_same(tmp_path):
    source = open_table(write(tmp_path, "path,sun,sea\na.png,1,0\nb.png,0,0\n")).splits["all"]
    assert source.classes["tags"] == ("sun", "sea") and source.targets["tags"].present.tolist() == [[1, 0], [0, 0]]


def test_whole_numbers_are_ordered_by_size_as_classes(tmp_path):
    source = open_table(write(tmp_path, "path,label\na,10\nb,9\nc,1\n")).splits["all"]
    assert source.classes["label"] == ("1", "9", "10")


def test_given_classes_fix_the_names_and_their_order(tmp_path):
    path = write(tmp_path, "path,label,split\na,dog,train\nb,cat,train\nc,emu,test\n")
    source = open_table(path, classes=["dog", "cat", "emu"]).splits["train"]
    assert source.classes["label"] == ("dog", "cat", "emu") and source.targets["label"].index.tolist() == [0, 1]
    path = write(tmp_path, "path,tags\na,dog\nb,cat;dog\n")
    assert open_table(path, classes=["dog", "cat"]).splits["all"].targets["tags"].present.tolist() == [[1, 0], [1, 1]]


def test_a_path_that_comes_twice_is_counted(tmp_path):
    assert open_table(write(tmp_path, "path,label\na,x\na,y\nb,x\na,x\n")).account["duplicates"] == 2


def test_a_missing_picture_is_left_for_the_survey(tmp_path):
    assert len(open_table(write(tmp_path, "path,label\nabsent.png,x\nb.png,y\n")).splits["all"]) == 2


WRONG = {
    "no picture column": ("paht,label\na,x\n", {}, r"has no column for the pictures: accepted are path, file, .* its "
                          r"columns are paht, label\. Did you mean 'paht'\?"),
    "nothing to learn": ("path,split\na,train\n", {}, "has no column to learn beside path, split: a column label"),
    "unknown target": ("path,breed\na,x\n", {"target": "bread"}, r"no column 'bread' to learn\. Did you mean 'bre"),
    "the picture as target": ("path,breed\na,x\n", {"target": "path"}, "has no column 'path' to learn"),
    "several columns": ("path,breed,age\na,x,1\nb,y,2\n", {}, r"several columns that could be learned \(breed, age\), "
                        "and 'breed' does not hold numbers: say which one with data.target"),
    "empty label": ("path,label\na,x\nb, \n", {}, "line 3: column 'label' is empty; fill it or remove the line"),
    "empty path": ("path,label\na,x\n\n,y\n", {}, "line 4: column 'path' is empty"),
    "empty group": ("path,label,group\na,x,\n", {}, "line 2: column 'group' is empty"),
    "empty split": ("path,label,split\na,x,\n", {}, "line 2: column 'split' is empty"),
    "unlisted label": ("path,label\na,cat\nb,dgo\n", {"classes": ["cat", "dog"]}, r"line 3: label 'dgo' is not in "
                       r"data\.classes\. Did you mean 'dog'\? Accepted: cat, dog\."),
    "unlisted tag": ("path,tags\na,cat\nb,cat;cow\n", {"classes": ["cat", "dog"]}, "line 3: tag 'cow' is not in"),
    "not a number": ("path,x\na,1.5\nb,2.5\nc,tall\n", {}, "line 4: column 'x' holds 'tall', which is not a finite"),
    "NaN": ("path,x\na,1.5\nb,NaN\nc,2.5\n", {}, "line 3: column 'x' holds 'NaN', which is not a finite number"),
    "infinite": ("path,x\na,1.5\nb,-inf\nc,2.5\n", {}, "line 3: column 'x' holds '-inf'"),
    "too large": ("path,x\na,1.5\nb,1e39\n", {}, "line 3: column 'x' holds '1e39', which is not a finite number"),
    "a decimal comma": ("path;x\na;1.5\nb;2.5\nc;3,5\n", {}, "line 4: column 'x' holds '3,5'"),
    "an underscore": ("path,x\na,1.5\nb,2.5\nc,1_0\n", {}, "line 4: column 'x' holds '1_0'"),
    "numbers asked for": ("path,label\na,x\nb,y\n", {"kind": "numbers"}, "line 2: column 'label' holds 'x'"),
    "tags of 2": ("path,a,b\nx,0,1\ny,2,1\n", {"kind": "tags"}, "line 3: column 'a' holds '2'; a column for a tag"),
    "no tag": ("path,tags\na,\nb,;\n", {}, "column 'tags' has no tag in any line"),
    "unknown split": ("path,label,split\na,x,train\nb,y,tset\n", {}, r"line 3: unknown split 'tset'\. Did you mean "
                      r"'test'\? Accepted: train, valid \(or val, validation\), test\."),
    "no train": ("path,label,split\na,x,test\nb,y,test\n", {}, "gives no picture the split 'train'"),
    "one label": ("path,label\na,x\nb,x\n", {}, "one label, 'x': to tell classes apart takes at least two"),
    "one label in train": ("path,label,split\na,x,train\nb,y,test\n", {}, "one label, 'x'"),
    "a label that train lacks": ("path,label,split\na,x,train\nb,y,train\nc,z,val\n", {}, "'z' is in split 'valid' "
                                 "but not in 'train'"),
    "empty": ("", {}, "is empty: a first line that names the columns, as path,label"),
    "only a header": ("path,label\n\n", {}, "is empty: a first line"),
    "a short row": ("path,label\na,x\nb\n", {}, "line 3: 1 cell where the first line names 2 columns"),
    "a long row": ("path,label\na,x,y\n", {}, "line 2: 3 cells where the first line names 2 columns"),
    "twice the same column": ("path,label,label\na,x,y\n", {}, "has two columns called 'label': rename one"),
    "an open quote": ('path,label\na,x\nb,"y\n', {}, r"line 3: cannot be read as a table \(unexpected end of data\)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_table_is_refused_with_the_line_and_what_is_accepted(what, tmp_path):
    text, options, said = WRONG[what]
    with pytest.raises(DataError, match=said) as caught:
        open_table(write(tmp_path, text), **options)
    assert str(caught.value).startswith(("table " + str(tmp_path), str(tmp_path))) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "options", "said"), [
    ("path,x\na,1.5\nb,2.5\n", {"classes": ["a", "b"]}, "has no meaning here, where the columns x name the numbers"),
    ("path,a,b\nx,0,1\ny,1,1\n", {"classes": ["a", "b"]}, "has no meaning here, where the columns a, b name"),
    ("path,label\na,x\n", {"classes": ["x", "x"]}, "must hold at least two names, none of them twice"),
    ("path,label\na,x\n", {"classes": ["x"]}, "must hold at least two names"),
    ("path,a,b\nx,0,1\n", {"kind": "label"}, r"a label is one column, and data\.target has 2 \(a, b\): name one"),
    ("path,a,b\nx,0,1\n", {"target": ["a", "a"]}, "names no column, or one twice"),
    ("path,a\nx,0\n", {"target": []}, "names no column"),
    ("path,label\na,x\n", {"separator": "::"}, "data.separator='::' is not possible: accepted is one character"),
])
def test_settings_that_do_not_fit_are_user_errors(text, options, said, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        open_table(write(tmp_path, text), **options)
    assert caught.value.code == 2


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"list\.csv is not UTF-8 text \(byte 14\): save it as CSV in UTF-8"):
        open_table(write(tmp_path, "path,label\na,b\xe4r\nb,cat\n".encode("latin-1")))
    with pytest.raises(DataError, match=r"lits\.csv does not exist\. Did you mean 'list\.csv'\?"):
        open_table(str(tmp_path / "lits.csv"))
    with pytest.raises(DataError, match="is a folder; read class folders with data.name=folder"):
        open_table(str(tmp_path))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", b"path,label\n"]),
       st.binary(max_size=80) | st.text("pathlbe,;\t\"\n\r\0 01.x", max_size=60).map(str.encode))
def test_any_bytes_give_parts_or_a_user_error_in_one_line(tmp_path_factory, beginning, data):
    path = write(tmp_path_factory.mktemp("table"), beginning + data)
    said = ""
    try:
        parts = open_table(path)
    except UserError as error:
        said = str(error)
    if said:
        assert "\n" not in said
    else:
        assert sum(len(part) for part in parts.splits.values()) > 0


def test_a_real_table_with_many_columns_opens_by_its_target(tmp_path):
    if not GIVEN or not (Path(GIVEN) / "pets3" / "labels.csv").is_file():
        pytest.skip("pets3/labels.csv of LENSMITH_DATA is absent")
    with open(Path(GIVEN) / "pets3" / "labels.csv", newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if row["split"]]
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["path", *list(rows[0])[1:]])
    writer.writerows([{"trainval": "train"}.get(cell, cell) for cell in row.values()] for row in rows)
    path = write(tmp_path, stream.getvalue())
    assert list(open_table(path).splits["train"].classes) == ["breed", "species", "head"]
    parts = open_table(path, target="breed")
    assert len(parts.splits["train"]) == sum(row["split"] == "trainval" for row in rows)
    assert labels(parts.splits["test"]) == [row["breed"] for row in rows if row["split"] == "test"]
