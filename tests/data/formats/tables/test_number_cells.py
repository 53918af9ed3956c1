"""Numbers as people write them: signs, thousands, units, and which decimal sign a column has."""

import pytest

from lensmith.base.errors import UserError
from lensmith.data.formats.tables.number_cells import NumberStyle, number_style


@pytest.mark.parametrize(("cell", "number"), [
    ("12", "12"), ("-3", "-3"), ("+.5", "+.5"), ("1e3", "1e3"), ("2.", "2."), ("−4.5", "-4.5"), ("1,234", "1234"),
    ("1,234,567.8", "1234567.8"), ("12,34,567", "1234567"), ("1'234.5", "1234.5"), ("1 234", "1234"),
    ("1,5", None), ("1_0", None), ("12a", None), ("", None), ("1.2.3", None), ("--1", None), ("1,234,5", None),
    ("inf", None), ("nan", None), ("0x1f", None), ("5%", None), ("٣", None)])
def test_a_number_with_a_decimal_point(cell: str, number: str | None):
    assert NumberStyle().number(cell) == number


@pytest.mark.parametrize(("cell", "number"), [
    ("1,5", "1.5"), ("-0,25", "-0.25"), (",5", ".5"), ("1.234,5", "1234.5"), ("1.234.567", "1234567"), ("7", "7"),
    ("1 234,5", "1234.5"), ("1.5", None), ("1,2,3", None), ("1,5e2", "1.5e2")])
def test_a_number_with_a_decimal_comma(cell: str, number: str | None):
    assert NumberStyle(",").number(cell) == number


@pytest.mark.parametrize(("cells", "unit", "numbers"), [
    (["55%", "7.5 %"], "%", ["55", "7.5"]), (["$3.50", "-$2", "$-1"], "$", ["3.50", "-2", "-1"]),
    (["3,50 €", "12 €"], "€", ["3.50", "12"]), (["EUR 3", "EUR 4.5"], "EUR", ["3", "4.5"]),
    (["12 kg", "7kg"], "kg", ["12", "7"]), (["20°C", "21.5 °C"], "°C", ["20", "21.5"]),
    (["5%", "6%", "0.5"], "%", ["5", "6", None]), (["$5", "6", "7"], "", [None, "6", "7"])])
def test_the_unit_that_most_have_is_taken_off_and_another_is_no_number(cells, unit, numbers):
    style = number_style(cells, separator=",")
    assert style.unit == unit and [style.number(cell) for cell in cells] == numbers


@pytest.mark.parametrize(("cells", "separator", "decimal", "guessed"), [
    (["1.5", "2"], ";", ".", False), (["1,5", "2"], ",", ",", False), (["1,234", "0,5"], ",", ",", False),
    (["1,234", "5.5"], ";", ".", False), (["1,234,567", "2,345"], ";", ".", False), (["1.234,5"], ",", ",", False),
    (["1,234", "2,345"], ",", ".", True), (["1,234", "2,345"], ";", ",", True), (["1.234", "2.345"], ";", ".", False),
    (["a", "b"], ";", ".", False), ([], ",", ".", False), (["1.5", "2.5", "3,5"], ";", ".", False)])
def test_the_decimal_sign_is_the_one_by_which_more_are_numbers(cells, separator, decimal, guessed):
    style = number_style(cells, separator=separator)
    assert (style.decimal, style.guessed) == (decimal, guessed)


def test_a_given_sign_is_taken_and_another_refused():
    assert number_style(["1,234"], separator=";", decimal=".").number("1,234") == "1234"
    with pytest.raises(UserError, match=r"data\.decimal='x' is not possible: accepted are '\.' and ','"):
        number_style(["1"], separator=",", decimal="x")
