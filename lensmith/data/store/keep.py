"""The decode-once store of larger sets: decoded while training, kept in memory or in a file of the user's cache."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError, count
from lensmith.base.pictures import BadPicture, Form, Place, decode, read_file
from lensmith.data.sources.in_memory import room_for
from lensmith.data.sources.picture_files import Files
from lensmith.data.store import disk_cache as cached
from lensmith.data.store.at_once import fits, picture_bytes
from lensmith.data.store.disk_cache import Building, Cached, Damaged
from lensmith.data.store.file_hashes import Contents
from lensmith.data.store.in_background import Fill, Filling, Store

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Kept:
    """The pictures of a run, each decoded once in the background."""

    store: Store
    sources: dict[str, Filling]    # by split
    folder: Path | None            # of the cache; None where they are kept in memory


def keep_filling(sources: Mapping[str, Files], contents: Mapping[str, Contents], form: Form, *, memory: float,
                 disk: float, tell: Tell = lambda line: None) -> Kept | None:
    """Begin to decode the pictures of all splits on all cores, in order, but those first that are asked for.

    `contents` are those of the files by split. The pictures are kept in memory where they take at
    most the share `memory` of what is free, else in the user's cache where that may take them (cached.make_room); None
    where neither can be. What the cache has of such files, whatever set they belong to, is not decoded again.
    """
    joined = Contents.joined([contents[part] for part in sources])
    number, folder = len(joined.hashes), cached.folder_for(joined.hashes, form)
    in_memory = fits(number, form, share=memory)
    own = None if in_memory or not disk else _own(folder, form, tell)
    known = _known(form) if disk and own is None else {}
    building = None
    if not in_memory and own is None:
        needed = number * picture_bytes(form)
        if not cached.make_room(needed, share=disk):
            known = _without(known)    # those that were only to be copied from may have to make room
            if not cached.make_room(needed, share=disk):
                return None
        try:
            building = Building(folder, form, number)
        except OSError as error:
            _without(known)
            tell(f"the cache of decoded pictures cannot be written ({error})")
            return None
    try:
        images = building.images if building else own.images if own else room_for(number, form).numpy()
    except DataError:
        _without(known)
        raise
    files = [(path, source.place(row)) for source in sources.values() for row, path in enumerate(source.paths)]
    making = _Making(files, joined, form, images, known=known, own=own, building=building)
    fill = Fill(number, making.make, finish=making.finish)
    store = Store(torch.from_numpy(images), making.places, fill, notes=making.notes,
                  close=partial(_close, fill, making))
    fill.start()
    first, views = 0, {}
    for part, source in sources.items():
        rows = torch.arange(first, first := first + len(source))
        views[part] = Filling(store, rows, source.targets, source.classes, groups=source.groups)
    return Kept(store, views, None if in_memory else folder)


def _own(folder: Path, form: Form, tell: Tell) -> Cached | None:
    """The pictures of just these files, where the cache has them."""
    try:
        own = Cached.open(folder, form)
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(f"the cache of these pictures cannot be used now ({error}): they are decoded again")
        return None
    except Damaged as error:
        tell(f"the cache of these pictures {error}: it is made anew")
        cached.remove(folder)
        return None
    own.use()
    return own


def _known(form: Form) -> dict[bytes, tuple[Cached, int]]:
    """What a file holds -> where the cache has its picture in this form."""
    return {contents.tobytes(): (one, row) for one in cached.related(form)
            for row, contents in enumerate(one.rows["contents"]) if contents.any()}


def _without(known: Mapping[bytes, tuple[Cached, int]]) -> dict[bytes, tuple[Cached, int]]:
    for one in {id(one): one for one, _ in known.values()}.values():
        one.close()
    return {}


def _close(fill: Fill, making: "_Making") -> None:
    fill.close()
    making.close()


class _Making:
    """How one picture after the other gets into the store: out of the cache, or out of its file."""

    def __init__(self, files: list[tuple[Path, Place]], contents: Contents, form: Form, images: np.ndarray, *,
                 known: Mapping[bytes, tuple[Cached, int]], own: Cached | None, building: Building | None):
        self.files, self.contents, self.form, self.images = files, contents, form, images
        self.hashes = contents.hashes
        self.known, self.own, self.building = known, own, building
        self.places = [place for _, place in files]    # of what is not ready the size alone, not the fit
        self.copied, self.decoded, self.mended = list[int](), list[int](), list[int]()    # rows; append() needs no lock
        self.notes: list[str] = []

    def make(self, row: int) -> None:
        """Raises BadPicture where the file cannot be decoded, or is no longer what was hashed."""
        if not self._take(row):
            self._decode(row)

    def _take(self, row: int) -> bool:
        """Whether the cache had the picture of a row."""
        if self.own is not None:
            has, there, one = bool((self.own.rows["contents"][row] == self.hashes[row]).all()), row, self.own
        else:
            one, there = self.known.get(self.hashes[row].tobytes(), (None, 0))    # type: ignore[assignment]
            has = one is not None
        if not has or not one.is_sound(there):
            return False
        place = one.place(there, self.files[row][1].file)
        if one is not self.own:
            self.images[row] = one.images[there]
            one.use()
            self.copied.append(row)
        self._place(row, place)
        return True

    def _decode(self, row: int) -> None:
        path, place = self.files[row]
        content = read_file(path)
        if not self.contents.has(row, path, content):
            raise BadPicture("has changed since the run began")
        image, place = decode(content, self.form, name=place.file)
        if self.own is not None:
            self.own.mend(row, image.numpy(), place, self.hashes[row])
            self.mended.append(row)
        else:
            self.images[row] = image.numpy()
            self.decoded.append(row)
        self._place(row, place)

    def _place(self, row: int, place: Place) -> None:
        self.places[row] = place
        if self.building is not None:
            self.building.note(row, place, self.hashes[row])

    def finish(self) -> None:
        """All rows are made: a new set is put in place, and what turned out is noted."""
        if self.building is not None:
            self.building.finish()
        if self.copied and self.decoded:
            is_new = "is new or has" if len(self.decoded) == 1 else "are new or have"
            self.notes.append(f"{count(len(self.decoded), 'picture')} of {len(self.files):,} {is_new} changed since "
                              "the others were cached, and decoded; the others were not again")
        if self.mended:
            self.notes.append(f"{count(len(self.mended), 'picture')} in the cache {cached.pictures_folder()} "
                              f"{'was' if len(self.mended) == 1 else 'were'} damaged, and decoded again")
        self.known = _without(self.known)

    def close(self) -> None:
        if self.building is not None:
            self.building.close()
        if self.own is not None:
            self.own.close()
        self.known = _without(self.known)
