"""From films and cameras to predictions, frame by frame: as values, as lines of JSON, and drawn into a film."""

import json
import math
import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.errors import DataError, UserError
from lensmith.base.opencv import load_opencv
from lensmith.base.output_folder import output_folder
from lensmith.base.pictures import Form, bring
from lensmith.engine.evaluate import for_inference
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.find_files import find_pictures
from lensmith.ship.predict.overlay import drawn_over, undrawn
from lensmith.ship.predict.predict_files import predict_pictures
from lensmith.ship.predict.prediction import Prediction
from lensmith.tasks.task import Task
from lensmith.values.drawing import draw_words

FILMS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv")
LINES = "frames.jsonl"    # in the folder `out`: one line of JSON a frame
_CAMERA = "camera:"
_AT_ONCE = 16             # frames of a film that are predicted together
_HELD = 64_000_000        # bytes of frames that are held at a time
_RATES = (0.1, 1000.0)    # frames a second that are believed of a film
_USUAL = 25.0             # frames a second where a film or camera says none
_ENOUGH = 0.9             # fraction of the declared frames that a whole film has: in some formats the number is a guess
_ELSEWHERE = "choose another folder with watch.out"

Look = Callable[[Sequence[Image.Image]], list[Prediction]]


@dataclass(frozen=True)
class Frame:
    """One predicted frame; where a film cannot be read (further), one with `said.error` and no picture."""

    number: int                             # from 0, in its film
    seconds: float                          # since its film's beginning; of a camera, since its first frame
    said: Prediction
    picture: Image.Image | None = None      # upright, RGB, of the film's own size
    begins: bool = False                    # whether it is the first predicted frame in its second of the film

    def as_json(self, top: int = 5) -> dict[str, Any]:
        """The prediction as plain data, with the frame's number and seconds."""
        prediction = self.said.as_json(top)
        return {"file": prediction.pop("file"), "frame": self.number, "seconds": round(self.seconds, 3), **prediction}

    def text(self, k: int = 3) -> str:
        """One line in words: `street.mp4 1:07: dog 93.1 %`."""
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{self.said.file} {minutes}:{seconds:02d}: {self.said.text(k)}"


def pictures_and_films(sources: Iterable[str | Path],
                       passed_over: list[Path] | None = None) -> tuple[list[Path], list[str]]:
    """Files, folders, patterns and cameras -> picture files; films, and after them cameras, as `camera:0`.

    A film is known by its suffix; films in folders are passed over. `passed_over` is as of `find_pictures`. Raises
    DataError as it does.
    """
    names = list(map(str, sources))
    cameras = [name for name in names if name.startswith(_CAMERA)]
    for name in cameras:
        if not re.fullmatch(r"\d{1,3}", name.removeprefix(_CAMERA)):
            raise DataError(f"{name!r} is no camera: accepted are {_CAMERA}0, {_CAMERA}1, ...")
    files = [name for name in names if not name.startswith(_CAMERA)]
    paths = find_pictures(files, passed_over) if files or not cameras else []
    films = [str(path) for path in paths if path.suffix.lower() in FILMS]
    return [path for path in paths if path.suffix.lower() not in FILMS], films + cameras


def frame_predictor(network: nn.Module, task: Task, *, form: Form, plan: Plan, names: dict[str, tuple[str, ...]],
                    only: Mapping[str, Tensor] | None = None) -> Look:
    """A function that gives the predictions of a few frames; the network is made ready once."""
    def look(pictures: Sequence[Image.Image]) -> list[Prediction]:
        nonlocal network, plan
        if "fold_batch_norm" in plan.rewrites:
            images = torch.stack([bring(picture, form)[0] for picture in pictures[:2]])
            network, plan = for_inference(network, plan, images.to(plan.device))
        return list(predict_pictures(network, task, pictures, form=form, plan=plan, names=names, only=only))

    return look


