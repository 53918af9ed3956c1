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
                             "duplicates": 0, "notes": ["list.csv: pictures from 'path'; label from 'label' (the "
                                                        "column is called 'label')"]}


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
@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\\"), min_size=1),
                          st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1)),
                min_size=2, max_size=6))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory, pairs):
    pairs = [(f"{i}{path.strip()}q".replace("/", "_"), f"l{label.strip()}l") for i, (path, label) in enumerate(pairs)]
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
    ("label", ["1.5", "2", "0.1"], "label", "the column is called 'label'"),
    ("target", ["1.0", "0.0", "1.0"], "label", "the column is called 'target'"),
    ("class_id", [str(i % 30) for i in range(60)], "label", "the column is called 'class_id'"),
    ("age", ["3", "4", "3"], "label", "2 different values"),
    ("age", [str(20 - i) for i in range(21)], "numbers", "whole numbers of 21 different values, more than 20"),
    ("ill", ["1.0", "0.0", "1.0"], "label", "2 different values"),
    ("ill", ["1.0", "0.0", "2.0"], "numbers", "most cells are numbers, some with a decimal point"),
    ("price", ["$3.50", '"$1,234"', "$2"], "numbers", "most cells are numbers, in $"),
    ("share", ["0%", "50%", "0%"], "numbers", "most cells are numbers, in %"),
    ("age", [str(i % 20) for i in range(40)], "label", "20 different values"),
    ("weight", ["1e3", "-2", ".5"], "numbers", "most cells are numbers, some with a decimal point"),
    ("breed", ["a", "b", "1.5"], "label", "3 different values"),
    ("tags", ["a;b", "", "b|c "], "tags", "the column is called 'tags', guessed: its cells are divided by ; or |"),
    ("tags", ["a", "b", ""], "tags", "the column is called 'tags'"),
    ("Labels", ["a", "b", "a"], "label", "the column is called 'Labels', and each cell holds one"),
    ("labels", ["a", "", "b"], "tags", "the column is called 'labels'"),
    ("labels", ["a b", "b c", "c"], "tags", "the column is called 'labels', guessed: its cells are divided by a blank"),
    ("genre", ["a|b", "b|c", "c|a"], "tags", "guessed: its cells are divided by ; or |"),
    ("a,b", ["0,1", "1,1", "0,0"], "tags", "2 columns of 0 and 1"),
    ("a,b", ["0.0,1.0", "1.0,1.0", "False,True"], "tags", "2 columns of 0 and 1"),
    ("a,b", ["0.0,1.0", "1.0,0.0"], "tags", "2 columns of 0 and 1, one of them 1 in each line, so that data.kind=label "
     "learns classes"),
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


def test_a_path_that_comes_twice_is_one_picture_and_counted(tmp_path):
    parts = open_table(write(tmp_path, "path,label\na,x\n./a,x\nb,y\na,x\n"))
    assert parts.account["duplicates"] == 2 and files(parts.splits["all"]) == ["a", "b"]


def test_what_is_unknown_is_left_out_and_said(tmp_path):
    text = "path,label\na,x\nb,nan\nc,NA\nd,\ne,None\n"
    parts = open_table(write(tmp_path, text))
    assert labels(parts.splits["all"]) == ["x", "None"] and parts.account["without_target"] == {
        "count": 3, "pictures": ["b", "c", "d"]}
    assert labels(open_table(write(tmp_path, text), unknown=["", "None"]).splits["all"]) == ["x", "nan", "NA"]
    kept = open_table(write(tmp_path, text), classes=["NA", "None", "x"]).splits["all"]
    assert labels(kept) == ["x", "NA", "None"]
    numbers = open_table(write(tmp_path, "path,x,y\na,1.5,?\nb,NaN,-\nc,2.5,3\n")).splits["all"]
    assert files(numbers) == ["a", "c"] and torch.isnan(numbers.targets["numbers"].values).tolist() == [
        [False, True], [False, False]]
    tags = open_table(write(tmp_path, "path,tags\na,s;t\nb,\nc,nan\n")).splits["all"]
    assert tags.targets["tags"].present.tolist() == [[1, 1], [0, 0]]


