"""A data set whose pictures are files on the disk."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch

from lensmith.base.pictures import Form, Place, decode
from lensmith.data.sources.sample import Sample
from lensmith.values.value import Value


class Files:
    """A Source that decodes a picture each time it is asked for it; `form` must have been set by `shaped`."""

    def __init__(self, paths: list[Path], targets: dict[str, Value], classes: dict[str, tuple[str, ...]], *,
                 root: Path, groups: np.ndarray | None = None, form: Form | None = None,
                 sizes: np.ndarray | None = None):
        """`sizes` int64 [n, 2]: the height and width of each picture, where its header has been read."""
        self.paths, self.targets, self.classes = paths, targets, classes
        self.root, self.groups, self.form, self.sizes = root, groups, form, sizes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Sample:
        """Raises BadPicture, whose message is the reason alone, where the file cannot be decoded."""
        assert self.form is not None, "shaped() comes before the first picture"
        image, place = decode(self.paths[i], self.form, name=self.name(i))
        return Sample(image, {name: value[i] for name, value in self.targets.items()}, place)

    def name(self, i: int) -> str:
        """The file's path below the set's folder, with / between its parts; bytes that are not UTF-8 as U+FFFD."""
        return readable(name_below(self.root, self.paths[i]))

    def place(self, i: int) -> Place:
        """Where sample `i` comes from; a size that is not known stands as (0, 0)."""
        if self.sizes is None:
            return Place(self.name(i), (0, 0))
        height, width = self.sizes[i].tolist()
        return Place(self.name(i), (height, width))

    def subset(self, rows: Sequence[int]) -> Self:
        chosen = np.asarray(rows, dtype=np.int64)
        taken = torch.from_numpy(chosen)
        return type(self)([self.paths[i] for i in chosen.tolist()],
                          {name: value.take(taken) for name, value in self.targets.items()}, self.classes,
                          root=self.root, groups=None if self.groups is None else self.groups[chosen], form=self.form,
                          sizes=None if self.sizes is None else self.sizes[chosen])

    def shaped(self, form: Form) -> Self:
        return type(self)(self.paths, self.targets, self.classes, root=self.root, groups=self.groups, form=form,
                          sizes=self.sizes)


def name_below(root: Path, path: Path | str) -> str:
    """A path below a folder, with / between its parts; the whole path where it is not below."""
    return os.fspath(path).removeprefix(os.path.join(root, "")).replace(os.sep, "/")


def readable(name: Path | str) -> str:
    """A name of the file system as text that can be written down: bytes that are not UTF-8 as U+FFFD."""
    return os.fspath(name).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