def watch(films: Sequence[str], look: Look, *, out: Path | None = None, every: int = 1,
          top: int = 3) -> Iterator[Frame]:
    """Every `every`-th frame with its prediction, film after film. A few frames are held at a time.

    With `out`, that folder has at the end `frames.jsonl`, a line for each predicted frame, and for each film a film of
    the same size and rate. Predictions are drawn on it until the next predicted frame; as its edges are even, it may
    lack the last column or row. These files are whole however the watching ends. A film that is damaged or empty gives
    a Frame that says so. A camera goes on until Ctrl-C, which ends the watching; its film keeps the time. Raises
    UserError where the folder cannot be written or is the user's own, DataError where OpenCV is not installed.
    """
    if every < 1:
        raise UserError(f"watch.every={every} is not possible: accepted are 1 (each frame), 2, 3, ...")
    opencv = load_opencv()
    folder = nullcontext() if out is None else output_folder(out, advice=_ELSEWHERE)
    with folder as aside, _opened_lines(aside) as lines:
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
    """The predicted frames of one film, each after it was written into the film at `path`."""
    film, written, second = _opened(opencv, name), None, -1
    try:
        for shots in film.shots(every, passed_over=path is not None):
            chosen = [shot for shot in shots if shot.number % every == 0]
            predictions = iter(look([shot.picture for shot in chosen]) if chosen else ())
            for shot in shots:
                if shot.number % every == 0:
                    said = _of_film(next(predictions), name)
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
    """The frame with its prediction."""
    drawn, text = drawn_over(picture, said), undrawn(said, top)
    return draw_words(drawn, text) if text else drawn


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
        """A few frames at a time: each `every`-th, or all where the caller needs those between, `passed_over`, too."""
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
                decoded, pixels = self.capture.retrieve()
                if not decoded:
                    break
                seconds = now - began if self.live else self.capture.get(self.opencv.CAP_PROP_POS_MSEC) / 1000
                picture = Image.fromarray(self.opencv.cvtColor(pixels, self.opencv.COLOR_BGR2RGB))
                yield _Shot(self.read, seconds, picture)
            self.read += 1
        declared = self.capture.get(self.opencv.CAP_PROP_FRAME_COUNT)
        if not self.problem and not self.read:
            self.problem = "gives no picture" if self.live else "holds no frame that can be decoded"
        elif not self.live and self.read < _ENOUGH * declared:
            self.problem = f"is damaged: it ends after {self.read:,} of the {declared:,.0f} frames that it declares"


def _opened(opencv: Any, name: str) -> _Film:
    """The film or camera of that name; one that cannot be opened has a problem and no frames."""
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
    """Why a file cannot be a film, as far as that is seen without opening it; else an empty text."""
    if not path.exists():
        return "does not exist"
    if not path.is_file():    # a pipe would be waited for without end
        return "is not a file"
    if not os.access(path, os.R_OK):
        return "may not be read (permission denied)"
    return "" if path.stat().st_size else "is empty (0 bytes)"


@dataclass
class _Written:
    """A film that is being written, with the size and rate of another.

    A frame of a camera is written as many times as it lasted at that rate.
    """

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
        """End the file; raises UserError where frames are missing in it, which OpenCV does not tell."""
        self.writer.release()
        opencv = self.film.opencv
        reopened = opencv.VideoCapture(str(self.path), opencv.CAP_FFMPEG)
        frames = reopened.get(opencv.CAP_PROP_FRAME_COUNT)
        reopened.release()
        if frames != self.count:
            self.path.unlink(missing_ok=True)
            raise UserError(f"the film {self.path.name} could not be written whole; is the disk full? Free some space, "
                            f"or {_ELSEWHERE}")


def _begun(film: _Film, path: Path, size: tuple[int, int]) -> _Written:
    """A new film at `path`, like `film`, of (width, height) `size`; raises UserError where OpenCV cannot write it."""
    opencv = film.opencv
    writer = opencv.VideoWriter(str(path), opencv.CAP_FFMPEG, opencv.VideoWriter_fourcc(*"mp4v"), film.rate, size)
    if not writer.isOpened():
        raise UserError(f"the film {path.name} of {size[0]} x {size[1]} pixels at {film.rate:g} frames a second cannot "
                        "be written by OpenCV: do without watch.out, or bring it to another size")
    return _Written(film, path, size, writer)


def _opened_lines(folder: Path | None) -> AbstractContextManager[Any]:
    return nullcontext() if folder is None else open(folder / LINES, "w", encoding="utf-8", errors="replace")