def test_whole_numbers_that_pandas_wrote_with_a_point_are_the_classes(tmp_path):
    parts = open_table(write(tmp_path, "path,label\na,2.0\nb,10.0\nc,\n"))
    assert parts.splits["all"].classes["label"] == ("2", "10")
    assert labels(open_table(write(tmp_path, "path,label\na,2.0\nb,10.0\n"), classes=["10", "2"]).splits["all"]) == [
        "2", "10"]


def test_classes_that_differ_by_case_or_blanks_are_said(tmp_path):
    parts = open_table(write(tmp_path, "path,label\na,Great Dane\nb,great  dane\nc,Great Dane\nd,pug\n"))
    assert parts.account["notes"][1] == (
        "classes that differ by case or blanks alone: 'Great Dane' (2 pictures), 'great  dane' (1 picture); they are "
        "learned apart unless the table is mended")


def test_one_column_a_class_becomes_a_label_where_it_is_asked_for(tmp_path):
    source = open_table(write(tmp_path, "image,MEL,NV\na,0.0,1.0\nb,1.0,0.0\n"), kind="label").splits["all"]
    assert labels(source) == ["NV", "MEL"]


def test_what_separates_labels_may_be_given(tmp_path):
    path = write(tmp_path, "path,about\na,red+old\nb,new\n")
    assert open_table(path, delimiter="+").splits["all"].classes["tags"] == ("new", "old", "red")
    assert open_table(path).splits["all"].classes["label"] == ("new", "red+old")


def test_numbers_as_they_are_written_elsewhere(tmp_path):
    text = "path;weight;price\na;1,5;1.234,50 €\nb;-2;2 €\n"
    parts = open_table(write(tmp_path, text))
    assert parts.splits["all"].targets["numbers"].values.tolist() == [[1.5, 1234.5], [-2, 2]]
    assert parts.account["notes"] == [
        "list.csv: pictures from 'path'; numbers from 'weight', 'price' (2 columns of numbers)",
        "'weight' is written with a decimal comma", "'price' is written with a decimal comma, in €"]
    guessed = open_table(write(tmp_path, "path;x\na;1,234\nb;2,345\n"))
    assert guessed.splits["all"].targets["numbers"].values[0].item() == pytest.approx(1.234)
    assert guessed.account["notes"][1] == "'x': guessed that 1,234 is 1.234; data.decimal settles it, as '.' or ','"
    asked = open_table(write(tmp_path, "path;x\na;1,234\nb;2,345\n"), decimal=".", kind="numbers").splits["all"]
    assert asked.targets["numbers"].values.tolist() == [[1234], [2345]]


def test_what_was_taken_for_what_is_said(tmp_path):
    text = ",path,age,class,is_valid,source\n0,a,30,x,False,web\n1,b,40,y,False,web\n2,c,31,x,True,web\n"
    parts = open_table(write(tmp_path, text))
    assert parts.account["notes"] == [
        "list.csv: pictures from 'path'; label from 'class' (the column is called 'class'); divided by 'is_valid' "
        "(True is valid); not used: a column without a name (an index), 'age', 'source' (every line holds 'web')"]
    assert {name: len(part) for name, part in parts.splits.items()} == {"train": 2, "valid": 1}


@pytest.mark.parametrize(("text", "options", "classes", "rows"), [
    ("path,x0,y0,x1,y1,kind\na.png,1,2,3,4,cat\na.png,5,6,7,8,dog\n", {}, ("cat", "dog"), [0, 0]),
    ("path,x0,y0,x1,y1,kind,colour\na.png,1,2,3,4,cat,red\na.png,5,6,7,8,dog,red\n", {"target": "kind"},
     ("cat", "dog"), [0, 0]),
    ("path,x0,y0,x1,y1,age\na.png,1,2,3,4,3\nb.png,5,6,7,8,4\n", {"target": "age", "kind": "boxes"}, ("3", "4"),
     [0, 1]),
    ("path;x0;y0;x1;y1\na.png;1,5;2;3;4\na.png;5;6;7;8\n", {}, ("object",), [0, 0])])
