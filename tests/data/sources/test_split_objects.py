"""Each split and each fold shows an object where it can: among samples, groups, folds and pictures that are alike."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.errors import DataError
from lensmith.data.sources.in_memory import InMemory, Numbered
from lensmith.data.sources.split import divide
from lensmith.data.sources.split_objects import pictures_with_objects, with_objects_in
from lensmith.values.boxes import Boxes


def boxed(shows, groups=None, crowd=()) -> InMemory:
    """A set whose pictures `shows` have one object, of which those of the pictures `crowd` do not count."""
    image = torch.tensor(sorted({*np.flatnonzero(shows).tolist(), *crowd}), dtype=torch.int64)
    boxes = Boxes(torch.tensor([[0.0, 0, 1, 1]]).repeat(len(image), 1), torch.zeros(len(image), dtype=torch.int64),
                  image=image, crowd=torch.tensor([row in crowd for row in image.tolist()], dtype=torch.bool))
    return InMemory(torch.zeros(len(shows), 1, 1, 1, dtype=torch.uint8), {"boxes": boxes}, {"boxes": ("thing",)},
                    places=Numbered("set", (1, 1), np.arange(len(shows))),
                    groups=None if groups is None else np.asarray(groups, dtype=str))


def showing(part) -> int:
    return int(pictures_with_objects(part).sum())


def rows(part) -> list[int]:
    return [int(part.place(i).file.split("#")[1]) for i in range(len(part))]


def test_a_crowd_is_no_object():
    assert pictures_with_objects(boxed([1, 0, 0], crowd=[2])).tolist() == [True, False, False]


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=3, max_size=14), st.integers(0, 99))
def test_groups_leave_an_object_in_each_split_where_three_have_some(drawn, seed):
    """By hand: with as many groups with objects as there are splits each split can have one of them."""
    groups = np.repeat([f"g{i}" for i in range(len(drawn))], [size for size, _ in drawn])
    shows = np.repeat([has for _, has in drawn], [size for size, _ in drawn])
    with_some = sum(has for _, has in drawn)
    try:
        parts = divide({"all": boxed(shows, groups)}, valid=0.2, test=0.2, seed=seed)
    except DataError:    # the largest groups filled train and valid
        return
    found = {name: showing(part) > 0 for name, part in parts.items()}
    assert found["train"] or not with_some
    assert sum(found.values()) >= min(with_some, 3)
    names = [set(part.groups.tolist()) for part in parts.values()]
    assert sum(map(len, names)) == len(set().union(*names)) and all(names)    # no group is in two splits


def test_folds_of_groups_and_of_samples_each_show_an_object_and_are_the_same_whichever_is_valid():
    shows = np.zeros(40, dtype=bool)
    shows[[0, 1, 2, 3, 4, 5]] = True    # the first three groups of four alone
    groups = np.repeat([f"g{i}" for i in range(10)], 4)
    groups[5] = "g2"
    for source, folds in ((boxed(shows, groups), 3), (boxed(shows), 5)):
        valid = [divide({"all": source}, test=0.0, folds=folds, fold=fold)["valid"] for fold in range(folds)]
        assert all(showing(part) for part in valid)
        assert sorted(row for part in valid for row in rows(part)) == list(range(40))    # each sample in one fold


def test_groups_of_runs_begun_before_are_divided_as_they_were():
    """With three groups of twenty that show something, divided by sizes alone; nothing changes where that is enough."""
    shows, groups = np.zeros(60, dtype=bool), np.repeat([f"g{i}" for i in range(20)], 3)
    shows[:9] = True
    changed = 0
    for seed in range(12):
        before, now = (divide({"all": boxed(shows, groups)}, seed=seed, objects=objects) for objects in (False, True))
        assert all(showing(part) for part in now.values()) and list(before) == list(now)
        assert [len(part) for part in before.values()] == [len(part) for part in now.values()]    # groups of one size
        if all(showing(part) for part in before.values()):
            assert all(rows(before[name]) == rows(now[name]) for name in now)
        else:
            changed += 1
    assert changed


def test_pictures_that_are_alike_do_not_take_the_last_object_from_a_split():
    shows = np.array([True, True, True] + [False] * 27)
    for seed in range(20):
        apart = divide({"all": boxed(shows)}, seed=seed)
        assert [showing(part) for part in apart.values()] == [1, 1, 1]
        alike = np.arange(30)
        alike[[0, 1]] = 0    # an object in one split and one in another
        assert all(showing(part) for part in divide({"all": boxed(shows)}, seed=seed, alike=alike).values())


@pytest.mark.parametrize(("numbers", "shows", "sizes", "wanted"), [
    ([0, 0, 0, 1], [1, 1, 0, 0], [2, 3, 1, 2], [1, 0, 0, 0]),    # the smaller one that shows, for the unit there is
    ([0, 0, 1, 1], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1]),    # the last one stays to be learned from
    ([0, 0, 1, 1], [0, 0, 1, 0], [1, 2, 2, 1], [0, 1, 0, 1]),    # and comes to it where it has none; the like in size
    ([0, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 1], [0, 0, 1, 1]),
])
def test_the_smallest_that_can_be_spared_changes_places(numbers, shows, sizes, wanted):
    found = with_objects_in((0, 1), np.array(numbers), np.array(shows, dtype=bool), np.arange(4), givers=(0, 1),
                            sizes=np.array(sizes))
    assert found.tolist() == wanted
