"""Which format a folder or file is of: each format says what speaks for it, and the strongest evidence decides."""

from pathlib import Path

from lensmith.base.errors import DataError
from lensmith.data.formats import FORMATS
from lensmith.data.formats.format import LAYOUT, NOTHING
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.rivals import ask_about_classes, ask_about_masks
from lensmith.data.formats.unread import refuse_unread

_OTHERWISE = "folder"    # a folder that speaks for no format is one of class folders, whose reader says what it lacks


def recognise(path: Path) -> str | None:
    """The name in FORMATS of the format that reads `path`; None for what is neither a folder nor a file of a suffix
    that a format reads.

    Of the formats of the lowest order with any support the one with the most is taken; masks of pixels are therefore
    learned only where nothing else is, and with boxes beside them data.name=masks says so. Raises DataError where two
    formats fit equally well and for layouts that are known and not read, Question where something speaks for another
    reading of class folders or of masks.
    """
    listing = Listing(path)
    if listing.is_file:
        return _read_by(listing)
    if not path.is_dir():
        return None
    for order in sorted({record.order for record in FORMATS.values()}):
        evidence = {name: record.recognise(listing) for name, record in FORMATS.items()
                    if record.order == order and record.recognise is not None}
        most = max((each.supports for each in evidence.values()), default=NOTHING)
        matches = sorted(name for name, each in evidence.items() if each.supports == most > NOTHING)
        if len(matches) > 1:
            because = "; ".join(evidence[name].sentence for name in matches)
            raise DataError(f"{path} can be read as {' and as '.join(matches)} ({because}): say which with "
                            f"{' or '.join(f'data.name={name}' for name in matches)}")
        if matches:
            if matches[0] == "masks":
                ask_about_masks(listing)
            if matches[0] != _OTHERWISE:
                return matches[0]
    refuse_unread(listing)
    ask_about_classes(listing, _is_of_a_format)
    return _OTHERWISE


def _is_of_a_format(folder: Listing) -> bool:
    """Whether a folder has the layout of a format, class folders aside."""
    return any(record.recognise(folder).supports == LAYOUT for name, record in FORMATS.items()
               if record.recognise is not None and name != _OTHERWISE)


def _read_by(file: Listing) -> str | None:
    """The format of a file: by its suffix, and where several read it, the one with the most support, else the first."""
    matches = {name: record for name, record in FORMATS.items() if file.path.suffix.lower() in record.suffixes}
    if len(matches) < 2:
        return next(iter(matches), None)
    supports = {name: NOTHING if record.recognise is None else record.recognise(file).supports
                for name, record in matches.items()}
    return max(supports, key=lambda name: supports[name])
