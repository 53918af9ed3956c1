"""Text in the cells of CSV files, such that no spreadsheet takes it for a formula."""

_BEGINS = ("=", "+", "-", "@", "\t", "\r")    # with what a spreadsheet begins to compute, and to run commands


def guarded(value: object) -> object:
    """The value for a cell: text that a spreadsheet would run has an apostrophe before it, which it does not show."""
    if isinstance(value, str) and value.startswith(_BEGINS) and not _is_number(value):
        return f"'{value}"
    return value


def unguarded(cell: str) -> str:
    """The text of a cell as it was before `guarded`."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_BEGINS) and not _is_number(cell[1:]) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
