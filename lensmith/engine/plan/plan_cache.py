"""Plans that were picked before, kept in the user's cache under network, pictures, machine and versions."""

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import nn

from lensmith.base.atomic_files import write_text
from lensmith.base.cache_folder import cache_folder
from lensmith.base.device import environment
from lensmith.base.errors import UserError
from lensmith.data.sources.sample import Batch
from lensmith.engine.plan.candidates import Choice, Wanted, choice_of

# Of the way to pick. A change of it makes the choices void that were made before.
VERSION = 2
# A choice is kept only if other programs took at most this fraction of the machine while it was made: two threads on a
# core that is taken are many times slower than one, and the next hour is another.
_QUIET = 0.25
# So many choices are kept; beyond that the oldest are removed.
_MANY = 1000


def cache_key(wanted: Wanted, network: nn.Module, batch: Batch, *, means: str) -> str:
    """A hash of all that a choice depends on, 32 hex digits. `means` distinguishes the task, the optimizer and their
    settings."""
    machine = environment()
    content = {
        "version": VERSION, "wanted": repr(wanted), "network": str(network),
        "weights": [(name, list(weight.shape), weight.requires_grad) for name, weight in network.named_parameters()],
        "pictures": [list(batch.images.shape), str(batch.images.dtype)], "targets": sorted(batch.targets),
        "means": means,
        "machine": [machine[name] for name in ("platform", "processor", "cores", "cuda")],
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "capability": [torch.backends.cpu.get_cpu_capability(), os.environ.get("ONEDNN_MAX_CPU_ISA", "")],
    }
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def recall(key: str) -> Choice | None:
    """The choice kept under the key; None where there is none, or one that cannot be read."""
    try:
        return choice_of(json.loads((_folder() / f"{key}.json").read_text(encoding="utf-8")), "the cache")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):    # UserError is a ValueError
        return None


def remember(key: str, choice: Choice) -> None:
    """Keep a choice, unless the machine was busy with other work while it was made, or the cache cannot be written."""
    if choice.other_load is not None and choice.other_load > _QUIET:
        return
    try:
        _folder().mkdir(parents=True, exist_ok=True)
        write_text(_folder() / f"{key}.json", json.dumps(choice.as_json(), indent=1) + "\n")
        kept = sorted(_folder().glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_MANY]:
            path.unlink(missing_ok=True)
    except (OSError, UserError):
        return    # The run has its plan, and the next one picks again.


def _folder() -> Path:
    return cache_folder() / "plans"
