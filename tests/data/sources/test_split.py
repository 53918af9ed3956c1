"""Splits: shares, folds and groups, against the properties that scikit-learn's splitters have."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from lensmith.base.errors import DataError, UserError
from lensmith.base.picture_headers import Header
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.split import divide, fingerprint, listing, stratifying
from lensmith.data.sources.unknown_targets import spread_over
from lensmith.values.boxes import Boxes
from lensmith.values.labels import Label, Numbers, Tags


def labelled(labels, groups=None, classes=None):
    """A set whose picture i has the value i % 256, and whose place names its row."""
    labels = np.asarray(labels)
    names = tuple(f"c{i}" for i in range(classes or int(labels.max()) + 1))
    images = (torch.arange(len(labels)) % 256).to(torch.uint8).view(-1, 1, 1, 1)
    return InMemory(images, {"label": Label(torch.from_numpy(labels).long())}, {"label": names},
                    places=Numbered("set", (1, 1), np.arange(len(labels))),
                    groups=None if groups is None else np.asarray(groups, dtype=str))


def rows(part):
    return [int(part.place(i).file.split("#")[1]) for i in range(len(part))]


def joined(lists):
    return list(chain.from_iterable(lists))


def per_class(part, classes):
    return np.bincount(part.targets["label"].index.numpy(), minlength=classes)


@settings(max_examples=80, deadline=None)
@given(counts=st.lists(st.integers(2, 60), min_size=1, max_size=8), valid=st.floats(0.02, 0.45),
       test=st.floats(0.02, 0.45), seed=st.integers(0, 10**6))
def test_shares_are_stratified_to_within_one_sample_and_cover_the_set(counts, valid, test, seed):
    counts = np.array(counts)
    source = labelled(np.repeat(np.arange(len(counts)), counts))
    if counts.sum() < 10:
        return
    parts = divide({"all": source}, valid=valid, test=test, seed=seed)
    assert sorted(joined(rows(part) for part in parts.values())) == list(range(len(source)))
    for name, share in (("valid", valid), ("test", test)):
        found = per_class(parts[name], len(counts))
        assert (np.abs(found - counts * share) < 1 + 1e-6).all() or len(parts[name]) == 1
        assert len(parts[name]) <= max(1, round(len(source) * share) + 1)
    assert (per_class(parts["train"], len(counts)) >= 1).all()
    assert all(rows(part) == sorted(rows(part)) for part in parts.values())


def test_class_counts_are_those_of_scikit_learns_stratified_split():
    labels = np.random.default_rng(0).choice(4, 1000, p=[0.5, 0.3, 0.15, 0.05])
    ours = divide({"train": labelled(labels)}, valid=0.2)["valid"]
    _, theirs = next(StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(labels, labels))
    assert len(ours) == len(theirs) == 200
    assert np.abs(per_class(ours, 4) - np.bincount(labels[theirs])).max() <= 1


def test_the_total_is_the_share_of_all_when_classes_are_small():
    source = labelled(np.repeat(np.arange(20), 5))
    parts = divide({"all": source}, valid=0.1, test=0.1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 80, "valid": 10, "test": 10}


def test_a_given_test_part_stays_and_train_gives_valid():
    train, test = labelled([0, 1] * 50), labelled([0, 1] * 10)
    parts = divide({"train": train, "test": test})
    assert list(parts) == ["train", "valid", "test"] and parts["test"] is test
    assert len(parts["train"]) == 90 and len(parts["valid"]) == 10


def test_given_parts_are_taken_as_they_are():
    given = {"train": labelled([0, 1] * 5), "valid": labelled([0, 1]), "test": labelled([1, 0])}
    parts = divide(given, valid=0.3, test=0.3)
    assert all(parts[name] is given[name] for name in given)


def test_a_set_with_train_alone_gives_no_test():
    assert list(divide({"train": labelled([0, 1] * 10)})) == ["train", "valid"]


@pytest.mark.parametrize("given", ["train", "all"])
def test_a_share_of_nothing_makes_no_part(given):
    source = labelled([0, 1] * 10)
    assert divide({given: source}, valid=0, test=0) == {"train": source}


def test_the_same_seed_gives_the_same_parts_and_another_one_others():
    source = labelled([0, 1] * 100)
    one, same, other = (rows(divide({"train": source}, seed=seed)["valid"]) for seed in (1, 1, 2))
    assert one == same and one != other


def test_no_global_random_state_is_used_or_changed():
    source = labelled([0, 1] * 100)
    np.random.seed(0)
    torch.manual_seed(0)
    before = (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    one = rows(divide({"all": source})["valid"])
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    np.random.seed(7)
    assert rows(divide({"all": source})["valid"]) == one


def test_the_parts_are_mixed_and_not_a_stretch_of_the_set():
    valid = np.array(rows(divide({"train": labelled(np.zeros(2000, int))})["valid"]))
    assert abs(valid.mean() - 1000) < 150 and (np.diff(valid) == 1).mean() < 0.3


def test_another_valid_share_keeps_the_test_part():
    source = labelled([0, 1] * 100)
    assert rows(divide({"all": source}, valid=0.1)["test"]) == rows(divide({"all": source}, valid=0.4)["test"])


def test_a_class_of_one_sample_stays_in_train():
    parts = divide({"all": labelled([0] * 20 + [1])}, valid=0.4, test=0.4)
    assert per_class(parts["train"], 2)[1] == 1


def test_a_tiny_set_still_gives_every_part_asked_for():
    parts = divide({"all": labelled([0, 0, 0, 1, 1])})
    assert {name: len(part) for name, part in parts.items()} == {"train": 3, "valid": 1, "test": 1}


def numbered(values):
    count = len(values)
    return InMemory(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), {"numbers": Numbers(torch.tensor(values)[:, None])},
                    {"numbers": ("age",)}, places=Numbered("set", (1, 1), np.arange(count)))


def test_numbers_are_stratified_by_quantile():
    values = np.random.default_rng(0).exponential(size=500).astype(np.float32)
    valid = divide({"train": numbered(values.tolist())}, valid=0.2)["valid"].targets["numbers"].values[:, 0].numpy()
    bins = np.quantile(values, np.linspace(0, 1, 11))
    assert np.histogram(valid, bins)[0].tolist() == [10] * 10


def test_tags_are_divided_by_the_seed_alone():
    source = InMemory(torch.zeros(50, 1, 1, 1, dtype=torch.uint8), {"tags": Tags(torch.ones(50, 3))},
                      {"tags": ("a", "b", "c")}, places=Numbered("set", (1, 1), np.arange(50)))
    parts = divide({"all": source}, valid=0.2, test=0.1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 35, "valid": 10, "test": 5}


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(5, 40), min_size=1, max_size=6), folds=st.integers(2, 5), seed=st.integers(0, 99))
def test_folds_are_disjoint_cover_all_and_are_as_even_as_scikit_learns(counts, folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    source = labelled(labels)
    parts = [divide({"train": source}, seed=seed, folds=folds, fold=fold) for fold in range(folds)]
    held = [rows(part["valid"]) for part in parts]
    assert sorted(joined(held)) == list(range(len(labels)))
    assert all(sorted(held[i] + rows(part["train"])) == list(range(len(labels))) for i, part in enumerate(parts))
    theirs = [np.bincount(labels[test], minlength=len(counts))
              for _, test in StratifiedKFold(folds, shuffle=True, random_state=0).split(labels, labels)]
    ours = np.array([per_class(part["valid"], len(counts)) for part in parts])
    assert (np.ptp(ours, axis=0) <= 1).all() and (np.ptp(np.array(theirs), axis=0) <= 1).all()
    assert np.ptp(ours.sum(1)) <= 1


def test_folds_of_a_set_without_a_split_share_one_test_part():
    source = labelled([0, 1] * 50)
    parts = [divide({"all": source}, test=0.2, folds=4, fold=fold) for fold in range(4)]
    tests = [rows(part["test"]) for part in parts]
    assert all(one == tests[0] for one in tests) and len(tests[0]) == 20
    assert sorted(joined(rows(part["valid"]) for part in parts)) == sorted(set(range(100)) - set(tests[0]))


def test_folds_of_numbers_need_only_enough_samples():
    held = [divide({"train": numbered([1.0, 2, 3, 4, 5, 6])}, folds=6, fold=fold)["valid"] for fold in range(6)]
    assert sorted(joined(rows(part) for part in held)) == list(range(6))


def group_names(part):
    return set(part.groups.tolist())


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 9), min_size=6, max_size=40), classes=st.integers(1, 4), seed=st.integers(0, 999))
def test_no_group_is_in_two_parts(sizes, classes, seed):
    groups = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    labels = np.random.default_rng(seed).integers(0, classes, len(groups))
    source = labelled(labels, groups, classes)
    try:
        parts = divide({"all": source}, valid=0.2, test=0.2, seed=seed, by_group=True)
    except DataError as error:
        reason, parts = str(error), {}
    if not parts:
        assert "without taking a whole class from train" in reason and classes > 1
        return
    names = [group_names(part) for part in parts.values()]
    assert sum(map(len, names)) == len(set().union(*names))
    assert sorted(joined(rows(part) for part in parts.values())) == list(range(len(groups)))
    assert set(labels.tolist()) == set(parts["train"].targets["label"].index.tolist()) and len(parts) == 3


def test_parts_by_group_meet_the_shares_and_the_classes():
    draw = np.random.default_rng(0)
    groups = np.repeat([f"p{i}" for i in range(200)], draw.integers(3, 8, 200))
    labels = draw.choice(3, len(groups), p=[0.6, 0.3, 0.1])
    parts = divide({"all": labelled(labels, groups)}, valid=0.15, test=0.25, by_group=True)
    for name, share in (("valid", 0.15), ("test", 0.25)):
        found = per_class(parts[name], 3)
        assert np.abs(found / np.bincount(labels) - share).max() < 0.03


def test_a_class_that_lies_in_one_group_stays_in_train():
    groups = ["rare"] * 4 + [f"p{i // 4}" for i in range(80)]
    for seed in range(10):
        parts = divide({"all": labelled([1] * 4 + [0] * 80, groups)}, valid=0.3, test=0.3, seed=seed, by_group=True)
        assert "rare" in group_names(parts["train"])


def test_folds_by_group_keep_groups_whole_and_are_balanced():
    draw = np.random.default_rng(1)
    groups = np.repeat([f"p{i}" for i in range(60)], draw.integers(1, 9, 60))
    labels = draw.integers(0, 2, len(groups))
    source = labelled(labels, groups)
    held = [divide({"train": source}, by_group=True, folds=5, fold=fold)["valid"] for fold in range(5)]
    assert sorted(joined(rows(part) for part in held)) == list(range(len(groups)))
    assert sum(len(group_names(part)) for part in held) == 60
    sizes = np.array([len(part) for part in held])
    assert np.abs(sizes - len(groups) / 5).max() <= 4
    counts = np.array([per_class(part, 2) for part in held])
    assert np.abs(counts - np.bincount(labels) / 5).max() <= 6


def test_as_many_folds_as_groups_hold_one_group_each():
    groups = np.repeat(["a", "b", "c", "d"], [9, 1, 5, 2])
    source = labelled(np.arange(17) % 2, groups)
    held = [group_names(divide({"train": source}, by_group=True, folds=4, fold=fold)["valid"]) for fold in range(4)]
    assert sorted(map(tuple, held)) == [("a",), ("b",), ("c",), ("d",)]


TWO = labelled([0, 1] * 10)
WRONG = {
    "a negative share": ({"all": TWO}, {"valid": -0.1}, r"split\.valid=-0\.1 is not a fraction: accepted are numbers"),
    "a share of one": ({"all": TWO}, {"test": 1.0}, r"split\.test=1\.0 is not a fraction"),
    "shares above one": ({"all": TWO}, {"valid": 0.5, "test": 0.5}, r"split\.valid=0\.5 and split\.test=0\.5 leave"),
    "folds without fold": ({"all": TWO}, {"folds": 5}, r"split\.folds and split\.fold go together"),
    "fold without folds": ({"all": TWO}, {"fold": 0}, r"split\.folds and split\.fold go together"),
    "fold beyond folds": ({"all": TWO}, {"folds": 5, "fold": 5}, r"split\.fold=5 of split\.folds=5 is not possible: "
                          "accepted are 2 or more folds, and fold 0 to 4"),
    "one fold": ({"all": TWO}, {"folds": 1, "fold": 0}, r"split\.fold=0 of split\.folds=1 is not possible"),
    "folds of a set with valid": ({"train": TWO, "valid": TWO}, {"folds": 2, "fold": 0}, "the set brings its own"),
    "more folds than a class has": ({"train": labelled([0] * 9 + [1] * 3)}, {"folds": 4, "fold": 0},
                                    r"split\.folds=4 is more than the samples of class 'c1' \(3\): take fewer folds"),
    "more folds than samples": ({"train": numbered([1.0, 2, 3])}, {"folds": 4, "fold": 0},
                                r"split\.folds=4 is more than the samples \(3\)"),
    "more folds than groups": ({"train": labelled([0, 1] * 3, list("aabbcc"))},
                               {"folds": 4, "fold": 0, "by_group": True}, r"split\.folds=4 is more than the set's 3"),
    "no groups": ({"all": TWO}, {"by_group": True}, r"the set has no groups to split by: give data\.group .* or a "
                  "column 'group' in a table"),
    "too few groups": ({"all": labelled([0, 1] * 3, list("aaabbb"))}, {"by_group": True}, "the set has 2 groups: to be "
                       "divided by group it needs one more than the 2 splits to take off; split.by_group=false"),
    "classes bound to groups": ({"all": labelled([0, 0, 1, 1, 2, 2], list("aabbcc"))}, {"by_group": True},
                                r"cannot give a valid split without taking a whole class from train: set split"),
    "too few samples": ({"all": labelled([0, 1])}, {}, "the set's 2 samples are too few to take a valid split from: "
                        r"add samples, or set split\.valid=0"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_divided_is_refused(what):
    splits, options, said = WRONG[what]
    with pytest.raises(UserError, match=said) as caught:
        divide(splits, **options)
    assert "\n" not in str(caught.value)


def test_the_listing_gives_file_names_or_row_numbers():
    paths = [Path("/set/a/1.png"), Path("/set/b/2.png")]
    disk = Files(paths, {"label": Label(torch.tensor([0, 1]))}, {"label": ("a", "b")}, root=Path("/set"))
    memory = labelled([0] * 12).subset([0, 1, 2, 5, 7, 8, 11])
    assert listing({"train": disk, "test": memory}) == {
        "train": ["a/1.png", "b/2.png"], "test": {"file": "set", "rows": "0-2 5 7-8 11"}}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=20))
def test_row_numbers_can_be_read_back(chosen):
    shown = listing({"train": labelled([0] * 31).subset(chosen)})["train"]["rows"]
    found = []
    for run in shown.split():
        first, _, last = run.partition("-")
        found += range(int(first), int(last or first) + 1)
    assert found == chosen


def on_disk(folder, contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return Files([folder / name for name in contents], {"label": Label(torch.arange(len(contents)))},
                 {"label": ("a", "b", "c")[: len(contents)]}, root=folder)


def test_the_fingerprint_changes_with_whatever_matters_and_with_nothing_else(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    contents = {"1.png": b"12345", "2.png": b"678"}
    known = {"train": "0f" * 16, "test": "f0" * 16}
    first = fingerprint({"train": on_disk(tmp_path / "one", contents)}, known)
    assert len(first) == 32 and first == fingerprint({"train": on_disk(tmp_path / "two", contents)}, known)
    source = on_disk(tmp_path / "one", contents)
    relabelled = Files(source.paths, {"label": Label(torch.tensor([1, 0]))}, source.classes, root=source.root)
    renamed = Files(source.paths, source.targets, {"label": ("a", "c")}, root=source.root)
    different = [fingerprint({"test": source}, known), fingerprint({"train": source.subset([1, 0])}, known),
                 fingerprint({"train": source, "test": source.subset([0])}, known),
                 fingerprint({"train": relabelled}, known), fingerprint({"train": renamed}, known),
                 fingerprint({"train": source}, {"train": "0e" * 16}),
                 fingerprint({"train": on_disk(tmp_path / "two", {"1.png": b"12345", "3.png": b"678"})}, known)]
    assert len({first, *different}) == 8


def test_groups_that_are_given_are_kept_together_unless_that_is_switched_off():
    source = labelled([0, 1] * 60, np.repeat([f"p{i}" for i in range(12)], 10))
    apart, mixed = divide({"all": source}), divide({"all": source}, by_group=False)
    for one, other in (("train", "valid"), ("train", "test"), ("valid", "test")):
        assert not set(apart[one].groups) & set(apart[other].groups)
    assert set(mixed["train"].groups) & set(mixed["valid"].groups)
    assert [rows(part) for part in apart.values()] == [rows(part) for part in divide({"all": source}, by_group=True)
                                                       .values()]
    held = [divide({"train": source}, folds=4, fold=fold)["valid"] for fold in range(4)]
    assert [len(set(part.groups)) for part in held] == [3] * 4
    assert [rows(part) for part in divide({"all": labelled([0, 1] * 60)}).values()] == [rows(p) for p in mixed.values()]


def of_several(targets: dict, classes: dict, length: int) -> InMemory:
    return InMemory(torch.zeros(length, 1, 1, 1, dtype=torch.uint8), targets, classes,
                    places=Numbered("set", (1, 1), np.arange(length)))


def test_of_several_labels_the_finest_keeps_its_shares_and_one_that_is_seldom_known_does_not_count():
    breed = np.repeat(np.arange(3), 20)
    seldom = np.full(60, -1)
    seldom[:29] = np.arange(29) % 7
    targets = {name: Label(torch.from_numpy(index)) for name, index in
               (("species", (breed == 2).astype(np.int64)), ("breed", breed), ("seldom", seldom))}
    classes = {"species": ("cat", "dog"), "breed": ("a", "b", "c"), "seldom": tuple("defghij")}
    source = of_several(targets, classes, 60)
    assert stratifying(source) == "breed" and stratifying(of_several({}, {}, 60)) is None
    parts = divide({"all": source}, valid=0.1, test=0.2)
    for part, each in (("train", 14), ("valid", 2), ("test", 4)):
        assert np.bincount(parts[part].targets["breed"].index).tolist() == [each] * 3
    with pytest.raises(DataError, match=r"split\.folds=30 is more than the samples of class 'a' \(18\)"):
        divide({"all": source}, folds=30, fold=0)
    never = of_several({"seldom": targets["seldom"]}, classes, 60)
    assert stratifying(never) == "seldom"


def test_pictures_whose_boxes_are_not_known_are_divided_as_a_kind_of_their_own():
    length = 40
    known = torch.arange(0, length, 2)
    boxes = Boxes(torch.tensor([[1.0, 1, 2, 2]]).repeat(len(known), 1), torch.arange(len(known)) % 2,
                  image=torch.arange(len(known)))
    headers = [Header(8, 8, gray=True, deep=False)] * length
    spread = spread_over(boxes, known.numpy(), headers, classes=2)
    source = of_several({"head": spread, "marks": Tags(torch.zeros(length, 1))}, {"head": ("a", "b")}, length)
    parts = divide({"all": source}, valid=0.2, test=0.2)
    assert [int((~part.targets["head"].crowd).sum()) for part in parts.values()] == [12, 4, 4]
