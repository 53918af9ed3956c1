"""Plans that were picked before, in the user's cache: found again by network, pictures, machine and versions."""

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

VERSION = 1            # of the way to pick: a change there makes older choices void
_QUIET = 0.25          # share of the machine that others may have taken while a choice that is kept was made
_MANY = 1000           # choices kept; beyond that the oldest go


def cache_key(wanted: Wanted, network: nn.Module, batch: Batch, *, means: str) -> str:
    """32 hex digits of all that a choice depends on; `means` tells the task, the optimizer and their settings apart."""
    machine = environment()
    content = {
        "version": VERSION, "wanted": repr(wanted), "network": str(network),
        "weights": [(name, list(one.shape), one.requires_grad) for name, one in network.named_parameters()],
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
        return    # the run has its plan; the next one picks again


def _folder() -> Path:
    return cache_folder() / "plans"
