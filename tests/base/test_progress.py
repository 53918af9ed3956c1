"""Times in words."""

import pytest

from lensmith.base.progress import duration


@pytest.mark.parametrize(("seconds", "text"), [
    (0.2, "1 s"), (45.4, "45 s"), (59.4, "59 s"), (60, "1 min"), (132, "2 min 10 s"), (178, "3 min"),
    (594, "9 min 55 s"), (596, "10 min"), (1499, "25 min"), (3599, "1 h"), (12000, "3 h 20 min")])
def test_a_duration_in_words(seconds: float, text: str):
    assert duration(seconds) == text
