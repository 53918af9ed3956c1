"""What the test by random weights has found of a network, kept in the user's cache."""

import json
from collections.abc import Callable
from pathlib import Path

from torch import nn

from lensmith.base.cache_folder import cache_folder, keep_text
from lensmith.base.read_file import Unreadable, json_of
from lensmith.models.weights import weights_fingerprint


class KeptLikeness:
    """Rank correlations by what was asked of a method, each measured once a network: it takes a few times as long as
    the explanation."""

    def __init__(self, path: Path, found: dict[str, float]):
        """`path`: the file that they are kept in; `found`: what it holds."""
        self.path, self.found = path, found

    @classmethod
    def of(cls, network: nn.Module) -> "KeptLikeness":
        """What was found of a network with these weights before; nothing where its file is not there or damaged."""
        path = cache_folder() / "explain" / f"{weights_fingerprint(network)}.json"
        try:
            return cls(path, {str(key): float(value) for key, value in json_of(path).items()})
        except (Unreadable, ValueError, TypeError, AttributeError):
            return cls(path, {})

    def look_up(self, asked: str, measure: Callable[[], float]) -> float:
        """The rank correlation of what was asked, measured and kept where it is not known."""
        if asked not in self.found:
            self.found[asked] = measure()
            keep_text(self.path, json.dumps(self.found) + "\n")
        return self.found[asked]
