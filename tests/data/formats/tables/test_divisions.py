"""The columns that divide a table: words, flags, folds, and what is refused."""

from pathlib import Path

import pytest

from lensmith.base.errors import DataError, UserError
from lensmith.data.formats.tables.divisions import divided
from lensmith.data.formats.tables.read_table import Rows


def table(header: str, *rows: str) -> Rows:
    return Rows(Path("t.csv"), header.split(","), [row.split(",") for row in rows], list(range(2, 2 + len(rows))))


@pytest.mark.parametrize(("rows", "splits", "columns", "words"), [
    (table("split", "Train", "val", "test"), "train valid test", ["split"], "divided by 'split'"),
    (table("subset", "training", "testing"), "train test", ["subset"], "divided by 'subset'"),
    (table("part,part2", "train,train", "dev,dev"), "train valid", ["part"], "divided by 'part'"),
    (table("is_valid", "False", "True"), "train valid", ["is_valid"], "divided by 'is_valid' (True is valid)"),
    (table("Is Train", "1", "0"), "train valid", ["Is Train"], "divided by 'Is Train' (0 is valid)"),
    (table("is_test,is_valid", "0,0", "0,1", "1,1"), "train valid test", ["is_test", "is_valid"],
     "divided by 'is_test' (1 is test) and 'is_valid' (1 is valid)"),
    (table("fold", "10", "2", "0"), "train train valid", ["fold"],
     "divided by 'fold' (0 is valid, the other 2 train; data.fold)"),
    (table("kfold", "1.0", "2.0"), "valid train", ["kfold"],
     "divided by 'kfold' (1.0 is valid, the other 1 train; data.fold)"),
    (table("fold", "train", "test"), "train test", ["fold"], "divided by 'fold'")])
def test_a_column_that_divides_is_found_by_its_name_or_its_words(rows, splits, columns, words):
    found = divided(rows, "split", None)
    assert (found[0].splits, found[1], found[2]) == (splits.split(), columns, words)


@pytest.mark.parametrize("rows", [
    table("subset", "train", "car"), table("is_valid", "0", "0"), table("is_valid", "yes", "maybe"),
    table("use", "test", "val"), table("label", "train", "train"), table("fold", "1", "1")])
def test_no_other_column_divides(rows):
    assert divided(rows, "split", None) == (rows, [], "")


def test_a_column_and_a_fold_may_be_named():
    rows = table("fold,use,part", "0,train,2", "1,test,3", "2,train,3")
    assert divided(rows, "use", None)[0].splits == ["train", "test", "train"]
    assert divided(table("fold", "0", "1", "2"), "split", 2)[0].splits == ["train", "train", "valid"]
    assert divided(rows, "part", 3)[0].splits == ["train", "valid", "valid"]
    assert divided(rows, False, None)[0].splits is None


@pytest.mark.parametrize(("rows", "split", "fold", "error", "said"), [
    (table("a,b", "train,test", "test,train"), "split", None, DataError, r"several columns that divide it, and not "
     r"alike \(a, b\): say which with data\.split=NAME, or false for none"),
    (table("fold", "1", "2"), "split", 7, UserError, r"data\.fold=7 is no fold of the column 'fold' of t\.csv; its "
     "folds are 1, 2"),
    (table("x", "1", "2"), "split", 7, UserError, r"data\.fold=7 needs a column of folds, which t\.csv has not"),
    (table("fold", "1", ""), "split", None, DataError, r"line 3: column 'fold' is empty; fill it or remove the line, "
     r"or read no split with data\.split=false"),
    (table("split", "test", "val"), "split", None, DataError, "gives no picture the split 'train'"),
    (table("is_test", "1", "0"), "is_test", 3, UserError, "data.fold=3 is no fold of the column 'is_test'")])
def test_what_does_not_divide_is_refused(rows, split, fold, error, said):
    with pytest.raises(error, match=said):
        divided(rows, split, fold)
