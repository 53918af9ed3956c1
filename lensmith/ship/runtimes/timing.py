"""Which runtime answers fastest here: each is timed for a moment, and the choice is kept in the user's cache."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

from lensmith.base.atomic_files import write_text
from lensmith.base.cache_folder import cache_folder
from lensmith.base.device import environment
from lensmith.base.errors import UserError
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.packages import is_installed

_TRIES = 5      # timed runs of each runtime, of which the fastest counts
_LONG = 0.5     # seconds of a run that is not repeated


def installed_for_files() -> list[str]:
    """The names of the runtimes that are here and open a file."""
    return [name for name, runtime in RUNTIMES.items() if runtime.open is not None and is_installed(runtime.package)]


def seconds_of(run: Callable[[], object]) -> float:
    """The least time of a few runs. The first one, which warms up, does not count unless it is long."""
    least = float("inf")
    for number in range(_TRIES + 1):
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        if number or seconds > _LONG:
            least = min(least, seconds)
        if seconds > _LONG:
            break
    return least


def timed(options: Mapping[str, Callable[[], object]], *, means: str) -> dict[str, float]:
    """The seconds of each option by its name, as they were kept in the cache, or timed now and kept.

    `means` is all that they depend on beside this machine and the versions of the runtimes.
    """
    machine = environment()
    content = {"means": means, "options": sorted(options),
               "machine": [machine[name] for name in ("platform", "processor", "cores")],
               "versions": {name: version(RUNTIMES[name].package) for name in options}}
    key = hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
    path = cache_folder() / "runtimes" / f"{key}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if set(kept) == set(options) and all(isinstance(seconds, float) for seconds in kept.values()):
            return dict(kept)
    except (OSError, ValueError, TypeError):
        pass    # nothing is kept, or it is damaged: timed anew
    measured = {name: seconds_of(run) for name, run in options.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(measured) + "\n")
    except (OSError, UserError):
        pass    # the next command times again
    return measured
