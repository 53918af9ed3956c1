"""Which run folders a command names: folders, and patterns of them."""

import glob
from collections.abc import Sequence
from pathlib import Path

from lensmith.base.errors import UserError, count, nearest
from lensmith.engine.run_folder import Run


def run_folders(names: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """The folders that are named, each once, in order, and notes on what a pattern leaves out.

    A pattern as 'runs/cifar-*' stands for the runs that it matches and that were measured. Raises UserError for a
    pattern without any.
    """
    folders: list[Path] = []
    notes: list[str] = []
    for name in map(str, names):
        if not glob.has_magic(name) or Path(name).exists():
            folders.append(Path(name))
            continue
        matched = [Path(path) for path in sorted(glob.glob(name)) if (Path(path) / "recipe.toml").is_file()]
        measured = [folder for folder in matched if Run.open(folder).facts("metrics.json")]
        unmeasured = [folder for folder in matched if folder not in measured]
        if not measured:
            raise UserError(f"no measured run matches {name!r}{_why_none(name, matched)}")
        if unmeasured:
            notes.append(f"{count(len(unmeasured), 'run')} that {name!r} matches "
                         f"{'was' if len(unmeasured) == 1 else 'were'} left out, not being trained to an end: "
                         f"{', '.join(map(str, unmeasured[:5]))}{', ...' if len(unmeasured) > 5 else ''}")
        folders += [folder for folder in measured if folder not in folders]
    return folders, notes


def _why_none(name: str, matched: Sequence[Path]) -> str:
    if matched:
        return f": {matched[0]} was not trained to its end; lensmith train --resume {matched[0]} goes on with it"
    above = Path(name).parent
    there = sorted(path.parent.name for path in above.glob("*/recipe.toml")) if not glob.has_magic(str(above)) else []
    near = nearest(Path(name).name.rstrip("*?"), there)
    return f".{near} `lensmith list runs` shows those that are there" if near else \
        ": `lensmith list runs` shows those that are there"
