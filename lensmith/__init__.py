"""Lensmith: from pictures to a convolutional network that works."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Player", "Trained", "__version__", "darknet", "learn_to_play", "load", "load_player", "metrics", "resume",
           "train"]

if TYPE_CHECKING:
    from lensmith import metrics
    from lensmith.api import learn_to_play, resume, train
    from lensmith.training.played import Player, load_player
    from lensmith.training.trained import Trained, darknet, load


def __getattr__(name: str) -> Any:
    """The public names, imported when they are first used: `lensmith --help` must not wait for torch."""
    if name in ("learn_to_play", "resume", "train"):
        from lensmith import api

        return getattr(api, name)
    if name in ("Trained", "darknet", "load"):
        from lensmith.training import trained

        return getattr(trained, name)
    if name in ("Player", "load_player"):
        from lensmith.training import played

        return getattr(played, name)
    if name == "metrics":
        return import_module("lensmith.metrics")
    raise AttributeError(f"module 'lensmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Also the names that nothing has imported yet."""
    return sorted({*globals(), *__all__})
