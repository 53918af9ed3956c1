"""Archives of a set, which have to be unpacked before it can be read, and the command that does it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

# Suffix -> the command that unpacks such an archive into a folder.
_COMMANDS = {
    ".zip": "unzip -q {archive} -d {folder}",
    **dict.fromkeys((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"),
                    "mkdir -p {folder} && tar -xf {archive} -C {folder}"),
    **dict.fromkeys((".7z", ".rar"), "7z x {archive} -o{folder}"),
}
SUFFIXES_OF_ARCHIVES = tuple(sorted(_COMMANDS, key=len, reverse=True))    # longer ones first: .tar.gz before .gz


def unpack_command(archive: Path) -> str | None:
    """The commands that unpack an archive beside itself and train on it; None for a file of another kind."""
    suffix = next((suffix for suffix in SUFFIXES_OF_ARCHIVES if archive.name.lower().endswith(suffix)), None)
    if suffix is None:
        return None
    folder = shlex.quote(str(archive.with_name(archive.name[: -len(suffix)] or archive.name)))
    return f"{_COMMANDS[suffix].format(archive=shlex.quote(str(archive)), folder=folder)} && lensmith train {folder}"


def archives_in_words(folder: Path, names: Sequence[str]) -> str:
    """What is said of the archives in a folder; "" where there are none."""
    archives = [name for name in names if name.lower().endswith(SUFFIXES_OF_ARCHIVES)]
    if not archives:
        return ""
    return f"; {archives[0]} is an archive, to unpack before: `{unpack_command(folder / archives[0])}`"
