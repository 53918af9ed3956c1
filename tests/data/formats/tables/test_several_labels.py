"""Several labels in a cell: when they are several, and what stands between them."""

import pytest

from lensmith.data.formats.tables.several_labels import SIGNS, delimiter_in_words, guess_delimiter, labels_of


@pytest.mark.parametrize(("cell", "delimiter", "labels"), [
    ("a; b|c", SIGNS, ["a", "b", "c"]), ("a b  c", " ", ["a", "b", "c"]), ("a, b,", ",", ["a", "b"]),
    (";", SIGNS, []), (";", ",", []), ("", SIGNS, []), ("['a', \"b c\"]", SIGNS, ["a", "b c"]), ("[]", SIGNS, []),
    ("['a' 'b']", ",", ["a", "b"]), ("{a, b}", SIGNS, ["a", "b"]), ("a;a", SIGNS, ["a"]), ("a / b", " / ", ["a", "b"])])
def test_the_labels_of_a_cell(cell: str, delimiter: str, labels: list[str]):
    assert labels_of(cell, delimiter) == labels


@pytest.mark.parametrize(("cells", "called_several", "delimiter"), [
    (["cat dog", "dog owl", "owl cat"], True, " "), (["cat dog", "dog owl", "owl cat"], False, None),
    (["golden retriever", "great dane", "persian cat", "siamese cat"], True, None), (["a", "b"], True, None),
    (["a;b", "c"], True, SIGNS), (["a;b", "c"], False, None), (["a|b", "b|c", "a"], False, SIGNS),
    (["a, b", "c"], True, ","), (["a,b", "b,c", "a,c"], False, ","), (["Doe, Jane", "Roe, Rick"], False, None),
    (["['a', 'b']", "['c']"], False, SIGNS), (["", ";"], True, None), ([], True, None)])
def test_what_separates_them_is_guessed_from_evidence(cells, called_several, delimiter):
    assert guess_delimiter(cells, called_several=called_several) == delimiter


def test_it_is_said_in_words():
    assert [delimiter_in_words(delimiter) for delimiter in (SIGNS, ",", " ", "+")] == [
        "; or |", "a comma", "a blank", "'+'"]
