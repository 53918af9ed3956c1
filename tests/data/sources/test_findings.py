"""What an account says was left out, changed or guessed, each kind counted and told once."""

import pytest

from lensmith.data.sources.findings import counted_keys, findings, findings_line, much_lost

COMMAND = "lensmith data show photos --all"


def test_nothing_to_say_of_a_clean_set() -> None:
    clean = {"source": {"pictures": {"all": 6}, "boxes": {"all": 12}, "in_two_splits": {"count": 0, "pictures": []},
                        "clipped": {}, "dropped": {}, "annotations_without_picture": 0,
                        "unlabelled": {"count": 0, "taken_as": "leave", "pictures": []}},
             "splits": {"train": {"count": 6}}, "dropped": []}
    assert findings(clean) == [] and findings_line([], COMMAND) == "" and much_lost([], COMMAND) == ""
    assert findings({}) == [] and findings({"source": None, "splits": None, "dropped": None}) == []


def test_every_count_is_a_part_of_its_kind() -> None:
    account = {"source": {"pictures": {"all": 8}, "boxes": {"all": 6}, "annotations_without_picture": 5,
                          "dropped": {"outside": {"count": 1, "pictures": ["a.png"]}},
                          "clipped": {"small": {"count": 2, "pictures": ["b.png"]}}},
               "splits": {"train": {"count": 7}, "test": {"count": 1}},
               "dropped": [{"file": "c.jpg", "reason": "is truncated"}]}
    found = findings(account)
    assert [(one.number, one.of, one.lost) for one in found] == [(5, 12, True), (1, 12, True), (1, 9, True),
                                                                  (2, 12, False)]
    assert found[0].sentence() == "5 of 12 annotations of a picture that the file does not list, left out"
    assert found[2].sentence() == "1 of 9 pictures that cannot be read, left out"
    assert found[2].names == ("c.jpg is truncated",) and found[3].names == ("b.png",)
    line = findings_line(found, COMMAND)
    assert line.startswith("left out, changed or guessed: 5 of 12 annotations") and "\n" not in line
    assert line.endswith("2 of 12 boxes a little beyond the edge of its picture, cut there. lensmith data show photos "
                         "--all lists all")
    assert much_lost(found, COMMAND).startswith("much of the data was left out: 5 of 12 annotations of a picture that "
                                                "the file does not list, left out (42%); 1 of 9 pictures")
    assert "box" not in much_lost(found, COMMAND)    # a twelfth


@pytest.mark.parametrize(("taken_as", "lost", "words"), [
    ("leave", True, "2 of 8 pictures without a label, left out (data.unlabelled)"),
    ("empty", False, "2 of 6 pictures without a label, taken to show no object (data.unlabelled)")])
def test_pictures_without_a_label(taken_as: str, lost: bool, words: str) -> None:
    (found,) = findings({"source": {"unlabelled": {"count": 2, "taken_as": taken_as, "pictures": ["a", "b"]}},
                         "splits": {"all": {"count": 6}}})
    assert (found.lost, found.sentence(), found.names) == (lost, words, ("a", "b"))


def test_files_of_other_kinds_and_the_sets_of_joined_ones() -> None:
    found = findings({"source": {"ignored": {".heic": 3, ".txt": 1}, "ignored_files": ["a.heic"],
                                 "sets": {"head": {"in_no_split": 2, "pictures": {"all": 4}}},
                                 "parts": {"box": {"swapped": {"count": 1, "pictures": ["p.png"]}}}}})
    assert [one.sentence() for one in found] == [
        "2 of 6 pictures in no list of a split, left out (head)",
        "4 files without a picture's suffix, left out (.heic 3, .txt 1)", "1 box with swapped corners, set right (box)"]
    assert {"clipped", "dropped", "unlabelled", "ignored"} <= counted_keys()


@pytest.mark.parametrize("broken", [{"dropped": 3}, {"clipped": [3]}, {"in_no_split": "x"}, {"ignored": 4},
                                    {"unlabelled": [1]}, {"boxes": {"all": "x"}}, {"sets": 3}, {"in_no_split": True}])
def test_a_damaged_account_is_no_error(broken: dict) -> None:
    findings({"source": broken, "splits": {"all": 3}, "dropped": [3]})
