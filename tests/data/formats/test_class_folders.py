"""Class folders: the layouts that are accepted, and what is said of all others."""

import json
import os
import time

import numpy as np
import pytest

from lensmith.base.errors import DataError, Question, UserError
from lensmith.data.formats.class_folders import class_folders
from lensmith.data.sources.findings import findings


def fill(root, *files):
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return str(root)


def names(source):
    return [source.place(i).file for i in range(len(source))]


def test_folders_without_a_split_give_one_part(tmp_path):
    parts = class_folders(fill(tmp_path, "dog/1.jpg", "cat/2.png", "cat/1.jpeg", "dog/deep/er/0.webp"))
    source = parts.splits["all"]
    assert list(parts.splits) == ["all"] and source.classes == {"label": ("cat", "dog")}
    assert names(source) == ["cat/1.jpeg", "cat/2.png", "dog/1.jpg", "dog/deep/er/0.webp"]
    assert source.targets["label"].index.tolist() == [0, 0, 1, 1] and source.groups is None
    assert parts.account == {"folder": str(tmp_path), "layout": "<class>", "pictures": {"all": 4}, "ignored": {},
                             "ignored_files": [], "ignored_folders": []}


@pytest.mark.parametrize("alias", ["val", "valid", "validation", "Valid"])
def test_folders_with_a_split_keep_it(tmp_path, alias):
    parts = class_folders(fill(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", f"{alias}/c/2.jpg",
                               "test/b/3.jpg", "other/note.txt"))
    assert list(parts.splits) == ["train", "valid", "test"]
    assert {name: source.targets["label"].index.tolist() for name, source in parts.splits.items()} == {
        "train": [0, 1, 2], "valid": [2], "test": [1]}
    assert all(source.classes["label"] == ("a", "b", "c") for source in parts.splits.values())
    assert names(parts.splits["valid"]) == [f"{alias}/c/2.jpg"]
    assert parts.account["layout"] == "<split>/<class>" and parts.account["ignored_folders"] == ["other"]


def test_hidden_things_are_passed_over_and_other_files_are_counted(tmp_path):
    parts = class_folders(fill(tmp_path, "a/1.JPG", "a/.2.jpg", "a/Thumbs.db", "a/readme.txt", "b/1.tiff",
                               "b/.git/x.png", "b/list.TXT", "b/plain", ".cache/x.png", "__MACOSX/a/1.jpg", "x.md"))
    assert names(parts.splits["all"]) == ["a/1.JPG", "b/1.tiff"]
    assert parts.account["ignored"] == {"(no suffix)": 1, ".txt": 2}
    assert parts.account["ignored_files"] == ["a/readme.txt", "b/list.TXT", "b/plain"]


def test_of_many_ignored_files_a_hundred_are_named_and_the_rest_counted(tmp_path):
    root = fill(tmp_path, "train/a/1.jpg", "train/b/1.jpg", *(f"train/a/{number:04d}.txt" for number in range(1_250)))
    account = class_folders(root).account
    assert account["ignored_files"] == [*(f"train/a/{number:04d}.txt" for number in range(100)), "and 1,150 more"]
    assert account["ignored"] == {".txt": 1_250}


def test_names_that_are_not_utf8_are_written_down_or_refused(tmp_path):
    odd = b"caf\xe9".decode("utf-8", "surrogateescape")
    root = fill(tmp_path / odd, "train/a/1.jpg", "train/b/1.jpg", f"train/b/{odd}.{odd}", f"{odd}/x")
    assert json.dumps(class_folders(root).account, ensure_ascii=False).encode().count("caf\N{REPLACEMENT CHARACTER}"
                                                                                     .encode()) == 5
    fill(tmp_path / odd, f"train/{odd}/1.jpg")
    with pytest.raises(DataError, match="class folder 'caf\N{REPLACEMENT CHARACTER}' in .*/train has a name that is "
                                        "not UTF-8 text, so the class could not be written down: rename it") as caught:
        class_folders(root)
    str(caught.value).encode()


