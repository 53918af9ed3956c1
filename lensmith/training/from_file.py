"""A file that was exported in the place of the run that it came from, and a run's answers by another runtime."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from lensmith.base.cache_folder import cache_folder
from lensmith.base.errors import ModelError, UserError, choose
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.network import Network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.ship.export.onnx import SUFFIX, write_onnx
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.checked_file import CheckedFile, check_file
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask, network_in
from lensmith.ship.runtimes.packages import COMMAND, check_installed
from lensmith.ship.runtimes.timing import installed_for_files, timed
from lensmith.training.exported import facts_of_run
from lensmith.training.trained import Trained, load

AUTO = "auto"
_TIMED = 8    # pictures that are answered together while runtimes are timed
Tell = Callable[[str], object]


def is_exported(name: str | Path) -> bool:
    return str(name).lower().endswith(SUFFIX)


def file_contents(file: Path) -> CheckedFile:
    """What an exported file holds. Raises ModelError for one that cannot be used."""
    return check_file(file, _file_runtimes()[0])


def opened(name: str | Path, *, runtime: str | None = None, device: str | None = None, trust: bool = False,
           tell: Tell = lambda text: None) -> Trained:
    """The trained network of a run folder or of an exported file, computed by a runtime.

    name: a run folder, "imagenet", or a file that `lensmith export` wrote.
    runtime: one of `ship.runtimes.RUNTIMES`, or "auto", which times those that are here; by itself torch for a run and
        auto for a file.
    device, trust: as of `load`.
    tell: called with what "auto" has chosen.
    """
    if runtime is not None and runtime != AUTO:
        check_installed(choose(RUNTIMES, runtime, "predict.runtime").package)
    if is_exported(name):
        if device not in (None, "auto", "cpu"):
            raise UserError(f"an exported file is computed on the CPU; got device {device!r}: use the run for others")
        return _of_file(Path(name), runtime or AUTO, tell)
    trained = load(name, device=device, trust=trust)
    if runtime in (None, "torch"):
        return trained
    if torch.device(trained.plan.device).type != "cpu":
        raise UserError(f"predict.runtime={runtime} computes on the CPU, and {name} on {trained.plan.device}: leave it "
                        "out, or add --device cpu")
    plain = load(name, device="cpu", trust=trust)
    if runtime != AUTO:
        return _of_run(trained, [str(runtime)], plain, tell)
    try:
        return _of_run(trained, ["torch", *_file_runtimes()], plain, tell)
    except UserError as error:    # a package is missing, or the network has no form in a file
        tell(f"runtime torch: {error}")
        return trained


def _of_file(file: Path, runtime: str, tell: Tell) -> Trained:
    if runtime == "torch":
        raise UserError(f"torch runs the network of a run folder, and {file} is a file: accepted are auto, onnxruntime "
                        "and openvino")
    names = _file_runtimes() if runtime == AUTO else [runtime]
    facts = check_file(file, names[0]).facts
    classes = facts.names
    settings: Any = {"data": {"name": NO_DATA}, "backbone": {"name": "lenet"}, "task": facts.task,
                     "pictures": {"size": list(facts.form.size), "channels": facts.form.channels}}
    try:
        recipe = complete(resolve(settings, trusted=False, brought=["data"]), classes, facts.form)
        task = choose_task(recipe, classes)
    except UserError as error:
        raise ModelError(f"{file} has a task that this version does not know ({error}): export again") from error
    networks = {name: network_in(file, facts, name) for name in names}
    chosen = _quickest({name: network.forward for name, network in networks.items()}, facts, tell)
    return Trained(Run(file), recipe, _in_place_of_a_network(networks[chosen]), FileTask(task, facts), classes,
                   facts.form, _plan(), facts.category_ids)


def _of_run(trained: Trained, runtimes: list[str], plain: Trained, tell: Tell) -> Trained:
    """The run computed by the fastest of the `runtimes`, its network written as a file into the cache, where it is not
    there yet. `plain` is the same in float32 on the CPU."""
    names = [name for name in runtimes if RUNTIMES[name].open is not None]
    facts = facts_of_run(plain)
    folder = cache_folder() / "exports"
    file = folder / f"{facts.key()}{SUFFIX}"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_onnx(plain.network, plain.task, facts, file)
    facts = check_file(file, names[0]).facts
    networks = {name: network_in(file, facts, name) for name in names}
    options: dict[str, Callable[[torch.Tensor], object]] = {name: network.forward for name, network in networks.items()}
    if "torch" in runtimes:
        network, plan = trained.ready
        options["torch"] = lambda pictures: trained.task.decode(network(plan.arrange(pictures)))
    chosen = _quickest(options, facts, tell)
    if chosen == "torch":
        return trained
    return replace(trained, network=_in_place_of_a_network(networks[chosen]), task=FileTask(plain.task, facts),
                   plan=_plan())


def _plan() -> Plan:
    """One thread of PyTorch's: the runtime, which has threads of its own, does nearly all."""
    return make_plan(device="cpu", layout="contiguous", threads=1)


def _file_runtimes() -> list[str]:
    """The runtimes for files that are here. Raises UserError where none is."""
    names = installed_for_files()
    if not names:
        raise UserError(f"a file needs onnxruntime or openvino, and neither is installed: {COMMAND}")
    return names


def _in_place_of_a_network(network: FileNetwork) -> Network:
    """To predict and to measure, all that is asked of a network is its output, which its task reads."""
    return cast(Network, network)


@torch.inference_mode()
def _quickest(options: dict[str, Callable[[torch.Tensor], object]], facts: FileFacts, tell: Tell) -> str:
    """The name of the option that takes the least time for pictures of the file's form."""
    if len(options) == 1:
        return next(iter(options))
    form = facts.form
    pictures = torch.zeros((_TIMED, form.channels, *form.size), dtype=form.dtype)
    seconds = timed({name: partial(run, pictures) for name, run in options.items()},
                    means=f"{facts.key()} {_TIMED} {torch.get_num_threads()}")
    chosen = min(seconds, key=lambda name: seconds[name])
    of_each = ", ".join(f"{name} {1000 * taken / _TIMED:.2f} ms" for name, taken in seconds.items())
    tell(f"runtime {chosen}: {of_each} a picture")
    return chosen
