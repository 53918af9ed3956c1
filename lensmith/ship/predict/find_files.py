"""From what a user names to picture files: files, folders and patterns."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from lensmith.base.errors import DataError, UserError, nearest
from lensmith.base.left_behind import holds_results, is_left_behind
from lensmith.base.picture_suffixes import SUFFIXES, SUFFIXES_IN_WORDS, others_in_words


def named_sources(sources: object) -> list[str | Path | Image.Image]:
    """What a caller from Python names, one or several, as a list; raises UserError for anything else, as an array."""
    several: list[Any] = list(sources) if isinstance(sources, Iterable) and not isinstance(sources, str | bytes) else \
        [sources]
    for source in several:
        if not isinstance(source, str | Path | Image.Image):
            in_words = {"ndarray": "Image.fromarray(array)", "bytes": "Image.open(io.BytesIO(content))",
                        "Tensor": "torchvision.transforms.functional.to_pil_image(tensor)"}
            kind = type(source).__name__
            hint = f": a Pillow picture of it is {in_words[kind]}" if kind in in_words else ""
            raise UserError(f"predict takes files, folders, patterns and Pillow pictures, one or a list of them; got "
                            f"{kind}{hint}")
    return several


def find_pictures(sources: Iterable[str | Path], passed_over: list[Path] | None = None) -> list[Path]:
    """Files, folders (with all folders below) and glob patterns -> picture files, in order, each once.

    In folders, hidden names, files without a picture's suffix and folders of earlier results are passed over, as in
    training. Links are followed, to each folder once. `passed_over` gets the files without a picture's suffix. Raises
    DataError for a source that is not there, cannot be searched or holds no picture.
    """
    found: dict[str, Path] = {}
    for source in map(str, sources):
        if os.path.isdir(source):
            below = sorted(_below(source))
            paths = [path for path in below if path.suffix.lower() in SUFFIXES]
            if passed_over is not None:
                passed_over += [path for path in below if path.suffix.lower() not in SUFFIXES]
            if not paths:
                others = others_in_words(map(str, _below(source)))
                raise DataError(f"the folder {source} holds no picture; accepted are {SUFFIXES_IN_WORDS}" +
                                (f". It holds {others}" if others else ""))
        elif os.path.lexists(source):
            paths = [Path(source)]
        elif glob.has_magic(source):
            paths = sorted(path for path in _matches(source) if path.is_file())
            if not paths:
                raise DataError(f"no file matches {source!r}")
        else:
            folder, name = os.path.split(source)
            near = nearest(name, os.listdir(folder or ".")) if os.access(folder or ".", os.R_OK | os.X_OK) else ""
            raise DataError(f"there is no file or folder {source!r}.{near}")
        for path in paths:
            found.setdefault(os.path.abspath(path), path)
    if not found:
        raise DataError("nothing to predict: name files, folders or patterns such as 'photos/*.jpg'")
    return list(found.values())


def _folders(top: str) -> Iterator[tuple[str, list[str]]]:
    """`top` and the folders below it, each once whatever links there are, with the names of its files.

    What programs leave behind is passed over.
    """
    def refuse(error: OSError) -> None:
        raise DataError(f"folder {error.filename} cannot be read ({error.strerror}): change its permissions or name "
                        "other folders") from error

    seen = set()
    for here, folders, files in os.walk(top, followlinks=True, onerror=refuse):
        status = os.stat(here)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        # Links come last, so that a folder that can be reached in two ways is named by its own path.
        folders[:] = sorted((name for name in folders
                             if not is_left_behind(name) and not holds_results(os.path.join(here, name))),
                            key=lambda name: (os.path.islink(os.path.join(here, name)), name))
        yield here, [name for name in files if not is_left_behind(name)]


def _below(folder: str) -> Iterator[Path]:
    return (Path(here, name) for here, files in _folders(folder) for name in files)


def _matches(pattern: str) -> Iterator[Path]:
    """The paths that a pattern names; `**` is any folder below, each once.

    Python's own `**` would go round in a loop of links.
    """
    steps = Path(pattern).parts
    if "**" not in steps:
        yield from map(Path, glob.glob(pattern))
        return
    cut = steps.index("**")
    for top in glob.glob(str(Path(*steps[:cut]))):
        for here, _ in _folders(top):
            yield from _matches(os.path.join(glob.escape(here), *(steps[cut + 1 :] or "*")))
