"""Which split stands in where nobody names one."""

import pytest

from lensmith.data.sources.chosen_split import split_to_choose_by, split_to_score


@pytest.mark.parametrize(("splits", "scored", "chosen_by"), [
    (("train", "valid", "test"), "test", "valid"), (("train", "valid"), "valid", "valid"),
    (("train", "test"), "test", "test"), (("train",), "train", "train")])
def test_the_test_pictures_score_and_choose_nothing(splits: tuple[str, ...], scored: str, chosen_by: str):
    assert split_to_score(splits) == scored
    assert split_to_choose_by(dict.fromkeys(splits)) == chosen_by
