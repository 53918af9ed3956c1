"""The run folder: where everything about one training lies, every file whole at any moment."""

import csv
import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import ModelError, UserError, nearest
from lensmith.engine.checkpoint import read_state, write_state

_NAME = re.compile(r"[\w][\w.+-]*")


class Run:
    """One folder. Its files are only ever replaced whole, and nothing in it can run code.

    Of several processes only one `writes`. For the others the methods that write do nothing.
    """

    def __init__(self, folder: Path, *, writes: bool = True):
        self.folder, self.writes = folder, writes

    @classmethod
    def create(cls, runs: Path, *, name: str | None, fallback: str) -> "Run":
        """An empty folder under `runs`: `name`, or `fallback` with the next free number.

        Raises UserError where the name is taken, is no plain name, or the folder may not be written. An empty folder
        does not take its name: it remains where a run was ended before it began to learn.
        """
        if name is not None and not _NAME.fullmatch(name):
            raise UserError("run.name must be a plain folder name of letters, digits, '.', '_', '+', '-'; got "
                            f"{name!r}")
        try:
            runs.mkdir(parents=True, exist_ok=True)
            if name is not None:
                folder = runs / name
                if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
                    raise UserError(f"{folder} exists: choose another run.name, or go on with "
                                    f"lensmith train --resume {folder}")
                folder.mkdir(exist_ok=True)
                return cls(folder)
            safe = re.sub(r"[^\w.+-]+", "-", fallback).strip("-.") or "run"
            number = 1
            while True:
                try:
                    (runs / f"{safe}-{number}").mkdir()
                    return cls(runs / f"{safe}-{number}")
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
        if (folder / "recipe.toml").is_file():
            return cls(folder)
        if folder.is_dir():
            raise ModelError(f"{folder} is not a run folder: it has no recipe.toml")
        siblings = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
        raise ModelError(f"there is no run folder {folder}.{nearest(folder.name, siblings)} "
                         "`lensmith list runs` shows those that are there.")

    def __str__(self) -> str:
        return str(self.folder)

    def write_json(self, name: str, content: Any) -> None:
        """A JSON file of the run. NaN and infinite numbers are written as null."""
        self.write(name, json.dumps(finite(content), indent=1, ensure_ascii=False) + "\n")

    def write(self, name: str, text: str) -> None:
        """A text file of the run."""
        if self.writes:
            write_text(self.folder / name, text)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run. Raises ModelError where it is absent or damaged."""
        path = self.folder / name
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return content
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read ({error}): the run folder is incomplete, train again") from error

    def save_last(self, learner: dict[str, Any], history: Sequence[dict[str, float]], seconds: float) -> None:
        """All that resuming to the same bits needs, as `last.safetensors`, and a readable summary beside it."""
        if self.writes:
            write_state(self.folder / "last.safetensors",
                        {"learner": learner, "history": list(history), "seconds": seconds})
        self.write_json("last.json", {"epoch": learner.get("epoch"), "position": learner.get("position"),
                                      "seconds": round(seconds, 3), "epochs_in_history": len(history)})
        self.write_history(history)

    def read_last(self) -> dict[str, Any]:
        """What `save_last` wrote."""
        return self._state("last.safetensors", ("learner", "history", "seconds"))

    def save_best(self, weights: dict[str, Any], row: dict[str, float], score: float) -> None:
        """The weights that every later command uses, as `best.safetensors`."""
        if self.writes:
            write_state(self.folder / "best.safetensors", {"network": weights, "row": row, "score": score})
        self.write_json("best.json", {"epoch": row["epoch"], "score": score, "row": row})

    def read_best(self) -> dict[str, Any]:
        """What `save_best` wrote."""
        return self._state("best.safetensors", ("network", "row", "score"))

    def _state(self, name: str, keys: Sequence[str]) -> dict[str, Any]:
        state = read_state(self.folder / name)
        missing = [key for key in keys if key not in state]
        if missing:
            raise ModelError(f"{self.folder / name} is not a whole checkpoint: it lacks {', '.join(missing)}")
        return state

    def write_history(self, history: Sequence[dict[str, float]]) -> None:
        """`history.csv`: one line an epoch, with the columns that any epoch has."""
        columns = list(dict.fromkeys(name for row in history for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        table.writerows([{name: _formatted(value) for name, value in row.items()} for row in history])
        self.write("history.csv", text.getvalue())


def finite(node: Any) -> Any:
    """Plain data as JSON can hold it: NaN and infinite numbers become None."""
    if isinstance(node, dict):
        return {key: finite(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _formatted(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
