"""What lies in the folders that would be classes and speaks against them: masks, the same folders in each, a copy."""

import os
from collections.abc import Sequence

from lensmith.base.errors import Question, Reading
from lensmith.base.picture_suffixes import SUFFIXES
from lensmith.data.formats.given_splits import split_named
from lensmith.data.formats.listing import Listing
from lensmith.data.formats.masks.words_in_names import kind_of, masks_among, says_what_it_holds
from lensmith.data.sources.picture_files import readable

_LOOKED_AT = 30       # folders
_SHOWN = 4            # names in a sentence
_LEAST_MASKS = 3      # in a class, since a picture or two may be called after anything
_MASKS = 0.25         # of the pictures of a class are masks
_IN_EACH = 0.6        # of the folders hold a class that is one in them
_MANY = 5             # folders, from which on they are more likely people or places than folds


def ask_inside(listing: Listing, names: Sequence[str], *, splits: bool) -> Question | None:
    """Where the folders `names` of a set, which may be classes, or those of its train part (`splits`), are called after
    what they hold, hold masks beside pictures or the same folders each, or one is a copy of the others."""
    inner = [folder for name in names[:_LOOKED_AT] if (folder := listing.inner(name)) is not None]
    path = readable(listing.path)
    question = _called_after_contents(path, inner, splits=splits) or masks_inside(path, inner)
    if question is None and not splits:
        question = _a_copy(path, inner, names) or _same_folders(path, inner, len(names))
    return question


def _called_after_contents(path: str, folders: Sequence[Listing], *, splits: bool) -> Question | None:
    """Folders called images and labels are no classes."""
    called = [folder.path.name for folder in folders if says_what_it_holds(folder.path.name)
              and folder.holds_below(SUFFIXES)]
    # A class may well be called mask, beside one called no_mask.
    if len({kind_of(name) for name in called}) < 2:
        return None
    answers = [Reading("learns them as classes all the same", ("data.name=folder",))]
    pictures = [name for name in called if kind_of(name) == "pictures"]
    masks = [name for name in called if kind_of(name) == "masks"]
    if pictures and masks and not splits:
        answers.insert(0, Reading("learns masks", ("data.name=masks", f"data.images={pictures[0]}",
                                                   f"data.masks={masks[0]}")))
    return Question(path, f"{path} holds folders that are called after what they hold ({_listed(called)}), as those of "
                    "pictures and of labels are, and not after classes", answers)


def kinds_inside(folder: Listing) -> set[str | None]:
    """What the folders in a folder hold by their names."""
    return {kind_of(name) for name in folder.folders}


def masks_inside(path: str, folders: Sequence[Listing]) -> Question | None:
    """Classes that hold the masks of their pictures too."""
    for folder in folders:
        pictures = folder.pictures_below
        masks = masks_among(pictures)
        if len(masks) < _LEAST_MASKS or len(masks) < _MASKS * len(pictures):
            continue
        name = folder.path.name
        return Question(path, f"{len(masks)} of {len(pictures)} pictures in {readable(name)} are called as masks of "
                        f"others, as {readable(masks[0])}", [
                            Reading("learns the classes without the masks", ("data.name=folder", "data.masks=leave")),
                            *_masks_can_be_read(folder, masks),
                            Reading("learns the masks as pictures of their class", ("data.name=folder",))])
    return None


def _masks_can_be_read(folder: Listing, masks: Sequence[str]) -> list[Reading]:
    """The command that learns masks that lie beside their pictures, a_mask.png beside a.png."""
    beside = any(os.path.dirname(mask) == os.path.dirname(other) for mask in masks[:1]
                 for other in folder.pictures_below if other not in masks)
    return [Reading("learns the masks", ("data.name=masks",))] if beside else []


def _a_copy(path: str, folders: Sequence[Listing], names: Sequence[str]) -> Question | None:
    """A folder that holds folders of the names of those beside it, as an archive that was unpacked into itself does."""
    for folder in folders:
        others = [name for name in names if name != folder.path.name]
        if len(others) > 1 and not folder.ending(SUFFIXES) and set(others) <= set(folder.folders):
            name = folder.path.name
            listed = "[" + ", ".join(f'"{other}"' for other in others) + "]"
            return Question(path, f"{readable(name)} holds folders of the same names as those beside it "
                            f"({_listed(others)}), as a copy of the set does", [
                                Reading(f"leaves {name} out", ("data.name=folder", f"data.classes={listed}")),
                                Reading(f"learns {name} as a class too", ("data.name=folder",))])
    return None


def _same_folders(path: str, folders: Sequence[Listing], number: int) -> Question | None:
    """Folders that each hold folders of the same names: folds, sources or people with the classes in each, or classes
    with the same conditions in each."""
    if len(folders) < 2 or any(folder.ending(SUFFIXES) or not folder.folders for folder in folders):
        return None
    inside = [[name for name in folder.folders if kind_of(name) is None and split_named(name) is None]
              for folder in folders]
    every = sorted({name for names in inside for name in names})
    held = sum(map(len, inside))
    if len(every) < 2 or len(every) > _LOOKED_AT or held < _IN_EACH * len(every) * len(folders) or \
            sum(len(names) > 1 for names in inside) < 2:
        return None
    one_each = Reading(f"learns {_listed(every)}, and keeps each of the {number} folders in one split",
                       ("data.name=folder", "data.layout=group/class"))
    classes = Reading(f"learns {_listed(every)} as classes", ("data.name=folder", "data.layout=part/class"))
    shown = _listed([folder.path.name for folder in folders])
    return Question(path, f"the folders of {path} ({shown}) hold folders of the same names ({_listed(every)})", [
                        *([one_each, classes] if number >= _MANY else [classes]),
                        Reading(f"learns the {number} folders as classes", ("data.name=folder", "data.layout=class"))])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(readable, names[:_SHOWN])) + (" ..." if len(names) > _SHOWN else "")
