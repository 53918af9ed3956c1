"""Where downloads, plans and decoded pictures are kept."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where downloads are kept: $LENSMITH_CACHE, else $XDG_CACHE_HOME/lensmith, else ~/.cache/lensmith."""
    own = os.environ.get("LENSMITH_CACHE")
    if own:
        return Path(own).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "lensmith"