def test_broken_links_are_candidates_and_loops_of_links_end(tmp_path):
    root = fill(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    (tmp_path / "set" / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set" / "a")
    (tmp_path / "set" / "b" / "up").symlink_to(tmp_path / "set" / "b" / "up")
    fill(tmp_path / "elsewhere", "2.jpg")
    (tmp_path / "set" / "b" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(class_folders(root).splits["all"]) == ["a/1.jpg", "a/gone.jpg", "b/1.jpg", "b/link/2.jpg"]


def test_a_folder_with_two_ways_to_it_counts_once_by_its_own_name(tmp_path):
    root = fill(tmp_path / "set", "a/m/1.jpg", "b/1.jpg")
    for link in ("z", "c"):
        (tmp_path / "set" / "a" / link).symlink_to(tmp_path / "set" / "a" / "m")
        (tmp_path / "set" / "b" / link).symlink_to(tmp_path / "set" / "a" / "m")
    assert names(class_folders(root).splits["all"]) == ["a/m/1.jpg", "b/1.jpg", "b/c/1.jpg"]


def test_the_order_does_not_depend_on_that_of_the_disk(tmp_path):
    made = [f"{kind}/{number}.jpg" for kind in "ba" for number in (10, 9, 100)]
    one, other = fill(tmp_path / "one", *made), fill(tmp_path / "other", *reversed(made))
    assert names(class_folders(one).splits["all"]) == names(class_folders(other).splits["all"]) == sorted(made)


def test_a_group_is_what_the_first_bracket_matches(tmp_path):
    root = fill(tmp_path, "a/p1_1.jpg", "a/p1_2.jpg", "b/p2_1.jpg", "b/p1_3.jpg")
    assert class_folders(root, group=r"^(p\d+)_").splits["all"].groups.tolist() == ["p1", "p1", "p1", "p2"]
    with pytest.raises(DataError, match=r"data\.group='\^\(p1\)' does not match 1 file name, such as p2_1\.jpg: every"):
        class_folders(root, group="^(p1)")


@pytest.mark.parametrize(("group", "said"), [
    ("(p", r"data\.group='\(p' is not a regular expression \(missing \)"),
    ("p1", r"data\.group='p1' has no bracket: put round brackets around the part")])
def test_a_wrong_expression_is_a_user_error(group, said, tmp_path):
    with pytest.raises(UserError, match=said):
        class_folders(fill(tmp_path, "a/1.jpg", "b/1.jpg"), group=group)


ACCEPTED = r"accepted are <split>/<class>/<pictures> with the splits train, valid \(or val, validation\) and test, "
WRONG = {
    "an empty class folder": (("train/a/1.jpg", "train/b/note.txt"), r"folder .*/train/b holds no picture \(\.jpg"),
    "an empty class folder in test": (("train/a/1.jpg", "train/b/1.jpg", "test/b/x.txt"), "/test/b holds no picture"),
    "no class folders": (("1.jpg", "2.png", "x.txt"), f"holds 2 pictures and no class folder: {ACCEPTED}"),
    "nothing": ((".hidden",), f"holds no class folder: {ACCEPTED}"),
    "no class folders in train": (("train/1.jpg", "test/a/1.jpg"),
                                  f"/train holds 1 picture and no class folder: {ACCEPTED}"),
    "a class that train lacks": (("train/cat/1.jpg", "train/dog/1.jpg", "val/cats/1.jpg"),
                                 "class folder 'cats' in .*/val is not in .*/train, so it could not be learned. Did "
                                 "you mean 'cat'"),
    "no train": (("test/a/1.jpg", "val/a/1.jpg"), f"holds 'test', 'val' but no 'train': {ACCEPTED}"),
    "test beside classes": (("test/a/1.jpg", "cat/1.jpg"), "holds 'test' but no 'train'"),
    "two names for one split": (("train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"),
                                "holds both 'val' and 'valid', which name one split"),
}


@pytest.mark.parametrize("what", WRONG)
def test_another_layout_is_named_with_what_is_accepted(what, tmp_path):
    files, said = WRONG[what]
    with pytest.raises(DataError, match=said) as caught:
        class_folders(fill(tmp_path, *files))
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_folder_names_the_nearest(tmp_path):
    fill(tmp_path, "flowers/a/1.jpg")
    with pytest.raises(DataError, match=r"folder .*/flower does not exist\. Did you mean 'flowers'\?$"):
        class_folders(str(tmp_path / "flower"))
    with pytest.raises(DataError, match=r"does not exist\. Check data\.path\.$"):
        class_folders(str(tmp_path / "no" / "where"))


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    fill(tmp_path, "list.csv", "photo.jpg")
    with pytest.raises(DataError, match=r"list\.csv is a file, not a folder .*: read a table with data.name=table$"):
        class_folders(str(tmp_path / "list.csv"))
    with pytest.raises(DataError, match=r"photo\.jpg is a file, not a folder of class folders$"):
        class_folders(str(tmp_path / "photo.jpg"))


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    root = fill(tmp_path, "a/1.jpg", "b/1.jpg")
    real = os.scandir

    def denied(folder):
        if str(folder).endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(DataError, match=r"/b cannot be read \(Permission denied\)"):
        class_folders(root)


def test_a_home_folder_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "set", "a/1.jpg", "b/1.jpg")
    assert len(class_folders("~/set").splits["all"]) == 2


def test_many_files_are_listed_in_about_a_second_for_fifty_thousand(tmp_path):
    for kind in range(5):
        (tmp_path / f"class{kind}").mkdir()
        for number in range(1000):
            os.close(os.open(tmp_path / f"class{kind}" / f"{number}.jpg", os.O_CREAT))
    took = []
    for _ in range(3):
        start = time.process_time()
        source = class_folders(str(tmp_path)).splits["all"]
        took.append(time.process_time() - start)
    assert np.bincount(source.targets["label"].index).tolist() == [1000] * 5
    assert min(took) < 0.2    # a tenth of the files; about 0.04 here


def layout_of(root, **settings):
    """The layout, and the pictures of each split as `class: name`."""
    opened = class_folders(root, **settings)
    labels = {split: [source.classes["label"][index] for index in source.targets["label"].index]
              for split, source in opened.splits.items()}
    return opened.account["layout"], {split: [f"{label}: {name}" for label, name in
                                              zip(labels[split], names(source), strict=True)]
                                      for split, source in opened.splits.items()}


@pytest.mark.parametrize(("train", "other", "split"), [
    ("Training", "Testing", "test"), ("seg_train", "seg_test", "test"), ("train_data", "test_data", "test"),
    ("TRAIN", "dev", "valid"), ("trainset", "valset", "valid"), ("training_set", "Validation_Set", "valid"),
    ("TrainImages", "TestImages", "test"), ("train2017", "val2017", "valid"), ("stage1_train", "stage1_test", "test"),
    ("data train", "data test", "test"), ("imgs-training", "imgs-validation", "valid"), ("trn", "tst", "test")])
def test_splits_under_any_usual_name(train, other, split, tmp_path):
    root = fill(tmp_path, f"{train}/a/1.jpg", f"{train}/b/1.jpg", f"{other}/b/2.jpg")
    assert layout_of(root) == ("<split>/<class>", {"train": [f"a: {train}/a/1.jpg", f"b: {train}/b/1.jpg"],
                                                   split: [f"b: {other}/b/2.jpg"]})


def test_a_split_within_a_folder_of_its_own_name(tmp_path):
    root = fill(tmp_path, "seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/1.jpg", "seg_test/seg_test/a/2.jpg",
                "seg_pred/seg_pred/3.jpg")
    opened = class_folders(root)
    assert {split: names(source) for split, source in opened.splits.items()} == {
        "train": ["seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/1.jpg"], "test": ["seg_test/seg_test/a/2.jpg"]}
    assert opened.account["ignored_folders"] == ["seg_pred"]


def test_classes_with_folders_of_splits_in_them(tmp_path):
    root = fill(tmp_path, "a/train/1.jpg", "a/test/2.jpg", "b/Training/1.jpg", "b/Testing/2.jpg",
                "b/Testing/deep/3.jpg")
    assert layout_of(root) == ("<class>/<split>", {
        "train": ["a: a/train/1.jpg", "b: b/Training/1.jpg"],
        "test": ["a: a/test/2.jpg", "b: b/Testing/2.jpg", "b: b/Testing/deep/3.jpg"]})
    assert layout_of(root, layout="class")[0] == "<class>"
    fill(tmp_path, "b/5.jpg")
    assert list(class_folders(root).splits) == ["all"]
    assert list(class_folders(root, layout="class/split").splits) == ["train", "test"]
    with pytest.raises(DataError, match="has no class folder with a folder called train in it: accepted are <split>"):
        class_folders(fill(tmp_path / "b", "Testing/x/1.jpg"), layout="class/split")


@pytest.mark.parametrize("called", [("train", "bus", "car"), ("testing", "running"), ("dev", "ops"),
                                    ("training", "testing", "sleeping")])
def test_classes_may_be_called_like_splits(called, tmp_path):
    root = fill(tmp_path, *(f"{name}/1.jpg" for name in called))
    assert layout_of(root) == ("<class>", {"all": [f"{name}: {name}/1.jpg" for name in sorted(called)]})


def test_a_test_split_without_labels_is_left_out_and_said(tmp_path):
    opened = class_folders(fill(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/1.jpg", "test/2.jpg"))
    assert list(opened.splits) == ["train"] and opened.account["ignored_folders"] == ["test"]


def test_a_test_split_beside_the_classes_to_learn_from(tmp_path):
    root = fill(tmp_path, "a/1.jpg", "b/1.jpg", "test/a/2.jpg", "test/b/2.jpg")
    assert layout_of(root) == ("<split>/<class>", {"train": ["a: a/1.jpg", "b: b/1.jpg"],
                                                   "test": ["a: test/a/2.jpg", "b: test/b/2.jpg"]})


def test_pictures_in_a_test_folder_beside_classes_are_asked_about(tmp_path):
    root = fill(tmp_path, "a/1.jpg", "b/1.jpg", "test/2.jpg")
    with pytest.raises(Question) as caught:
        class_folders(root)
    assert str(caught.value) == (
        f"{root} holds 'test', called after splits, with pictures and no class folders in it, beside a, b: `lensmith "
        f"train {root} data.layout=class` learns these as classes too; `lensmith train {root} "
        "'data.classes=[\"a\", \"b\"]'` leaves 'test' out")
    assert layout_of(root, classes=["a", "b"])[1] == {"all": ["a: a/1.jpg", "b: b/1.jpg"]}
    assert len(layout_of(root, layout="class")[1]["all"]) == 3


def test_chosen_classes_are_learned_alone(tmp_path):
    root = fill(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/c/1.jpg", "test/c/2.jpg", "test/b/2.jpg")
    assert layout_of(root, classes=["a", "b"])[1] == {"train": ["a: train/a/1.jpg", "b: train/b/1.jpg"],
                                                      "test": ["b: test/b/2.jpg"]}
    with pytest.raises(DataError, match=r"data.classes names 'aa', and .* has no class folder of that name. Did you "
                                        r"mean 'a'\? It has: a, b, c\."):
        class_folders(root, classes=["aa", "b"])


def test_run_folders_are_no_classes(tmp_path):
    root = fill(tmp_path, "a/1.jpg", "b/1.jpg", "runs/one/recipe.toml", "runs/one/data.json", "runs/one/pictures/1.png",
                "else/two/recipe.toml", "else/two/run.json", "b/three/recipe.toml", "b/three/plan.json",
                "b/three/x.png")
    (tmp_path / "runs" / "being made").mkdir()
    assert layout_of(root)[1] == {"all": ["a: a/1.jpg", "b: b/1.jpg"]}
    fill(tmp_path, "runs/2.jpg")
    assert len(layout_of(root)[1]["all"]) == 3


@pytest.mark.parametrize("junk", ["._1.jpg", "@eaDir/1.jpg", ".thumbnails/1.jpg", "__MACOSX/1.jpg", "#recycle/1.jpg",
                                  "@Recycle/1.jpg", "$RECYCLE.BIN/1.jpg", ".ipynb_checkpoints/1-checkpoint.jpg"])
def test_what_programs_leave_behind_is_passed_over(junk, tmp_path):
    root = fill(tmp_path, "a/1.jpg", "b/1.jpg", junk, f"a/{junk}", f"a/deep/{junk}")
    assert layout_of(root)[1] == {"all": ["a: a/1.jpg", "b: b/1.jpg"]}


def test_labels_are_taken_from_names(tmp_path):
    root = fill(tmp_path, *(f"{name}_{i}.jpg" for name in ("cat", "great dane") for i in range(3)))
    with pytest.raises(Question, match="holds 6 pictures and no class folder, and the pictures are called as "
                                       r"cat_0.jpg: `lensmith train .* data.name=folder 'data.label=.*'` takes the"):
        class_folders(root)
    layout, labelled = layout_of(root, label=r"(.+)_\d+")
    assert layout == "label in the name" and labelled["all"][2:4] == ["cat: cat_2.jpg", "great dane: great dane_0.jpg"]
    fill(tmp_path, "IMG 7.jpg")
    with pytest.raises(DataError, match=r"data.label='\(.\+\)_\\\\d\+' does not match 1 file name, such as IMG 7"):
        class_folders(root, label=r"(.+)_\d+")
    with pytest.raises(UserError, match="has no bracket: put round brackets around the part of a file's name that "
                                        "names its label"):
        class_folders(root, label=r".+_\d+")
    with pytest.raises(UserError, match="data.label takes the labels from the names of files and data.layout from"):
        class_folders(root, label=r"(.+)_\d+", layout="class")


def test_labels_in_names_keep_splits(tmp_path):
    root = fill(tmp_path, "train/a_1.jpg", "train/b_1.jpg", "test/b_2.jpg", "extra/x.txt")
    assert layout_of(root, label=r"(.+)_\d+")[1] == {"train": ["a: train/a_1.jpg", "b: train/b_1.jpg"],
                                                     "test": ["b: test/b_2.jpg"]}
    fill(tmp_path, "test/c_1.jpg")
    with pytest.raises(DataError, match=r"the label 'c' of .*/test/c_1.jpg is in no name of .*/train, so it could not"):
        class_folders(root, label=r"(.+)_\d+")


@pytest.mark.parametrize(("files", "settings", "beside"), [
    (["a/1.jpg", "b/1.jpg", "x.JPG", "y.png", "note.txt"], {}, ["x.JPG", "y.png"]),
    (["train/a/1.jpg", "train/b/1.jpg", "test/a/2.jpg", "test/x.jpg", "train/y.jpg", "z.jpg"], {},
     ["test/x.jpg", "train/y.jpg", "z.jpg"]),
    (["a/train/1.jpg", "a/test/2.jpg", "b/train/1.jpg", "b/test/2.jpg", "b/x.jpg"], {"layout": "class/split"},
     ["b/x.jpg"]),
    (["train/a_1.jpg", "train/b_1.jpg", "c_1.jpg"], {"label": r"(.+)_\d"}, ["c_1.jpg"]),
    (["a/1.jpg", "b/1.jpg", "a/deep/2.jpg", ".x.jpg", "Thumbs.db"], {}, []),
])
def test_pictures_beside_the_class_folders_are_counted(tmp_path, files, settings, beside):
    account = class_folders(fill(tmp_path, *files), **settings).account
    assert account.get("beside_classes", {"count": 0, "pictures": []}) == {"count": len(beside), "pictures": beside}
    (found,) = [one for one in findings({"source": account}) if "beside" in one.words] or [None]
    total = sum(file.lower().endswith((".jpg", ".png")) and not file.startswith(".") for file in files)
    assert found is None if not beside else \
        found.lost and found.sentence().startswith(f"{len(beside)} of {total} pictures beside the class folders")
