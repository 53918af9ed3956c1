"""Lensmith: from pictures to a convolutional network that works."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Trained", "__version__", "darknet", "load", "metrics", "resume", "train"]

if TYPE_CHECKING:
    from lensmith import metrics
    from lensmith.api import resume, train
    from lensmith.training.trained import Trained, darknet, load


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `lensmith --help` must not wait for torch."""
    if name in ("resume", "train"):
        from lensmith import api

        return getattr(api, name)
    if name in ("Trained", "darknet", "load"):
        from lensmith.training import trained

        return getattr(trained, name)
    if name == "metrics":
        return import_module("lensmith.metrics")
    raise AttributeError(f"module 'lensmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also the names that nothing has imported yet."""
    return sorted({*globals(), *__all__})
