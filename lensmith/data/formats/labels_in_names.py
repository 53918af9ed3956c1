"""Labels that stand in the names of files: a regular expression whose first bracket is the label."""

import re
from collections import Counter
from collections.abc import Sequence

# What cameras and programs call pictures, which is no label.
_NO_LABELS = {"img", "image", "images", "dsc", "dscn", "dscf", "dcim", "pxl", "photo", "pic", "picture", "p", "frame",
              "screenshot", "scan", "mvimg", "pano", "wa", "whatsapp image", "im", "file", "untitled", "sample",
              "train", "test", "val", "valid", "mask", "label"}
_LOOKED_AT = 2000    # names
_LEAST = 3           # pictures of a label on average, with fewer the part of the name is no label


def suggested_pattern(names: Sequence[str]) -> str | None:
    """The expression for data.label that fits the names of pictures, as `(.+)_\\d+`; None where none does."""
    looked_at = list(names)[:_LOOKED_AT]
    stems = [name.rpartition(".")[0] for name in looked_at]
    for separator in ("_", "-", ".", " ", ""):
        mark = re.escape(separator) if separator != " " else " "
        label = "(.+)" if separator else "([^0-9]+)"
        for pattern in (rf"{label}{mark}\d+", rf"^\d+{mark}(.+)\.") if separator else (rf"{label}\d+",):
            if _fits(pattern, looked_at, stems):
                return pattern
    # A copy's number in brackets, as Windows writes it.
    return r"(.+) \(\d+\)" if _fits(r"(.+) \(\d+\)", looked_at, stems) else None


def _fits(pattern: str, names: Sequence[str], stems: Sequence[str]) -> bool:
    matches = [re.search(pattern, name) for name in names]
    if not all(matches):
        return False
    # The number has to be the end of the name, so that what follows is no part of the label.
    whole = all(re.fullmatch(pattern.removeprefix("^").removesuffix(r"\."), stem) for stem in stems)
    labels = Counter(match[1] for match in matches if match)
    words = [label for label in labels if re.search(r"[^\W\d_]", label)
             and re.split(r"[\W\d_]", label.strip(" _.-"))[0].lower() not in _NO_LABELS]
    return whole and len(words) == len(labels) > 1 and len(names) >= _LEAST * len(labels)