def test_several_rows_of_a_picture_with_corners_are_its_boxes(text, options, classes, rows, tmp_path, picture):
    for name in "ab":
        picture(f"{name}.png")
    parts = open_table(write(tmp_path, text), **options)
    boxes = parts.splits["all"].targets["boxes"]
    assert parts.splits["all"].classes["boxes"] == classes and boxes.image.tolist() == rows
    assert "boxes from x0, y0, x1, y1" in parts.account["notes"][0]


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
    "no label at all": ("path,label\na,nan\nb, \n", {}, "column 'label' is empty in every line: there is nothing to"),
    "a label like a quantity": ("path,target\n" + "".join(f"{i},{i / 7:.3f}\n" for i in range(30)), {}, "column "
                                "'target' is called like a label and holds 30 different numbers with a decimal sign or "
                                "unit in 30 lines: say data.kind=numbers for a quantity, or data.kind=label"),
    "a text": ("path,caption\n" + "".join(f"{i},text {i}\n" for i in range(50)), {}, "column 'caption' holds 50 "
               r"different texts in 50 lines, which are no labels: say which column is learned with data\.target"),
    "an index alone": ("path,frame\na,0\nb,1\nc,2\n", {}, r"has no column to learn: 'frame' is set aside \('frame': "
                       r"it counts the lines from 0\)\. Where one is a target all the same, name it, as data\.targe"),
    "another unit": ("path,x\na,1%\nb,2%\nc,0.5\n", {}, "line 4: column 'x' holds '0.5', which is not a finite number "
                     r"\(such as 12 or 0\.5\), in % as the others"),
    "no header": ("img/a.png,x\nimg/b.png,y\n", {}, r"begins with the line of a picture \(img/a\.png\): a first line"),
    "empty path": ("path,label\na,x\n\n,y\n", {}, "line 4: column 'path' is empty"),
    "empty group": ("path,label,group\na,x,\n", {}, "line 2: column 'group' is empty"),
    "empty split": ("path,label,split\na,x,\n", {}, "line 2: column 'split' is empty"),
    "unlisted label": ("path,label\na,cat\nb,dgo\n", {"classes": ["cat", "dog"]}, r"line 3: label 'dgo' is not in "
                       r"data\.classes\. Did you mean 'dog'\? Accepted: cat, dog\."),
    "unlisted tag": ("path,tags\na,cat\nb,cat;cow\n", {"classes": ["cat", "dog"]}, "line 3: tag 'cow' is not in"),
    "not a number": ("path,x\na,1.5\nb,2.5\nc,tall\n", {}, "line 4: column 'x' holds 'tall', which is not a finite"),
    "infinite": ("path,x\na,1.5\nb,-inf\nc,2.5\n", {}, "line 3: column 'x' holds '-inf'"),
    "too large": ("path,x\na,1.5\nb,1e39\n", {}, "line 3: column 'x' holds '1e39', which is not a finite number"),
    "a decimal comma": ("path;x\na;1.5\nb;2.5\nc;3,5\n", {}, "line 4: column 'x' holds '3,5'"),
    "a decimal point": ("path;x\na;1,5\nb;2,5\nc;3.5\n", {}, r"line 4: column 'x' holds '3\.5', which is not a finite "
                        r"number \(such as 12 or 0,5\)"),
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
    ("path,a,b\nx,1,1\n", {"kind": "label"}, r"a label is one column, or several of 0 and 1 with one 1 in each line, "
     r"and data\.target has 2 \(a, b\): name one; in line 2 they hold 1, 1"),
    ("path,x\na,1\nb,2\n", {"decimal": "'"}, "data.decimal=\"'\" is not possible: accepted are '.' and ','"),
    ("path,x\na,1\nb,2\n", {"delimiter": ""}, "data.delimiter='' separates nothing: give the text between"),
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
