"""The splits that a data set brings itself: what they are called, and what lies in them."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from lensmith.base.errors import DataError, count
from lensmith.base.left_behind import leads_to
from lensmith.data.formats.masks.words_in_names import words_of
from lensmith.data.sources.picture_files import readable

LISTED = 10_000    # an account names at most so many pictures of each thing that it counts
SPLITS = {"train": "train", "val": "valid", "valid": "valid", "validation": "valid", "test": "test"}
_WORDS = SPLITS | {"training": "train", "trn": "train", "validate": "valid", "validating": "valid", "dev": "valid",
                   "devel": "valid", "testing": "test", "tst": "test", "eval": "test", "evaluation": "test"}
_ALL_BUT_TEST = re.compile(r"train(ing)?[\s_.-]*val(id|idation)?")    # train_val, as a folder beside test
# What stands before and behind these words in the names of folders and says nothing: obj_train_data, TestImages.
_SAYS_NOTHING = "datasets|dataset|data|sets|set|images|image|imgs|img|pictures|photos|samples|seg|obj|stage|split|" \
                "part|subset|folder|files|jpgs|jpg|png"
_NAME_OF_SPLIT = re.compile(rf"(?:(?:{_SAYS_NOTHING})\d*[\s_.-]*)*({'|'.join(sorted(_WORDS, key=len, reverse=True))})"
                            rf"[\s_.-]*(?:(?:{_SAYS_NOTHING}|\d+)[\s_.-]*)*")


class WithPaths(Protocol):
    """A split of a set, as far as its pictures go."""

    paths: list[Path]


Split = TypeVar("Split", bound=WithPaths)


def splits_with_pictures(splits: Mapping[str, Split]) -> dict[str, Split]:
    """The splits that hold a picture, in the order train, valid, test, all.

    A single split that is not called train is the whole set, "all". Raises DataError where several hold pictures and
    none is called train.
    """
    filled = {name: splits[name] for name in ("train", "valid", "test", "all")
              if name in splits and splits[name].paths}
    if len(filled) == 1 and "train" not in filled:
        return {"all": next(iter(filled.values()))}
    if filled and "train" not in filled:
        raise DataError(f"the set has the splits {', '.join(filled)} but no train: there is nothing to learn from")
    return filled


def common_root(folder: Path, paths: Sequence[Path]) -> Path:
    """The folder that pictures are named below: `folder`, or where some lie elsewhere, one that holds them all."""
    parents = {os.path.dirname(path) for path in paths}
    inside = os.path.join(os.fspath(folder), "")
    if all(os.path.join(parent, "").startswith(inside) for parent in parents):
        return folder
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:    # two drives, or relative and absolute paths
        return folder


def split_named(name: str) -> str | None:
    """The split that a folder or file is called after, as train, Training, seg_train, test_data or train2017; None for
    any other name."""
    match = _NAME_OF_SPLIT.fullmatch(name.lower())
    return _WORDS[match[1]] if match else None


def split_folders(root: Path) -> dict[str, Path]:
    """The folders in `root` that are called after a split, by split; raises DataError where two name one."""
    with os.scandir(root) as entries:
        return folders_by_split(root, [entry.name for entry in entries if leads_to(entry.is_dir)])


def folders_by_split(root: Path, folders: Sequence[str]) -> dict[str, Path]:
    """Of the named folders in `root` those that are called after a split, by split; raises DataError as above.

    A folder with the plain name of a split comes before those with longer ones: train before train_old. Where no name
    alone says train, those of WIDER_train and WIDER_val beside each other do.
    """
    by_split: dict[str, Path] = {}
    # Plain names last, so that they take the place of others.
    for name in sorted(folders, key=lambda name: (_plain(name), name)):
        split = split_named(name) or ("train" if _ALL_BUT_TEST.fullmatch(name.lower()) else None)
        if split is None:
            continue
        if split in by_split and _plain(by_split[split].name) == _plain(name):
            raise DataError(f"{root} holds both {by_split[split].name!r} and {name!r}, which name one split: join "
                            "or rename them, or list the folders in a data.yaml")
        by_split[split] = root / name
    if "train" not in by_split:
        beside = splits_beside(folders)
        if len(set(beside.values())) == len(beside):
            by_split |= {split: root / name for name, split in beside.items()}
    return {split: by_split[split] for split in sorted(by_split)}


def splits_beside(names: Sequence[str]) -> dict[str, str]:
    """The split of each name that others are like but for one word, which names another split: WIDER_train, WIDER_val.

    Train is one of them.
    """
    alike: dict[tuple[str, ...], dict[str, str]] = {}    # the other words -> name -> split
    for name in names:
        words = words_of(name)
        said = [i for i, word in enumerate(words) if word in _WORDS]
        if len(said) == 1 and len(words) > 1:
            rest = (*words[: said[0]], *words[said[0] + 1 :])
            alike.setdefault(rest, {})[name] = _WORDS[words[said[0]]]
    divided = [group for group in alike.values()
               if "train" in group.values() and len(set(group.values())) == len(group) > 1]
    return {name: split for group in divided for name, split in group.items()}


def _plain(name: str) -> bool:
    """Whether a name of a split is one of the plain words, with a number at most."""
    return re.fullmatch(r"(train|valid|validation|val|test)[\d_-]*", name.lower()) is not None


def listed_below(root: Path, paths: Sequence[Path]) -> list[str]:
    """The names below `root` of the first paths, as an account lists them."""
    return [readable(os.path.relpath(path, root)) for path in sorted(paths)[:LISTED]]


def refuse_unlabelled(pictures: Sequence[Path], what: str, *, may_be_empty: bool = True) -> None:
    """Raise a DataError that names the first three of the pictures without annotation, where there are any.

    `what` is what they lack, as "label file"; `may_be_empty`: whether they can be taken for pictures without objects.
    """
    if pictures:
        first = ", ".join(readable(path) for path in pictures[:3])
        more = " ..." if len(pictures) > 3 else ""
        empty = "empty (they show no object) or " if may_be_empty else ""
        raise DataError(f"{count(len(pictures), 'picture')} without {what}: {first}{more}. Label them, or say "
                        f"data.unlabelled={empty}leave (they are left out)")
