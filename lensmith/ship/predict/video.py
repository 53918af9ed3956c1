"""From films and cameras to predictions, frame by frame: as values, as lines of JSON, and drawn into a film."""

import json
import math
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import DataError, UserError
from lensmith.base.pictures import Form, bring
from lensmith.engine.evaluate import for_inference
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.find_files import find_pictures
from lensmith.ship.predict.overlay import drawn_over, undrawn
from lensmith.ship.predict.predict_files import predict
from lensmith.ship.predict.prediction import Prediction
from lensmith.tasks.task import Task
from lensmith.values.drawing import draw_words

FILMS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv")
LINES = "frames.jsonl"    # in the folder `out`: one line of JSON a frame
_CAMERA = "camera:"
_AT_ONCE = 16             # frames of a film that are looked at together
_HELD = 64_000_000        # bytes of frames that are held at a time
_RATES = (0.1, 1000.0)    # frames a second that a film may say; what is beyond is no rate
_USUAL = 25.0             # frames a second where a film or camera says none
_ENOUGH = 0.9             # of the frames that a film declares, which is a guess in some formats
_ELSEWHERE = "choose another folder with watch.out"

Look = Callable[[Sequence[Image.Image]], list[Prediction]]


@dataclass(frozen=True)
class Frame:
    """One frame that was looked at; where a film cannot be read (further) one with `said.error` and no picture."""

    number: int                             # from 0, in its film
    seconds: float                          # since its film's beginning; of a camera, since its first frame
    said: Prediction
    picture: Image.Image | None = None      # upright, RGB, of the film's own size
    begins: bool = False                    # whether it is the first that was looked at in its second of the film

    def as_json(self, top: int = 5) -> dict[str, Any]:
        """What was said of it as plain data, with the frame's number and seconds."""
        said = self.said.as_json(top)
        return {"file": said.pop("file"), "frame": self.number, "seconds": round(self.seconds, 3), **said}

    def text(self, k: int = 3) -> str:
        """One line in words: `street.mp4 1:07: dog 93.1 %`."""
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{self.said.file} {minutes}:{seconds:02d}: {self.said.text(k)}"


