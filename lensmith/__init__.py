"""Lensmith: from pictures to a convolutional network that works."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Trained", "__version__", "darknet", "load", "resume", "train"]

if TYPE_CHECKING:
    from lensmith.api import Trained, darknet, load, resume, train


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `lensmith --help` must not wait for torch."""
    if name in ("Trained", "darknet", "load", "resume", "train"):
        from lensmith import api

        return getattr(api, name)
    raise AttributeError(f"module 'lensmith' has no attribute {name!r}")
