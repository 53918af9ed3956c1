"""What is of Open Images alone in its tables: classes by codes, whose names stand in a file beside them."""

import re
from collections.abc import Sequence
from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.reading import read_text
from lensmith.data.sources.picture_files import readable

_CODE = re.compile(r"/[a-z]/[0-9a-z_]+")    # as /m/0k4j, of Google's knowledge graph
_NAMES = "class-descriptions"               # in the name of the file: oidv7-class-descriptions-boxable.csv


def names_of_codes(labels: Sequence[str], folder: Path) -> tuple[dict[str, str], str]:
    """The name of each code among the labels of a table in a folder, and the file that names them; none where they are
    no codes or no file lies there. Raises DataError for a code that the file does not name."""
    codes = {label for label in labels if label}
    if not codes or not all(map(_CODE.fullmatch, codes)):
        return {}, ""
    files = [name for name in Listing(folder).ending((".csv",)) if _NAMES in name.lower()]
    if not files:
        return {}, ""
    file = folder / files[0]
    names = {}
    for line in read_text(file).splitlines():
        code, _, name = line.partition(",")
        names[code.strip()] = name.strip().strip('"')
    missing = sorted(code for code in codes if not names.get(code))
    if missing:
        raise DataError(f"{readable(file)} does not name the class {missing[0]!r}: add it, or move the file away to "
                        "learn the codes")
    return {code: names[code] for code in codes}, readable(file)
