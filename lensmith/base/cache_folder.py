"""Where downloads, plans and decoded pictures are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of the cache: $LENSMITH_CACHE, else $XDG_CACHE_HOME/lensmith, else ~/.cache/lensmith."""
    path = os.environ.get("LENSMITH_CACHE")
    if path:
        return Path(path).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # By the XDG specification a relative path is ignored.
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "lensmith"
