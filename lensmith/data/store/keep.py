"""The store of larger sets: each picture is decoded once, while training, and kept in memory or in the user's cache."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lensmith.base.errors import DataError, count
from lensmith.base.picture_headers import BadPicture, read_file
from lensmith.base.pictures import Form, Place, decode
from lensmith.data.sources.in_memory import room_for
from lensmith.data.sources.picture_files import Files
from lensmith.data.store import disk_cache
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

    What the cache has of files with the same contents, whatever set they belong to, is not decoded again.

    sources: the files, by split.
    contents: what they hold, by split.
    form: of the decoded pictures.
    memory: the fraction of the free memory that they may take.
    disk: the fraction of cache and free disk together that the cache may take, where they do not fit into memory.
    tell: called with a line where the cache cannot be used.

    -> None where neither the memory nor the cache has room. Raises DataError where the memory has none after all.
    """
    everything = Contents.joined([contents[split] for split in sources])
    number, folder = len(everything.hashes), disk_cache.folder_for(everything.hashes, form)
    in_memory = fits(number, form, fraction=memory)
    same_set = None if in_memory or not disk else _open_same_set(folder, form, tell)
    related = _related(form) if disk and same_set is None else {}
    building = None
    if not in_memory and same_set is None:
        needed = number * picture_bytes(form)
        if not disk_cache.make_room(needed, fraction=disk):
            related = _closed(related)    # those that were only to be copied from may have to make room
            if not disk_cache.make_room(needed, fraction=disk):
                return None
        try:
            building = Building(folder, form, number)
        except OSError as error:
            _closed(related)
            tell(f"the cache of decoded pictures cannot be written ({error})")
            return None
    try:
        images = building.images if building else same_set.images if same_set else room_for(number, form).numpy()
    except DataError:
        _closed(related)
        raise
    files = [(path, source.place(row)) for source in sources.values() for row, path in enumerate(source.paths)]
    making = _Making(files, everything, form, images, related=related, same_set=same_set, building=building)
    fill = Fill(number, making.make, finish=making.finish)
    store = Store(torch.from_numpy(images), making.places, fill, notes=making.notes,
                  close=partial(_close, fill, making))
    fill.start()
    return Kept(store, _by_split(store, sources), None if in_memory else folder)


def _by_split(store: Store, sources: Mapping[str, Files]) -> dict[str, Filling]:
    """The rows of the store that are the pictures of each split."""
    first, splits = 0, {}
    for split, source in sources.items():
        rows = torch.arange(first, first := first + len(source))
        splits[split] = Filling(store, rows, source.targets, source.classes, groups=source.groups)
    return splits


def _open_same_set(folder: Path, form: Form, tell: Tell) -> Cached | None:
    """The pictures of just these files, where the cache has them."""
    try:
        same_set = Cached.open(folder, form)
    except FileNotFoundError:
        return None
    except OSError as error:
        tell(f"the cache of these pictures cannot be used now ({error}): they are decoded again")
        return None
    except Damaged as error:
        tell(f"the cache of these pictures {error}: it is made anew")
        disk_cache.remove(folder)
        return None
    same_set.use()
    return same_set


def _related(form: Form) -> dict[bytes, tuple[Cached, int]]:
    """The hash of what a file holds -> where the cache has its picture in this form."""
    return {contents.tobytes(): (cached, row) for cached in disk_cache.related(form)
            for row, contents in enumerate(cached.rows["contents"]) if contents.any()}


def _closed(related: Mapping[bytes, tuple[Cached, int]]) -> dict[bytes, tuple[Cached, int]]:
    """Nothing, after closing the sets that `related` refers to."""
    for cached in {id(cached): cached for cached, _ in related.values()}.values():
        cached.close()
    return {}


def _close(fill: Fill, making: "_Making") -> None:
    fill.close()
    making.close()


class _Making:
    """How a picture gets into the store: out of the cache, or out of its file."""

    def __init__(self, files: list[tuple[Path, Place]], contents: Contents, form: Form, images: np.ndarray, *,
                 related: Mapping[bytes, tuple[Cached, int]], same_set: Cached | None, building: Building | None):
        """files: of each row the path, and the place with its size.
        contents: what the files hold.
        form: of the pictures.
        images: where they go.
        related: where the cache has pictures of files with the same contents, to be copied.
        same_set: the cache of these files, whose pictures are `images`.
        building: the cache of these files that is being made, whose pictures are `images`.
        """
        self.files, self.contents, self.form, self.images = files, contents, form, images
        self.hashes = contents.hashes
        self.related, self.same_set, self.building = related, same_set, building
        self.places = [place for _, place in files]    # of what is not ready the size alone, not the fit
        self.copied, self.decoded, self.mended = list[int](), list[int](), list[int]()    # rows; append() needs no lock
        self.notes: list[str] = []

    def make(self, row: int) -> None:
        """Raises BadPicture where the file cannot be decoded, or is no longer what was hashed."""
        if not self._take_from_cache(row):
            self._decode(row)

    def _take_from_cache(self, row: int) -> bool:
        """Whether the cache had the picture of a row."""
        cached, cached_row = self._cached(row)
        if cached is None or not cached.is_sound(cached_row):
            return False
        place = cached.place(cached_row, self.files[row][1].file)
        if cached is not self.same_set:
            self.images[row] = cached.images[cached_row]
            cached.use()
            self.copied.append(row)
        self._note(row, place)
        return True

    def _cached(self, row: int) -> tuple[Cached | None, int]:
        """The set in the cache that has the picture of a row, and the row there."""
        if self.same_set is None:
            return self.related.get(self.hashes[row].tobytes(), (None, 0))
        is_same = bool((self.same_set.rows["contents"][row] == self.hashes[row]).all())
        return (self.same_set if is_same else None), row

    def _decode(self, row: int) -> None:
        path, place = self.files[row]
        content = read_file(path)
        if not self.contents.has(row, path, content):
            raise BadPicture("has changed since the run began")
        image, place = decode(content, self.form, name=place.file)
        if self.same_set is not None:
            self.same_set.mend(row, image.numpy(), place, self.hashes[row])
            self.mended.append(row)
        else:
            self.images[row] = image.numpy()
            self.decoded.append(row)
        self._note(row, place)

    def _note(self, row: int, place: Place) -> None:
        self.places[row] = place
        if self.building is not None:
            self.building.note(row, place, self.hashes[row])

    def finish(self) -> None:
        """Called when all rows are made: gives a new set its name, and notes what came up."""
        if self.building is not None:
            self.building.finish()
        if self.copied and self.decoded:
            is_new = "is new or has" if len(self.decoded) == 1 else "are new or have"
            self.notes.append(f"{count(len(self.decoded), 'picture')} of {len(self.files):,} {is_new} changed since "
                              "the others were cached, and decoded; the others were not again")
        if self.mended:
            self.notes.append(f"{count(len(self.mended), 'picture')} in the cache {disk_cache.pictures_folder()} "
                              f"{'was' if len(self.mended) == 1 else 'were'} damaged, and decoded again")
        self.related = _closed(self.related)

    def close(self) -> None:
        if self.building is not None:
            self.building.close()
        if self.same_set is not None:
            self.same_set.close()
        self.related = _closed(self.related)
