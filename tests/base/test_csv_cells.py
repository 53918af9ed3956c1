"""Cells of CSV files: what a spreadsheet would run is guarded, and comes back as it was."""

import pytest

from lensmith.base.csv_cells import guarded, unguarded


@pytest.mark.parametrize("text", ["=cmd|'!A1", "+SUM(A1)", "-2+3", "@x", "\t=1", "\r=1", "-.png", "+", "=-"])
def test_what_would_be_run_has_an_apostrophe_and_comes_back(text: str):
    assert guarded(text) == f"'{text}" and unguarded(f"'{text}") == text


@pytest.mark.parametrize("value", ["cat", "-1", "+1.5", "-1e-3", "a=b", "'quoted'", "", "'", "''=x", 3, -0.5, None])
def test_all_else_stays_as_it_is(value: object):
    assert guarded(value) == value and (not isinstance(value, str) or unguarded(value) == value)