def divided(sources: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """Files, folders, patterns and cameras -> picture files; films, and after them cameras, as `camera:0`.

    A film is known by its suffix; those in folders are passed over. Raises DataError as `find_pictures` does.
    """
    named = list(map(str, sources))
    cameras = [one for one in named if one.startswith(_CAMERA)]
    for one in cameras:
        if not re.fullmatch(r"\d{1,3}", one.removeprefix(_CAMERA)):
            raise DataError(f"{one!r} is no camera: accepted are {_CAMERA}0, {_CAMERA}1, ...")
    files = [one for one in named if not one.startswith(_CAMERA)]
    found = find_pictures(files) if files or not cameras else []
    films = [str(one) for one in found if one.suffix.lower() in FILMS]
    return [one for one in found if one.suffix.lower() not in FILMS], films + cameras


def looking(network: nn.Module, task: Task, *, form: Form, plan: Plan, names: dict[str, tuple[str, ...]],
            only: Mapping[str, Tensor] | None = None) -> Look:
    """A function that gives the predictions of a few frames; the network is made ready once."""
    def look(pictures: Sequence[Image.Image]) -> list[Prediction]:
        nonlocal network, plan
        if "fold_batch_norm" in plan.rewrites:
            images = torch.stack([bring(picture, form)[0] for picture in pictures[:2]])
            network, plan = for_inference(network, plan, images.to(plan.device))
        return list(predict(network, task, pictures, form=form, plan=plan, names=names, only=only))

    return look


def watch(films: Sequence[str], look: Look, *, out: Path | None = None, every: int = 1,
          top: int = 3) -> Iterator[Frame]:
    """Every frame that is looked at, film after film: each `every`-th. What is held at a time is a few frames.

    With `out` there is then in that folder `frames.jsonl`, a line for each, and for each film one of the same size and
    rate (its last column or row may go: edges are even) with what was found drawn on it, until the next frame is looked
    at; whole however the watching ends. A film that is damaged or empty gives a Frame that says so. A camera goes on
    until Ctrl-C, which ends the watching; its film keeps the time. Raises UserError where the folder cannot be
    written, DataError where OpenCV is not installed.
    """
    if every < 1:
        raise UserError(f"watch.every={every} is not possible: accepted are 1 (each frame), 2, 3, ...")
    opencv = _opencv()
    with _put_in_place(out) as aside, _opened_lines(aside) as lines:
        for number, name in enumerate(films):
            stem = re.sub(r"[\W_]+", "-", name) if name.startswith(_CAMERA) else Path(name).stem[:50]
            path = None if aside is None else aside / f"{number:05d}-{stem}.mp4"
            try:
                with closing(_of_one(opencv, name, look, path, every=every, top=top)) as frames:
                    for frame in frames:
                        if lines is not None:
                            lines.write(json.dumps(frame.as_json(top)) + "\n")
                        yield frame
            except KeyboardInterrupt:
                if not name.startswith(_CAMERA):
                    raise
                return    # a camera has no other end


def _of_one(opencv: Any, name: str, look: Look, path: Path | None, *, every: int,
            top: int) -> Generator[Frame, None, None]:
    """The frames of one film that are looked at, each after it was written into the film at `path`."""
    film, written, second = _opened(opencv, name), None, -1
    try:
        for shots in film.shots(every, passed_over=path is not None):
            looked = [shot for shot in shots if shot.number % every == 0]
            found = iter(look([shot.picture for shot in looked]) if looked else ())
            for shot in shots:
                if shot.number % every == 0:
                    said = _of_film(next(found), name)
                if path is not None:
                    written = written or _begun(film, path, shot.picture.size)
                    written.add(_drawn(shot.picture, said, top), shot.seconds)
                if shot.number % every == 0:
                    yield Frame(shot.number, shot.seconds, said, shot.picture, begins=int(shot.seconds) > second)
                    second = int(shot.seconds)
    finally:
        film.capture.release()
        if written is not None:
            written.close()
    if film.problem:
        yield Frame(film.read, 0.0, Prediction(name, error=film.problem, from_memory=True))


def _of_film(said: Prediction, name: str) -> Prediction:
    return Prediction(name, said.values, said.names, said.error, from_memory=True, size=said.size)


def _drawn(picture: Image.Image, said: Prediction, top: int) -> Image.Image:
    """The frame with what was said of it."""
    sheet, text = drawn_over(picture, said), undrawn(said, top)
    return draw_words(sheet, text) if text else sheet


@dataclass(frozen=True)
class _Shot:
    """A frame as the film gives it."""

    number: int
    seconds: float
    picture: Image.Image


@dataclass
class _Film:
    """A film or camera that is read from its beginning."""

    opencv: Any
    capture: Any
    live: bool           # a camera
    rate: float          # frames a second
    problem: str         # why there is nothing (more) to read, where it should be
    read: int = 0        # frames so far

    def shots(self, every: int, *, passed_over: bool) -> Iterator[list[_Shot]]:
        """A few frames at a time: each `every`-th, or all where those that are passed over are wanted too."""
        held: list[_Shot] = []
        for shot in self._each(1 if passed_over else every):
            held.append(shot)
            size = shot.picture.width * shot.picture.height * 3
            if self.live or len(held) >= min(_AT_ONCE, max(1, _HELD // size)):
                yield held
                held = []
        if held:
            yield held

    def _each(self, every: int) -> Iterator[_Shot]:
        began = None
        while self.capture.isOpened() and self.capture.grab():
            now = time.monotonic()
            began = now if began is None else began
            if self.read % every == 0:
                whole, pixels = self.capture.retrieve()
                if not whole:
                    break
                passed = now - began if self.live else self.capture.get(self.opencv.CAP_PROP_POS_MSEC) / 1000
                picture = Image.fromarray(self.opencv.cvtColor(pixels, self.opencv.COLOR_BGR2RGB))
                yield _Shot(self.read, passed, picture)
            self.read += 1
        declared = self.capture.get(self.opencv.CAP_PROP_FRAME_COUNT)
        if not self.problem and not self.read:
            self.problem = "gives no picture" if self.live else "holds no frame that can be decoded"
        elif not self.live and self.read < _ENOUGH * declared:
            self.problem = f"is damaged: it ends after {self.read:,} of the {declared:,.0f} frames that it declares"


def _opened(opencv: Any, name: str) -> _Film:
    """The film or camera of that name; where it cannot be opened one with a problem and no frames."""
    live = name.startswith(_CAMERA)
    if live:
        capture = opencv.VideoCapture(int(name.removeprefix(_CAMERA)))
        problem = "cannot be opened: is it there, and does no other program use it?"
    else:
        path = Path(name).absolute()    # a relative name could be taken for an address
        unreadable = _unreadable(path)
        # FFmpeg alone: OpenCV's other readers take a % in the name for a series of pictures.
        capture = opencv.VideoCapture() if unreadable else opencv.VideoCapture(str(path), opencv.CAP_FFMPEG)
        problem = unreadable or "cannot be opened: it is damaged, or no film that OpenCV reads"
    rate = capture.get(opencv.CAP_PROP_FPS)
    return _Film(opencv, capture, live, rate if math.isfinite(rate) and _RATES[0] <= rate <= _RATES[1] else _USUAL,
                 "" if capture.isOpened() else problem)


def _unreadable(path: Path) -> str:
    """Why a file cannot be a film, where that is seen without opening it."""
    if not path.exists():
        return "does not exist"
    if not path.is_file():    # a pipe would be waited for without end
        return "is not a file"
    if not os.access(path, os.R_OK):
        return "may not be read (permission denied)"
    return "" if path.stat().st_size else "is empty (0 bytes)"


@dataclass
class _Written:
    """A film that is being written, with the size and rate of another; of a camera, a frame as often as its time
    wants."""

    film: _Film
    path: Path
    size: tuple[int, int]    # width, height
    writer: Any
    count: int = 0           # frames so far

    def add(self, picture: Image.Image, seconds: float) -> None:
        picture = picture if picture.size == self.size else picture.resize(self.size)
        pixels = self.film.opencv.cvtColor(np.asarray(picture), self.film.opencv.COLOR_RGB2BGR)
        wanted = round(seconds * self.film.rate) + 1 if self.film.live else self.count + 1
        while self.count < wanted:
            self.writer.write(pixels)
            self.count += 1

    def close(self) -> None:
        """End the file; raises UserError where it does not hold what was written, which OpenCV does not tell."""
        self.writer.release()
        opencv = self.film.opencv
        again = opencv.VideoCapture(str(self.path), opencv.CAP_FFMPEG)
        held = again.get(opencv.CAP_PROP_FRAME_COUNT)
        again.release()
        if held != self.count:
            self.path.unlink(missing_ok=True)
            raise UserError(f"the film {self.path.name} could not be written whole; is the disk full? Free some space, "
                            f"or {_ELSEWHERE}")


def _begun(film: _Film, path: Path, size: tuple[int, int]) -> _Written:
    """A film at `path` as `film` is, of (width, height) `size`; raises UserError where OpenCV cannot write it."""
    opencv = film.opencv
    writer = opencv.VideoWriter(str(path), opencv.CAP_FFMPEG, opencv.VideoWriter_fourcc(*"mp4v"), film.rate, size)
    if not writer.isOpened():
        raise UserError(f"the film {path.name} of {size[0]} x {size[1]} pixels at {film.rate:g} frames a second cannot "
                        "be written by OpenCV: do without watch.out, or bring it to another size")
    return _Written(film, path, size, writer)


@contextmanager
def _put_in_place(folder: Path | None) -> Iterator[Path | None]:
    """A folder within `folder`, whose files come into that one when the work on them has ended, however it did."""
    if folder is None:
        yield None
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".frames-", dir=folder) as aside:
            try:
                yield Path(aside)
            finally:
                for file in sorted(Path(aside).iterdir()):
                    write_atomic(folder / file.name, partial(os.replace, file), advice=_ELSEWHERE)
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror or error}): {_ELSEWHERE}") from error


def _opened_lines(folder: Path | None) -> AbstractContextManager[Any]:
    return nullcontext() if folder is None else open(folder / LINES, "w", encoding="utf-8", errors="replace")


def _opencv() -> Any:
    # What it cannot read we say ourselves, in one line; its readers would add theirs.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        import cv2
    except ImportError as error:
        raise DataError('films and cameras are read by OpenCV, which is not here: pip install "lensmith[video]"'
                        ) from error
    return cv2
