"""From the section [plan] to a plan: asked for by name, exact, of a file, remembered or picked by timing."""

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.device import choose_device
from lensmith.base.errors import UserError
from lensmith.data.batches.loader import Loader
from lensmith.engine.distributed.device_stages import check_stages
from lensmith.engine.distributed.launch import wanted_processes
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.distributed.rendezvous import join
from lensmith.engine.plan.candidates import Choice, Wanted
from lensmith.engine.plan.plan import Plan, exact, make_plan, plan_from_json
from lensmith.engine.plan.plan_cache import cache_key, recall, remember
from lensmith.engine.plan.time_candidates import pick
from lensmith.engine.plan.trial import Steppers
from lensmith.tasks.task import Task

FIXED = ("precision", "layout", "compiled")    # what a mode other than auto decides itself


def check(section: dict[str, Any]) -> None:
    """Raises UserError for settings of [plan] that contradict each other or that this machine does not have, and for a
    file that is no plan."""
    mode, named = section["mode"], [name for name in FIXED if section.get(name) is not None]
    if mode != "auto" and named:
        raise UserError(f"plan.mode={mode!r} decides {', '.join(FIXED)} itself; got plan.{named[0]}="
                        f"{section[named[0]]!r} beside it: leave one of the two out")
    if mode not in ("auto", "exact"):
        _read(mode)
    if "," not in section["device"]:    # of several devices each process has its own
        _wanted(section).plain()


def _wanted(section: dict[str, Any]) -> Wanted:
    return Wanted(section["device"], section.get("precision"), section.get("layout"), section["threads"],
                  section.get("compiled"))


def connect_processes(section: dict[str, Any], *, goes_on: bool = False) -> ProcessGroup:
    """The processes that train by this section, connected; one that `goes_on` takes as many as it began with.

    Raises UserError where others were started than are asked for, or where they cannot have what is asked for.
    """
    process_group, asked, stages = join(), section["processes"], section.get("stages")
    if process_group.world_size == 1 and (wanted := wanted_processes(section)) > 1:
        raise UserError(f"{wanted} processes are asked for, and this is one: the command lensmith train --processes "
                        f"{wanted} starts them, and torchrun --nproc-per-node {wanted} those of a script")
    if asked != process_group.world_size and goes_on:
        raise UserError(f"the run began with plan.processes={asked} and goes on, to the same bits, with as many; "
                        f"{process_group.world_size} were started: lensmith train --resume starts the right number by "
                        f"itself, and so does torchrun with {asked} in all")
    if asked not in (1, process_group.world_size):
        raise UserError(f"plan.processes={asked} and {process_group.world_size} processes were started: leave "
                        "plan.processes out where torchrun starts them")
    if stages:
        check_stages(stages, device=section["device"], processes=process_group.world_size)
    if section["synchronise"] and process_group.world_size == 1:
        raise UserError("plan.synchronise is for several processes, and this is one: give plan.processes, or leave "
                        "it out")
    process_group.connect(process_group.device(section["device"]), timeout=section["timeout"])
    return process_group


def choose_plan(section: dict[str, Any], network: nn.Module, task: Task, loader: Loader, *, steps: int,
                stepper: Steppers, means: str) -> Choice:
    """The plan of a run of so many optimizer `steps`; `means` tells the optimizer and its settings apart, by which a
    choice is remembered. `check` comes before."""
    mode, device, threads = section["mode"], section["device"], section["threads"]
    if mode == "exact":
        return Choice(exact(device=device, threads=threads), "exact")
    if mode != "auto":
        return Choice(_on(_read(mode), device, threads), mode)
    wanted = _wanted(section)
    plain = wanted.plain()
    if not wanted.open or section.get("stages"):    # copies of a network that is too large for a device do not fit
        return Choice(plain)
    once = copy(loader)
    once.workers = 0
    shrunk = loader.augment.shrunk_epochs if loader.augment is not None else 0
    batch = next(once.at(shrunk, 0))    # of the first epoch with pictures of their full size
    key = cache_key(wanted, network, batch, means=means)
    known = recall(key)
    if known is not None and not known.hurried(steps):
        return known
    try:
        found = pick(wanted, network, task, batch, steps=steps, stepper=stepper)
    except UserError:
        raise
    except (ValueError, RuntimeError, MemoryError):
        return Choice(plain, "not timed")    # a plain step fails: the training will, and says why in words
    remember(key, found)
    return found


def _on(found: Plan, device: str, threads: int) -> Plan:
    """The plan of a file with what is asked for by name."""
    if device != "auto":
        found = replace(found, device=str(choose_device(device)))
    make_plan(device=found.device, precision=found.precision)    # raises where this machine does not have it
    return replace(found, threads=threads) if threads else found


def _read(path: str) -> Plan:
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"plan.mode={path!r} is neither auto nor exact, nor a file that can be read "
                        f"({error.strerror}): give auto, exact or the plan.json of a run") from error
    except ValueError as error:
        raise UserError(f"plan.mode={path!r}: the file is no JSON ({error}): give the plan.json of a run") from error
    if not isinstance(content, dict):
        raise UserError(f"plan.mode={path!r}: the file holds no plan: give the plan.json of a run")
    return plan_from_json(content)
