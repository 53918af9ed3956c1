"""Errors: the nearest name, the exit codes, counted nouns."""

import errno

import pytest

from lensmith.base.errors import (
    DataError,
    ModelError,
    Question,
    Reading,
    Stopped,
    UserError,
    as_user_error,
    choose,
    count,
    escaped,
    in_short,
    nearest,
)


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


@pytest.mark.parametrize(("text", "shown"), [
    ("\x1b[31mred\nlensmith: all is well", "\\x1b[31mred\\nlensmith: all is well"), ("tab\tend\r", "tab\\tend\\r"),
    ("abc\u202egpj.exe", "abc\\u202egpj.exe"), ("dir\udce9", "dir\\udce9"), ("\x9b2J\x7f", "\\x9b2J\\x7f"),
    ("Käse, 写真\u3000一, 👩\u200d💻, C:\\new", "Käse, 写真\u3000一, 👩\u200d💻, C:\\new")])
def test_a_name_cannot_command_a_terminal(text, shown):
    assert escaped(text) == shown


def test_what_came_is_shown_in_short():
    assert in_short("abc") == "'abc'"
    assert in_short("x" * 1000) == f"'{'x' * 57}...{'x' * 58}'" and in_short(["a", 1.5]) == "['a', 1.5]"
    assert in_short(list(range(10**6))) == "[0, 1, 2, 3, 4, 5, 6, 7, ...]"
    assert in_short(10**5000) == "a value that is too long to be shown"
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert in_short(deep) == "[[[[[[[...]]]]]]]"
    while deep:    # Python frees it by recursion
        deep = deep.pop()


@pytest.mark.parametrize(("error", "code", "text"), [
    (OSError(errno.ENAMETOOLONG, "File name too long", "xxx"), 2, "xxx cannot be read or written (File name too long): "
                                                                  "give a shorter name"),
    (OSError(errno.EROFS, "Read-only file system", "/ro/a"), 2, "/ro/a cannot be read or written (Read-only file"),
    (OSError(errno.ENOSPC, "No space left on device"), 6, "a file or a connection cannot be read or written (No space"),
    (ValueError("embedded null byte"), 2, "a name has a NUL character"),
    (UnicodeEncodeError("utf-8", "r\udce9", 1, 2, "surrogates"), 2, "'r\\udce9' has a name that is not UTF-8"),
    (RecursionError(), 2, "what is read is nested too deep"),
    (MemoryError(), 6, "not enough memory: MemoryError. Take smaller settings"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 99"), 6, "not enough memory: Default")])
def test_errors_of_the_system_are_told_as_a_user_s(error, code, text):
    known = as_user_error(error)
    assert known is not None and known.code == code and str(known).startswith(text) and "\n" not in str(known)


def test_a_mistake_of_ours_is_none():
    assert as_user_error(KeyError("x")) is None and as_user_error(ValueError("y")) is None


def test_a_question_gives_its_answers_as_commands() -> None:
    question = Question("my photos", "my photos is unclear", [
        Reading("learns masks", ("data.name=masks",)), Reading("learns the set in it", source="my photos/set")])
    assert isinstance(question, DataError) and question.code == 3
    assert str(question) == "my photos is unclear: `lensmith train 'my photos' data.name=masks` learns masks; " \
                            "`lensmith train 'my photos/set'` learns the set in it"
    assert question.text(["lensmith", "data", "show", "my photos/", "--json"]) == \
        "my photos is unclear: `lensmith data show 'my photos/' --json data.name=masks` learns masks; " \
        "`lensmith data show 'my photos/set' --json` learns the set in it"
    assert question.text(["lensmith", "val", "run"]) == str(question) == question.text([])
