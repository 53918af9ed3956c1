"""Where downloads, plans and decoded pictures are kept."""

import os
from pathlib import Path

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import UserError


def cache_folder() -> Path:
    """The folder of the cache: $LENSMITH_CACHE, else $XDG_CACHE_HOME/lensmith, else ~/.cache/lensmith."""
    path = os.environ.get("LENSMITH_CACHE")
    if path:
        return Path(path).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG specification a relative path is ignored.
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "lensmith"


def keep_text(path: Path, text: str) -> None:
    """Write a file of the cache; where that cannot be, nothing is kept, and whoever asks next computes it again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except (OSError, UserError):
        return
