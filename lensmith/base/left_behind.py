"""What programs leave behind in folders of pictures: hidden files, previews, rubbish, and results of our own."""

import os
from collections.abc import Callable

from lensmith.base.output_folder import MARKER

# NAS (Synology, QNAP), Windows, macOS, Linux, Python and notebooks; whatever begins with a dot is hidden anyway.
_NAMES = {"__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "thumbs.db", "ehthumbs.db",
          "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found", "icon\r",
          "__pycache__", "picasa.ini"}
_RUNS = "runs"    # where `lensmith train` makes run folders
_OF_A_RUN = ("plan.json", "data.json", "run.json", "environment.json")    # one of which lies beside its recipe.toml


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is nobody's picture or annotation."""
    return name.startswith(".") or name.lower() in _NAMES


def holds_results(folder: str) -> bool:
    """Whether a folder is a run folder, or one that predictions are written into."""
    if os.path.isfile(os.path.join(folder, MARKER)):
        return True
    return os.path.isfile(os.path.join(folder, "recipe.toml")) and any(
        os.path.isfile(os.path.join(folder, name)) for name in _OF_A_RUN)


def is_passed_over(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder of pictures is left behind by a program, our own results included."""
    return is_left_behind(entry.name) or (is_folder(entry) and holds_results(entry.path))


def holds_runs_alone(folder: str) -> bool:
    """Whether nothing lies in a folder but run folders, or in one that is called as their usual place, empty ones: a
    run that is just being made."""
    runs = os.path.basename(folder) == _RUNS
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    continue
                if not is_folder(entry):
                    return False
                if holds_results(entry.path):
                    runs = True
                elif any(not is_left_behind(name) for name in os.listdir(entry.path)):
                    return False
    except OSError:
        return False    # whoever reads it says what is wrong
    return runs


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or leads to one."""
    return leads_to(entry.is_dir)


def leads_to(kind: Callable[[], bool]) -> bool:
    """Whether an entry is of a kind or a link to one; a link that leads to itself is of none."""
    try:
        return kind()
    except OSError:
        return False
