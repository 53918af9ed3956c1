"""Masks in files: of another size than their picture, with ids that are no class, that cannot be read, or show nothing.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from lensmith.base.errors import DataError, count
from lensmith.data.sources.mask_files import MaskFiles, MaskOfAnotherSize, StrayId
from lensmith.study.check.classes import first_names, unseen_in
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet

_WORDS = {"mask-size": "whose mask has another size: training ends there",
          "stray-id": "whose mask holds an id that is no class: training ends there",
          "mask-unreadable": "whose mask cannot be read: training ends there"}


def odd_masks(known: KnownSet) -> Iterator[Finding]:
    """What is wrong with the masks of each target, and the classes that a split shows nowhere."""
    for target in known.targets_of("mask"):
        wrong: dict[str, list[Pictured]] = defaultdict(list)
        for split, rows in known.splits.items():
            value: Any = known.values(split, target)
            if not isinstance(value, MaskFiles):
                continue
            pixels = np.zeros(256, dtype=np.int64)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                read = pool.map(lambda row, mask: _read(known, row, mask), rows.tolist(), value.masks)
                for row, (kind, words, counts) in zip(rows.tolist(), read, strict=True):
                    pixels += counts
                    if kind:
                        wrong[kind].append(Pictured((known.at(row),), (words,)))
            absent = [name for name, number in zip(known.classes[target], pixels.tolist(), strict=False) if not number]
            if absent and pixels.any():
                yield Finding("masks", "missing-class", "error" if split == "train" else "warning",
                              f"{count(len(absent), 'class')} without a pixel in {split} ({first_names(absent)}): "
                              f"{unseen_in(split, len(absent))}",
                              count=len(absent))
        for kind, groups in wrong.items():
            yield Finding("masks", kind, "error", f"{count(len(groups), 'picture')} {_WORDS[kind]}", tuple(groups),
                          leave_out=tuple(group.pictures[0] for group in groups))


def _read(known: KnownSet, row: int, mask: Any) -> tuple[str, str, np.ndarray]:
    """(the kind of what is wrong with a mask or "", in words, int64 [256] pixels by class)."""
    height, width = known.pictures.sizes[row].tolist()
    try:
        classes = mask.read((height, width), int(known.pictures.orientations[row]))
    except MaskOfAnotherSize as error:
        return "mask-size", str(error), np.zeros(256, dtype=np.int64)
    except StrayId as error:
        return "stray-id", str(error), np.zeros(256, dtype=np.int64)
    except DataError as error:
        return "mask-unreadable", str(error), np.zeros(256, dtype=np.int64)
    return "", "", np.bincount(classes.ravel(), minlength=256)
