"""Chooses the plan that a section [plan] asks for: exact, from a file, from the plan cache, or by timing candidates."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.device import choose_device, give_back_freed_memory
from lensmith.base.errors import UserError
from lensmith.base.read_file import Unreadable, json_of
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.sample import Batch
from lensmith.engine.distributed.device_stages import check_stages
from lensmith.engine.distributed.launch import wanted_processes
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.distributed.rendezvous import join
from lensmith.engine.plan.candidates import Choice, Wanted
from lensmith.engine.plan.plan import Plan, exact, make_plan, plan_from_json
from lensmith.engine.plan.plan_cache import cache_key, recall, remember
from lensmith.engine.plan.time_candidates import pick
from lensmith.engine.plan.trial import Steppers
from lensmith.engine.run_schemas import problem_with
from lensmith.tasks.task import Task

FIXED = ("precision", "layout", "compiled")    # settings that every mode but auto decides itself


def check(section: dict[str, Any]) -> None:
    """Raises UserError for settings of [plan] that contradict each other or that this machine does not have.

    Also for a `plan.mode` that is a file but no plan.
    """
    mode, fixed = section["mode"], [name for name in FIXED if section.get(name) is not None]
    if mode != "auto" and fixed:
        raise UserError(f"plan.mode={mode!r} decides {', '.join(FIXED)} itself; got plan.{fixed[0]}="
                        f"{section[fixed[0]]!r} beside it: leave one of the two out")
    if mode not in ("auto", "exact"):
        _read(mode)
    if "," not in section["device"]:    # of several devices each process has its own
        _wanted(section).plain()


def _wanted(section: dict[str, Any]) -> Wanted:
    return Wanted(section["device"], section.get("precision"), section.get("layout"), section["threads"],
                  section.get("compiled"))


def connect_processes(section: dict[str, Any], *, resumes: bool = False) -> ProcessGroup:
    """The connected processes of this section. A run that `resumes` needs as many as it began with.

    Raises UserError if another number of processes was started than the section asks for, or if they cannot have the
    devices or the settings that it asks for.
    """
    process_group, processes, stages = join(), section["processes"], section.get("stages")
    if process_group.world_size == 1 and (wanted := wanted_processes(section)) > 1:
        raise UserError(f"{wanted} processes are asked for, and this is one: the command lensmith train --processes "
                        f"{wanted} starts them, and torchrun --nproc-per-node {wanted} those of a script")
    if processes != process_group.world_size and resumes:
        raise UserError(f"the run began with plan.processes={processes} and goes on, to the same bits, with as many; "
                        f"{process_group.world_size} were started: lensmith train --resume starts the right number by "
                        f"itself, and so does torchrun with {processes} in all")
    if processes not in (1, process_group.world_size):
        raise UserError(f"plan.processes={processes} and {process_group.world_size} processes were started: leave "
                        "plan.processes out where torchrun starts them")
    if stages:
        check_stages(stages, device=section["device"], processes=process_group.world_size)
    if section["synchronise"] and process_group.world_size == 1:
        raise UserError("plan.synchronise is for several processes, and this is one: give plan.processes, or leave "
                        "it out")
    process_group.connect(process_group.device(section["device"]), timeout=section["timeout"])
    return process_group


def first_full_batch(loader: Loader) -> Batch:
    """The first batch whose pictures are of full size, read by this process."""
    without_workers = copy(loader)
    without_workers.workers = 0
    return next(without_workers.at(loader.augment.shrunk_epochs if loader.augment is not None else 0, 0))


def choose_plan(section: dict[str, Any], network: nn.Module, task: Task, first_batch: Callable[[], Batch], *,
                steps: int, stepper: Steppers, means: str, seconds: float | None = None) -> Choice:
    """The plan of a run of so many optimizer `steps`, or else of so many `seconds`, for a section that passed `check`.

    `first_batch` makes a batch to be timed on. `means` is a text that differs for every optimizer and its settings, as
    a part of the key of the plan cache.
    """
    mode, device, threads = section["mode"], section["device"], section["threads"]
    if mode == "exact":
        return Choice(exact(device=device, threads=threads), "exact")
    if mode != "auto":
        return Choice(_with_settings(_read(mode), device, threads), mode)
    wanted = _wanted(section)
    plain = wanted.plain()
    if not wanted.open or section.get("stages"):    # a network in stages is too large to be copied for timing
        return Choice(plain)
    batch = first_batch()
    key = cache_key(wanted, network, batch, means=means)
    remembered = recall(key)
    if remembered is not None and seconds is not None and remembered.step:
        steps = int(seconds / remembered.step)
    if remembered is not None and not remembered.hurried(steps):
        return remembered
    try:
        choice = pick(wanted, network, task, batch, steps=steps, stepper=stepper, seconds=seconds)
    except UserError:
        raise
    except (ValueError, RuntimeError, MemoryError):
        return Choice(plain, "not timed")    # a plain step fails, so the training will fail too, with a plain message
    finally:
        give_back_freed_memory()    # the steps of the run are of other sizes
    remember(key, choice)
    return choice


def _with_settings(plan: Plan, device: str, threads: int) -> Plan:
    """The plan of a file with the device and the threads that the section sets."""
    if device != "auto":
        plan = replace(plan, device=str(choose_device(device)))
    make_plan(device=plan.device, precision=plan.precision)    # raises if this machine does not have them
    return replace(plan, threads=threads) if threads else plan


def _read(path: str) -> Plan:
    """The plan in a file. Raises UserError if it cannot be read or is none."""
    try:
        content = json_of(Path(path).expanduser())
    except Unreadable as error:
        raise UserError(f"plan.mode={path!r} is neither auto nor exact, nor a file that can be read ({error.reason}): "
                        "give auto, exact or the plan.json of a run") from error
    problem = problem_with("plan.json", content)
    if problem:
        raise UserError(f"plan.mode={path!r}: the file holds no plan ({problem}): give the plan.json of a run")
    return plan_from_json(content)
