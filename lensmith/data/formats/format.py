"""What a format is: one record that says how its sets are opened, recognised, written and found."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from lensmith.data.formats.listing import Listing
from lensmith.data.sources.sample import Splits

# How strongly a folder speaks for or against a format.
NOTHING = 0
BESIDE = 1    # files of its kind lie beside pictures and have their names
LAYOUT = 2    # folders or files are called, or begin, as those of this format alone


@dataclass(frozen=True)
class Evidence:
    """What the names in a folder say of a format.

    `supports` and `contradicts` are NOTHING, BESIDE or LAYOUT: how strongly the folder speaks for the format, and how
    strongly what lies there would be left out by it. The format with the most support is taken. What contradicts it
    decides nothing: it is there to ask the user where another reading has support as well. `sentence` names what
    supports the format, as `labels/*.txt`, and stands in the error where two formats fit.
    """

    supports: int = NOTHING
    contradicts: int = NOTHING
    sentence: str = ""


@dataclass(frozen=True)
class Writer:
    """How a set of boxes is written in a format.

    - `write(splits, names, folder)` gives the path and text of each label file. It takes the pictures to write by split
      ("all" where there is none), the class names, and the folder of the set.
    - `picture_folder(split)` is where the pictures of a split go, from the folder of the set.
    - `takes_category_ids`: whether `write` also takes `category_ids`, the numbers of COCO's classes.
    - `name`: what `lensmith convert --to` calls the format, where this is not its name in the table.
    """

    write: Callable[..., Iterator[tuple[Path, str]]]
    picture_folder: Callable[[str], str]
    takes_category_ids: bool = False
    name: str | None = None


@dataclass(frozen=True)
class Public:
    """Where a public data set can be downloaded, and what is downloaded."""

    mirrors: tuple[str, ...]           # tried in this order; the name of a file is put behind
    files: dict[str, str]              # name -> SHA-256
    unpacked: tuple[str, ...] = ()     # of an archive: the members that the set needs
    otherwise: str = ""                # another way to get it, which the error names


@dataclass(frozen=True)
class Format:
    """All that the rest of the program knows of a format; it stands in the format's own file.

    - `open`: its parameters are the settings of the recipe's section [data], and its result is the opened set.
    - `recognise`: what a folder says of the format; without it the format is only taken where it is named. It gets a
      file as well, where several formats read files of one suffix. It opens no folder by itself.
    - `write`: how boxes are written in the format; without it `lensmith convert` does not offer it.
    - `find`: where a set that is known by its name lies, from the name in the table; raises DataError where it does not
      lie on this machine.
    - `suffixes`: of the files that are opened where they are named instead of a folder, in lower case.
    - `order`: a folder is shown to the formats of order 0 first, and to those of a higher order only where no format of
      a lower one has support. Files of annotations are 0, a table 1, masks 2, class folders 3.
    - `public`: where the set is downloaded from by `lensmith data get`.
    """

    open: Callable[..., Splits]
    recognise: Callable[[Listing], Evidence] | None = None
    write: Writer | None = None
    find: Callable[[str], Path] | None = None
    suffixes: tuple[str, ...] = ()
    order: int = 0
    public: Public | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The settings that have no default."""
        parameters = signature(self.open).parameters.values()
        return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)


def beside_pictures(listing: Listing, suffix: str) -> Evidence:
    """The evidence of files of this suffix that lie beside pictures and have their names."""
    for folder in listing.with_splits():
        file = folder.beside_picture(suffix)
        if file is not None:
            return Evidence(BESIDE, sentence=f"{file} beside a picture")
    return Evidence()
