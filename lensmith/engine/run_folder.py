"""The run folder: where everything about one training lies, every file whole at any moment."""

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from lensmith.base.atomic_files import is_leftover, remove_leftovers, write_text
from lensmith.base.errors import ModelError, UserError, nearest
from lensmith.base.folder_lock import LOCK, FolderLock, HeldElsewhere, lock_folder
from lensmith.base.output_folder import folder_name
from lensmith.base.read_file import Unreadable, bounded_text, json_of
from lensmith.engine.checkpoint import read_state, summary_of, write_state
from lensmith.engine.run_schemas import problem_with

_NAME = re.compile(r"[\w][\w.+-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
NETWORK_FILE = "network.cfg"   # the file in a run folder that the network is built from
FIRST_WEIGHTS_FILE = "first.safetensors"    # the weights in a run folder that a pruned network begins with
ANSWERS_FILE = "answers.safetensors"    # of each held-out picture what was answered
COMPRESS_FILE = "compress.json"    # what a compression cost and gained
LEAVE_OUT_FILE = "leave_out.csv"    # the list in a run folder of the pictures that its data are used without
# What a run writes while it begins, before there is anything to go on with, and afterwards.
BEGINNING = ("recipe.toml", "plan.json", "environment.json", "data.json")
WRITTEN = (*BEGINNING, NETWORK_FILE, LEAVE_OUT_FILE, FIRST_WEIGHTS_FILE, COMPRESS_FILE, "weights.json",
           "teacher.json", "run.json", "history.csv", "vitals.json", ANSWERS_FILE, "cost.json", "metrics.json",
           "last.safetensors", "last.json", "best.safetensors", "best.json", "report.html")
BEST_FILE = "best.safetensors"
_PICTURES = "pictures"
EXPLAINED = "explained"    # the folder in a run folder with what was looked at in the worst errors
EXPLANATIONS = f"{EXPLAINED}/explanations.json"


class Run:
    """One folder. Its files are only ever replaced whole, and nothing in it can run code.

    Of several processes only one `writes`. For the others the methods that write do nothing.
    """

    def __init__(self, folder: Path, *, writes: bool = True):
        self.folder, self.writes = folder, writes
        self.about: dict[str, Any] = {}    # what best.safetensors is to say of itself, so that it can be used alone
        self._lock: FolderLock | None = None

    @classmethod
    def create(cls, runs: Path, *, name: str | None, fallback: str) -> "Run":
        """An empty folder under `runs`, locked: `name`, or `fallback` with the next free number.

        Raises UserError where the name is taken, is no plain name, or the folder may not be written. An empty folder
        does not take its name: it remains where a run was killed before it began.
        """
        if name is not None:
            check_free(runs, name)
        _refuse_no_utf8(runs)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            if name is not None:
                folder = runs / name
                run = cls(folder)
                folder.mkdir(exist_ok=True)
                run.lock(advice="choose another run.name")
                run.remove_leftovers()
                return run
            safe = folder_name(fallback, "run")
            number = 1
            while True:
                try:
                    (runs / f"{safe}-{number}").mkdir()
                    run = cls(runs / f"{safe}-{number}")
                    run.lock(advice="choose a run.name")
                    return run
                except FileExistsError:
                    number += 1
        except PermissionError as error:
            raise UserError(f"no permission to write into {runs}: choose another folder with train.runs") from error
        except (NotADirectoryError, FileExistsError) as error:
            raise UserError(f"{runs} is not a folder: choose another one with train.runs") from error
        except OSError as error:
            raise UserError(f"no run folder can be made in {runs} ({error.strerror}): choose another run.name or "
                            "train.runs") from error

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """An existing run folder. Raises ModelError where there is none, with the nearest name."""
        folder = Path(folder)
        _refuse_no_utf8(folder)
        if (folder / "recipe.toml").is_file():
            return cls(folder)
        if folder.is_dir():
            empty = " and is empty, as where a run was killed before it began: give the command again that began it"
            raise ModelError(f"{folder} is not a run folder: it has no recipe.toml"
                             f"{empty if cls(folder).was_never_begun else ''}")
        siblings = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ModelError(f"there is no run folder {folder}.{nearest(folder.name, siblings)} "
                         "`lensmith list runs` shows those that are there.")

    @property
    def has_begun(self) -> bool:
        """Whether all is there that is written before the first step."""
        return all((self.folder / name).is_file() for name in BEGINNING)

    @property
    def was_never_begun(self) -> bool:
        """Whether the folder is empty but for what a run was writing that was killed before it had its recipe."""
        return self.folder.is_dir() and all(is_leftover(path.name, WRITTEN) or path.name == LOCK
                                            for path in self.folder.iterdir())

    def lock(self, *, advice: str) -> None:
        """Keep other processes from training into the folder until `unlock`, or until this process has ended. Raises
        UserError with the `advice` where another one does. Where files cannot be locked, nothing is kept from it."""
        try:
            self._lock = lock_folder(self.folder)
        except HeldElsewhere as error:
            raise UserError(f"{self} is being trained by {error.holder}: {advice}") from error

    def unlock(self) -> None:
        """Let other processes train into the folder."""
        if self._lock is not None:
            self._lock.release()

    def abandon(self) -> None:
        """Remove the folder of a run that could not be begun, as far as it is empty."""
        self.unlock()
        if self.writes:
            with suppress(OSError):    # another command may have begun a run of this name
                self.folder.rmdir()

    def __str__(self) -> str:
        return str(self.folder)

    def write_json(self, name: str, content: Any) -> None:
        """A JSON file of the run. NaN and infinite numbers are written as null."""
        text = json.dumps(finite(content), indent=1, ensure_ascii=False) + "\n"
        # A file name that is no UTF-8 has lone surrogates, which JSON can write as escapes and UTF-8 cannot.
        self.write(name, _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))

    def write(self, name: str, text: str) -> None:
        """A text file of the run."""
        if self.writes:
            write_text(self.folder / name, text)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run, as `run_schemas` has it. Raises ModelError where it is absent or damaged."""
        path = self.folder / name
        try:
            content: dict[str, Any] = json_of(path)
        except Unreadable as error:
            if error.missing:
                raise ModelError(f"{error}: the run folder is incomplete, train again") from error
            raise ModelError(f"{path} is damaged ({error.reason}): put it back, or train again") from error
        problem = problem_with(name, content)
        if problem:
            raise ModelError(f"{path} is damaged ({problem}): put it back, or train again")
        return content

    def facts(self, name: str) -> dict[str, Any]:
        """As `read_json`; nothing where there is no such file."""
        return self.read_json(name) if os.path.lexists(self.folder / name) else {}

    def read_history(self) -> list[dict[str, float]]:
        """The rows of history.csv, without cells that are empty, cut off or no finite number; none where there is no
        such file. Raises ModelError where it is damaged."""
        path = self.folder / "history.csv"
        try:
            lines = [line for line in bounded_text(path).splitlines() if line]    # one that is empty before any epoch
            table = csv.DictReader(lines)
            if lines and "epoch" not in (table.fieldnames or ()):
                raise ModelError(f"{path} is damaged (its first line names no column 'epoch'): put it back, or delete "
                                 "it")
            rows = [{name: number for name, text in line.items() if (number := _number(text)) is not None}
                    for line in table]
        except Unreadable as error:
            if error.missing:
                return []
            raise ModelError(f"{path} is damaged ({error.reason}): put it back, or delete it") from error
        except csv.Error as error:
            raise ModelError(f"{path} is damaged ({error}): put it back, or delete it") from error
        return [row for row in rows if row.get("epoch", -1.0) >= 0]

    def picture_folder(self) -> Path:
        """The folder of the run's pictures, made where it is not there. Raises UserError where it leads elsewhere."""
        folder = self._own(_PICTURES, f"then go on with lensmith train --resume {self}")
        folder.mkdir(exist_ok=True)
        return folder

    def explained_folder(self) -> Path:
        """The folder for what was looked at in the worst errors. Raises UserError where it leads elsewhere."""
        return self._own(EXPLAINED, "or name another folder with --out")

    def _own(self, name: str, advice: str) -> Path:
        folder = self.folder / name
        if folder.is_symlink() or (folder.exists() and folder.resolve() != self.folder.resolve() / name):
            raise UserError(f"{folder} is a link to {folder.resolve()}, and a run writes into its own folder alone: "
                            f"remove the link, {advice}")
        return folder

    def remove_leftovers(self) -> None:
        """Remove what a killed process was writing."""
        if self.writes:
            remove_leftovers(self.folder, WRITTEN)
            if (folder := self.folder / _PICTURES).is_dir() and not folder.is_symlink():
                # Its picture may not be there yet; whatever is called as the temporary file of one is ours.
                remove_leftovers(folder, {path.name[1:].rpartition(".")[0] for path in folder.glob(".*.png.*")})

    def save_last(self, learner: dict[str, Any], history: Sequence[dict[str, float]], seconds: float) -> None:
        """All that resuming to the same bits needs, as `last.safetensors`, and a readable summary beside it."""
        if self.writes:
            write_state(self.folder / "last.safetensors",
                        {"learner": learner, "history": list(history), "seconds": seconds})
        self._write_last(learner, history, seconds)
        self.write_history(history)

    def read_last(self) -> dict[str, Any]:
        """What `save_last` wrote. Raises ModelError where it is damaged."""
        return self._state("last.safetensors", read_state)

    def save_best(self, weights: dict[str, Any], row: dict[str, float], score: float) -> None:
        """The weights that every later command uses, as `best.safetensors`."""
        if self.writes:
            about = {"model": self.about} if self.about else {}
            write_state(self.folder / BEST_FILE, {"network": weights, "row": row, "score": score, **about})
        self._write_best(row, score)

    def add_scores(self, metrics: Mapping[str, Any]) -> None:
        """Put what the best weights score, by split, into their file too, which is rewritten as a whole."""
        if self.writes and self.about:
            scores = {split: {name: value for name, value in measured.items() if name not in ("details", "worst")}
                      for split, measured in metrics.items()}
            write_state(self.folder / BEST_FILE, self.read_best() | {"model": self.about, "scores": finite(scores)})

    def read_best(self) -> dict[str, Any]:
        """What `save_best` wrote. Raises ModelError where it is damaged."""
        return read_best_file(self.folder / BEST_FILE)

    def write_state(self, name: str, state: dict[str, Any]) -> None:
        """Tensors and plain data as one safetensors file of the run."""
        if self.writes:
            write_state(self.folder / name, state)

    def read_state(self, name: str) -> dict[str, Any]:
        """What `write_state` wrote, as `run_schemas` has it. Raises ModelError where it is absent or damaged."""
        return self._state(name, read_state)

    def _state(self, name: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        return _checked(self.folder / name, name, read)

    def write_summaries(self, history: Sequence[dict[str, float]]) -> None:
        """history.csv, last.json and best.json as the checkpoints have it: a process may have been killed between the
        one and the other."""
        last = self._state("last.safetensors", summary_of)
        self._write_last(last["learner"], history, last["seconds"])
        if (self.folder / "best.safetensors").is_file():
            best = self._state("best.safetensors", summary_of)
            self._write_best(best["row"], best["score"])
        self.write_history(history)

    def _write_last(self, learner: dict[str, Any], history: Sequence[dict[str, float]], seconds: float) -> None:
        self.write_json("last.json", {"epoch": learner.get("epoch"), "position": learner.get("position"),
                                      "seconds": round(seconds, 3), "epochs_in_history": len(history)})

    def _write_best(self, row: dict[str, float], score: float) -> None:
        self.write_json("best.json", {"epoch": row["epoch"], "score": score, "row": row})

    def write_history(self, history: Sequence[dict[str, float]]) -> None:
        """`history.csv`: one line an epoch, with the columns that any epoch has."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows([{name: _formatted(value) for name, value in row.items()} for row in history])
        self.write("history.csv", text.getvalue())


def read_best_file(path: Path) -> dict[str, Any]:
    """What a file of best weights holds, as `save_best` and `add_scores` write it, wherever it lies. Raises ModelError
    where it is damaged."""
    state = _checked(path, BEST_FILE, read_state)
    odd = next((name for name, value in state["network"].items() if not isinstance(value, Tensor)), None)
    if odd is not None:
        raise ModelError(f"{path} is not a whole checkpoint (network.{odd} is no tensor): put it back, or train again")
    return state


def about_best_file(path: Path) -> dict[str, Any]:
    """What a file of best weights says of itself: `model`, and `scores` where the run has ended; no tensor is read.

    Raises ModelError where it is damaged, or was written before such a file said this.
    """
    state = _checked(path, BEST_FILE, summary_of)
    if "model" not in state:
        raise ModelError(f"{path} was written before a file of weights said what it is of, and needs its run folder: "
                         f"name the folder, as {path.parent}")
    return {"model": state["model"], "scores": state.get("scores", {})}


def _checked(path: Path, name: str, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    state = read(path)
    problem = problem_with(name, state)
    if problem:
        raise ModelError(f"{path} is not a whole checkpoint ({problem}): put it back, or train again")
    return state


def check_free(runs: Path, name: str) -> None:
    """Raises UserError where no run of this name can be begun in `runs`: it is no plain name, or it is taken."""
    if not _NAME.fullmatch(name):
        raise UserError(f"run.name must be a plain folder name of letters, digits, '.', '_', '+', '-'; got {name!r}")
    folder = runs / name
    if folder.exists() and not Run(folder).was_never_begun:
        other = f"go on with lensmith train --resume {folder}" if (folder / "recipe.toml").is_file() \
            else "remove it, since it is no run folder"
        raise UserError(f"{folder} exists: choose another run.name, or {other}")


def _refuse_no_utf8(folder: Path) -> None:
    """Raises UserError for a folder whose name is not UTF-8: safetensors can write no file there."""
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{folder} has a name that is not UTF-8, where no weights can be kept: choose another folder "
                        "with train.runs") from error


def finite(node: Any) -> Any:
    """Plain data as JSON can hold it: NaN and infinite numbers become None."""
    if isinstance(node, dict):
        return {key: finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _number(text: Any) -> float | None:
    """The number of a cell; None where it is none, or is beyond what can be drawn."""
    try:
        number = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= 1e100 else None


def _formatted(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
