"""Decoding a set at once: its pictures become one tensor in memory where they fit, else they are only checked."""

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lensmith.base.device import free_memory
from lensmith.base.errors import UserError
from lensmith.base.picture_headers import BadPicture, read_file
from lensmith.base.pictures import Form, decode
from lensmith.base.progress import ProgressLine
from lensmith.data.sources.in_memory import InMemory, Reshaped, room_for
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import Bad
from lensmith.data.store.file_hashes import content_hash

_MOMENT = 50_000_000     # bytes of picture files: so many take a second or two on one core
_OPENED = 10_000         # bytes: so many are decoded in the time that opening a file takes


def check_fractions(memory: float, disk: float) -> None:
    """Raises UserError where one of them is no fraction."""
    for name, fraction in (("memory", memory), ("disk", disk)):
        if not 0 <= fraction <= 1:
            raise UserError(f"loading.{name} must be a fraction of the free {name}, 0 .. 1; got {fraction}")


def fits(number: int, form: Form, *, fraction: float) -> bool:
    """Whether so many decoded pictures take at most `fraction` of the memory that is free now."""
    return picture_bytes(form) * number <= fraction * free_memory()


def takes_long(sources: Mapping[str, Files]) -> bool:
    """Whether decoding these files takes so long that one would not wait for it.

    It follows from the sizes of the files and not from the clock. Pictures that are found bad while training stay in
    the order of the samples, those found before do not, and a run that is resumed must have the same order.
    """
    return sum(_OPENED + _length(path) for source in sources.values() for path in source.paths) > _MOMENT


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def picture_bytes(form: Form) -> int:
    """Bytes of one decoded picture."""
    return form.channels * form.height * form.width * form.bits // 8


@dataclass(frozen=True)
class Decoded:
    """What decoding a set once gives."""

    source: Files | InMemory | Reshaped    # what to train on; the bad ones are still in it
    bad: list[Bad]
    digest: str                            # BLAKE2b, 32 hex digits, of what all samples hold, the bad ones included


def decode_all(source: Files | InMemory, form: Form, *, keep: bool,
               progress: Callable[[str], object] = lambda line: None) -> Decoded:
    """Decode every picture of `source` once, on all cores, and find out which cannot be.

    With `keep` the pictures to train on are an InMemory set. Without it they are decoded, or brought to the form,
    again each epoch; pictures that lie in memory in this form already stay there. Both hold the same samples in the
    same order. The digest is of the files' bytes, or of the pictures in memory as they were opened, and so does not
    depend on the form or on `keep`. `progress` is told a line every few seconds. Raises DataError where the kept form
    does not fit into memory after all.
    """
    if isinstance(source, InMemory):
        digest = _digest_of(source)
        return Decoded(source.shaped(form) if keep or source.has(form) else Reshaped(source, form), [], digest)
    images = room_for(len(source) if keep else 0, form)
    places, bad = [source.place(i) for i in range(len(source))], list[Bad]()

    def decode_one(i: int) -> tuple[str | None, bytes]:
        content = b""
        try:
            content = read_file(source.paths[i])
            image, places[i] = decode(content, form, name=source.name(i))
        except BadPicture as error:
            return str(error), content_hash(content)
        if keep:
            images[i].copy_(image)
        return None, content_hash(content)

    whole, decoded = hashlib.blake2b(digest_size=16), ProgressLine("decoded", len(source), progress)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for i, (reason, content) in enumerate(pool.map(decode_one, range(len(source)))):
            whole.update(content)
            if reason is not None:
                bad.append(Bad(places[i].file, reason))
            decoded(i + 1)
    if not keep:
        return Decoded(source.shaped(form), bad, whole.hexdigest())
    kept = InMemory(images, source.targets, source.classes, places=places, groups=source.groups)
    return Decoded(kept, bad, whole.hexdigest())


def _digest_of(source: InMemory) -> str:
    whole = hashlib.blake2b(f"{tuple(source.images.shape)} {source.images.dtype}".encode(), digest_size=16)
    for images in source.images.split(1_024):    # a few at a time: they may have to be copied into order
        whole.update(np.ascontiguousarray(images.numpy()).data)
    return whole.hexdigest()
