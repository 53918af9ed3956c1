"""Which split something is measured on, where nobody names one."""

from collections.abc import Container


def split_to_score(splits: Container[str]) -> str:
    """The split that the score to be told is of: the one that nothing was chosen by, as far as there is one."""
    return next(name for name in ("test", "valid", "train") if name in splits)


def split_to_choose_by(splits: Container[str]) -> str:
    """The split that something is decided by: the test pictures choose nothing, unless there are no others but those
    that were learned from."""
    return next(name for name in ("valid", "test", "train") if name in splits)
