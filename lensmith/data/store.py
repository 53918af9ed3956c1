"""The decode-once store: pictures on the disk become one tensor in memory where they fit, else are only checked."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

from lensmith.base.device import free_memory
from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import BadPicture, Form
from lensmith.data.memory import InMemory
from lensmith.data.sample import Source
from lensmith.data.survey import Bad


def fits(count: int, form: Form, *, share: float) -> bool:
    """Whether `count` decoded pictures take at most `share` of the memory that is free now."""
    if not 0 <= share <= 1:
        raise UserError(f"loading.memory must be a share of the free memory, 0 .. 1; got {share}")
    return picture_bytes(form) * count <= share * free_memory()


def picture_bytes(form: Form) -> int:
    """Bytes of one decoded picture."""
    return form.channels * form.height * form.width * form.bits // 8


def decode_all(source: Source, form: Form, *, keep: bool,
               progress: Callable[[int], object] = lambda done: None) -> tuple[Source, list[Bad]]:
    """Decode every picture of `source` once, on all cores.

    -> what to train on, and the pictures that could not be decoded, which are still in it. With `keep` that is an
    InMemory set; without it is the source itself, to be decoded again each epoch. Both hold the same samples in the
    same order. Raises DataError where the kept form does not fit into memory after all.
    """
    if isinstance(source, InMemory):
        return source.shaped(form), []
    try:
        images = torch.empty((len(source) if keep else 0, form.channels, *form.size), dtype=form.dtype)
    except RuntimeError as error:
        raise DataError(f"{len(source):,} pictures of {form.height} x {form.width} do not fit into memory: stream them "
                        "with loading.memory=0, or take smaller ones with --size") from error
    places, bad = [source.place(i) for i in range(len(source))], list[Bad]()
    shaped = source.shaped(form)

    def one(i: int) -> str | None:
        try:
            sample = shaped[i]
        except BadPicture as error:
            return str(error)
        if keep:
            images[i].copy_(sample.image)
        places[i] = sample.place
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for i, reason in enumerate(pool.map(one, range(len(source)), chunksize=64)):
            if reason is not None:
                bad.append(Bad(places[i].file, reason))
            if i % 256 == 255:
                progress(i + 1)
    if not keep:
        return shaped, bad
    return InMemory(images, source.targets, source.classes, places=places, groups=source.groups), bad
