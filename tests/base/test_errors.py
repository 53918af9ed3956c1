"""Errors: the nearest name, the exit codes, counted nouns."""

import pytest

from lensmith.base.errors import DataError, ModelError, Stopped, UserError, choose, count, nearest


def test_each_kind_of_error_has_its_exit_code():
    assert [kind.code for kind in (UserError, DataError, ModelError, Stopped)] == [2, 3, 4, 6]
    assert all(issubclass(kind, UserError) for kind in (DataError, ModelError, Stopped))
    assert issubclass(UserError, ValueError)


def test_a_slip_of_the_finger_finds_the_name_that_was_meant():
    assert nearest("lenet3", ["lenet", "resnet18"]) == " Did you mean 'lenet'?"
    assert nearest("xyz", ["lenet"]) == "" and nearest("xyz", []) == ""


def test_choose_gives_the_entry():
    assert choose({"lenet": 1}, "lenet", "backbone") == 1


def test_choose_names_what_came_what_is_near_and_what_is_known():
    with pytest.raises(UserError) as caught:
        choose({"lenet": 1, "alexnet": 2}, "lennet", "backbone")
    assert str(caught.value) == "unknown backbone 'lennet'. Did you mean 'lenet'? Known: alexnet, lenet."
    with pytest.raises(DataError, match=r"^unknown set 'q'\. Known: mnist\.$"):
        choose({"mnist": 1}, "q", "set", error=DataError)


@pytest.mark.parametrize(("number", "noun", "shown"), [
    (1, "picture", "1 picture"), (0, "picture", "0 pictures"), (1200, "picture", "1,200 pictures"),
    (2, "class", "2 classes"), (3, "entry", "3 entries"), (2, "batch", "2 batches"), (2, "box", "2 boxes")])
def test_nouns_are_counted_as_english_counts_them(number, noun, shown):
    assert count(number, noun) == shown
