"""Sets of pictures: the same as sets of names would be, in as much memory as their text."""

from hypothesis import given
from hypothesis import strategies as st

from lensmith.study.report.picture_sets import PictureSet

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(-1, 9)), max_size=6)


def entry(intervals: list[tuple[int, int]], file: str = "x") -> dict[str, str]:
    texts = [str(first) if size == 0 else f"{first}-{first + size}" for first, size in intervals]
    return {"file": file, "rows": " ".join(texts)}


def plain(intervals: list[tuple[int, int]]) -> set[int]:
    return {row for first, size in intervals for row in range(first, first + size + 1)}


@given(INTERVALS, INTERVALS)
def test_rows_are_joined_and_met_as_sets_are(one, other):
    a, b = PictureSet.of(entry(one)), PictureSet.of(entry(other))
    assert len(a) == len(plain(one)) and len(a | b) == len(plain(one) | plain(other))
    assert len(a & b) == len(plain(one) & plain(other))
    assert (a == b) == (plain(one) == plain(other))


def test_files_and_rows_of_several_files():
    a, b = PictureSet.of(["a.png", "b.png"]), PictureSet.of(["b.png"])
    assert len(a & b) == 1 and len(a | b) == 2
    rows = PictureSet.of(entry([(0, 9)], "x")) | PictureSet.of(entry([(0, 9)], "y")) | a
    assert len(rows) == 22 and len(rows & PictureSet.of(entry([(5, 9)], "y"))) == 5


def test_a_bomb_of_rows_takes_no_memory():
    bomb = PictureSet.of({"file": "x", "rows": "0-999999999999999"})
    assert len(bomb) == 10**15 and len(bomb & PictureSet.of({"file": "x", "rows": "5 7"})) == 2
