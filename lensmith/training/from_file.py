"""A file that was exported in the place of the run that it came from, and a run's answers by another runtime."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch

from lensmith.base.cache_folder import cache_folder
from lensmith.base.device import choose_device
from lensmith.base.errors import ModelError, UserError
from lensmith.engine.plan.plan import Plan, make_plan
from lensmith.engine.run_folder import Run
from lensmith.models.network import Network
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.defaults import complete
from lensmith.recipe.schema import NO_DATA
from lensmith.recipe.sections import resolve
from lensmith.ship.export.in_graph import judged
from lensmith.ship.export.onnx import ONNX, write_onnx
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import (
    FLOAT32,
    Candidate,
    for_files,
    installed_for_files,
    missing,
    runtime_and_precision,
    thread_numbers,
)
from lensmith.ship.runtimes.checked_file import CheckedFile, check_file
from lensmith.ship.runtimes.choice import FastestWay, Way
from lensmith.ship.runtimes.file_facts import OBJECTS_IN_FILES, FileFacts
from lensmith.ship.runtimes.file_network import FileNetwork, FileTask, network_in, takes
from lensmith.ship.runtimes.packages import command_for
from lensmith.ship.runtimes.torch_plans import candidate_of, inference_plans, open_with_torch
from lensmith.tasks.task import Task
from lensmith.training.exported import facts_of_run, held_out_pictures
from lensmith.training.own_plan import plan_of
from lensmith.training.same_answers import HELD_OUT, SameAnswers
from lensmith.training.trained import Trained, load

AUTO = "auto"
_SHOWN = 2        # pictures that the rewrites of PyTorch's network are tried on
QUANTISED = "QuantizeLinear"    # the operator of a file whose weights are INT8
Tell = Callable[[str], object]
Openers = dict[Candidate, Callable[[], Way]]


def is_exported(name: str | Path) -> bool:
    """Whether a name is that of a file that a runtime opens, and not of a run folder."""
    return any(str(name).lower().endswith(suffix) for runtime in RUNTIMES.values() for suffix in runtime.suffixes)


def file_contents(file: Path, form: Path | None = None) -> CheckedFile:
    """What an ONNX file holds, by its `form` where others have written it. Raises ModelError for one that cannot be
    used."""
    return check_file(file, file_runtimes(file.suffix.lower())[:1], form)


def opened(name: str | Path, *, runtime: str | None = None, device: str | None = None, form: Path | None = None,
           trust: bool = False, overlap: float | None = None, tell: Tell = lambda text: None) -> Trained:
    """The trained network of a run folder or of an ONNX file, computed by a runtime.

    name: a run folder, "imagenet", or an ONNX file, which `lensmith export` or others have written.
    form: of a file of others, the TOML file that says what it takes and gives (docs/export.md).
    runtime: one of `ship.runtimes.RUNTIMES`, behind it a precision, as "openvino:bfloat16"; or "auto", which times
        those that are here once pictures come; by itself torch for a run and auto for a file.
    device, trust: as of `load`.
    overlap: what predictions will ask for, which only PyTorch can decide anew.
    tell: called with what "auto" has chosen.
    """
    asked = None if runtime in (None, AUTO) else runtime_and_precision(str(runtime))
    if is_exported(name):
        if device not in (None, "auto", "cpu"):
            raise UserError(f"an exported file is computed on the CPU; got device {device!r}: use the run for others")
        return _of_file(Path(name), asked, form, tell)
    if asked is not None and asked[0] != "torch" and ONNX.suffix not in RUNTIMES[asked[0]].suffixes:
        raise UserError(f"predict.runtime={runtime} opens a file of its own alone: write one with export.to={asked[0]} "
                        "and predict with that")
    if form is not None:
        raise UserError(f"predict.form says what an ONNX file of others takes, and {name} is none: leave it out")
    if runtime in (None, "torch"):
        return load(name, device=device, trust=trust)
    own = plan_of(name)
    on = own.device if device is None else str(choose_device(device))
    if torch.device(on).type != "cpu":
        raise UserError(f"predict.runtime={runtime} computes on the CPU, and {name} on {on}: leave it out, or add "
                        "--device cpu")
    trained = load(name, device="cpu", trust=trust)
    if asked is not None:
        return _of_run(trained, *asked)
    if overlap is not None:
        tell("runtime torch: --iou is decided by the run, and a file has left boxes out by its own")
        return trained
    return fastest_of_run(trained, own, tell)


def _of_file(file: Path, asked: tuple[str, str] | None, form: Path | None, tell: Tell) -> Trained:
    if asked is not None and asked[0] == "torch":
        raise UserError(f"torch runs the network of a run folder, and {file} is a file: accepted are auto, onnxruntime "
                        "and openvino")
    suffix = file.suffix.lower()
    if asked is not None and suffix not in RUNTIMES[asked[0]].suffixes:
        raise UserError(f"predict.runtime={asked[0]} opens no {suffix} file: accepted are auto and "
                        f"{' and '.join(name for name, runtime in RUNTIMES.items() if suffix in runtime.suffixes)}")
    names = file_runtimes(suffix) if asked is None else [asked[0]]
    checked = check_file(file, names, form)
    facts, classes = checked.facts, checked.facts.names
    for name in set(names) - set(checked.runtimes):
        tell(f"runtime {name} is not tried: it cannot run {file}")
    settings: Any = {"data": {"name": NO_DATA}, "backbone": {"name": "lenet"}, "task": facts.task,
                     "pictures": {"size": list(facts.form.size), "channels": facts.form.channels}}
    try:
        recipe = complete(resolve(settings, trusted=False, brought=["data"]), classes, facts.form)
        task = choose_task(recipe, classes)
    except UserError as error:
        raise ModelError(f"{file} has a task that this version does not know ({error}): export again") from error
    if asked is None:
        precision = "int8" if QUANTISED in checked.operators else FLOAT32
        candidates = [one for one in for_files(checked.runtimes, thread_numbers(), of_file=precision)
                      if one.precision == precision]    # a file brings no held-out pictures to judge 16 bits by
        openers: Openers = {one: partial(_way_of_file, file, facts, task, one, checked) for one in candidates}
        reference = next(iter(openers.values()))
        network = _fastest(openers, SameAnswers(reference, facts), facts, tell,
                           means=f"{facts.key()} {file.stat().st_size}")
    else:
        network = network_in(file, facts, asked[0], precision=asked[1], checked=checked)
    return Trained(Run(file), recipe, _in_place_of_a_network(network), FileTask(task, facts), classes, facts.form,
                   plan=_plan(), category_ids=facts.category_ids)


def _of_run(trained: Trained, runtime: str, precision: str) -> Trained:
    """The run, which is on the CPU in float32, computed as is asked for."""
    if runtime == "torch":
        plan = make_plan(device="cpu", precision=precision, rewrites=("fold_batch_norm",))    # type: ignore[arg-type]
        plan.place(trained.network)
        return replace(trained, plan=plan)
    file, checked = run_in_a_file(trained, [runtime])
    network = network_in(file, checked.facts, runtime, precision=precision)
    return replace(trained, network=_in_place_of_a_network(network), task=FileTask(trained.task, checked.facts),
                   plan=_plan())


def fastest_of_run(trained: Trained, own: Plan, tell: Tell) -> Trained:
    """The run computed by whatever is fastest, once pictures come. `own` is the plan that it was trained in."""
    for name, command in missing().items():
        tell(f"runtime {name} is not tried: it is not installed: {command}")
    try:
        facts = facts_of_run(trained)
    except ModelError as error:    # its answers have no form in a file
        tell(f"runtime torch: {error}")
        return trained
    openers: Openers = {}
    try:
        names = file_runtimes()
        file, checked = run_in_a_file(trained, names)
        facts = checked.facts
        openers |= {one: partial(_way_of_file, file, facts, trained.task, one)
                    for one in for_files(checked.runtimes, thread_numbers())}
        for name in set(names) - set(checked.runtimes):
            tell(f"runtime {name} is not tried: it cannot run the network's file")
    except UserError as error:    # a package is missing, or the network has no form in a file
        tell(f"runtime torch: {error}")
    openers |= {candidate_of(plan): partial(_way_of_torch, trained, plan)
                for plan in inference_plans(thread_numbers(), own=own)}
    if any(target.kind in OBJECTS_IN_FILES for target in facts.targets.values()):    # of these 16 bits lose some
        openers = {one: opener for one, opener in openers.items() if one.precision == FLOAT32}
    same = SameAnswers(partial(_way_of_torch, trained, make_plan(device="cpu", layout="contiguous")), facts,
                       lambda: held_out_pictures(trained, HELD_OUT))
    network = _fastest(openers, same, facts, tell, means=facts.key())
    return replace(trained, network=_in_place_of_a_network(network), task=FileTask(trained.task, facts), plan=_plan())


def run_in_a_file(trained: Trained, runtimes: Sequence[str]) -> tuple[Path, CheckedFile]:
    """The network of a run as a file in the cache, where it is written unless it is there, and what it holds.

    Raises UserError where a package is missing, ModelError for a network that has no form in a file, or none that one
    of the runtimes can run.
    """
    facts = facts_of_run(trained)
    folder = cache_folder() / "exports"
    file = folder / f"{facts.key()}{ONNX.suffix}"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_onnx(trained.network, trained.task, facts, file)
    try:
        return file, check_file(file, runtimes)
    except ModelError:
        file.unlink(missing_ok=True)    # another version of PyTorch's exporter, or a whole disk, may write it better
        raise


def _fastest(openers: Openers, same: SameAnswers, facts: FileFacts, tell: Tell, *, means: str) -> FileNetwork:
    """A network that computes by the fastest of the `openers` whose answers are the `same`."""
    def limited(size: tuple[int, int]) -> list[str]:
        return [] if takes(facts, size) else [name for name in RUNTIMES if name != "torch"]

    way = FastestWay(openers, same.problem, means=means, limited=limited, tell=tell)
    return FileNetwork(way, None, account=way.account).eval()


def _way_of_file(file: Path, facts: FileFacts, task: Task, candidate: Candidate,
                 checked: CheckedFile | None = None) -> Way:
    network = network_in(file, facts, candidate.runtime, threads=candidate.threads, precision=candidate.precision,
                         checked=checked)
    decoding = FileTask(task, facts)
    decoding.for_files = True
    return Way(network.forward, decoding.decode)


def _way_of_torch(trained: Trained, plan: Plan) -> Way:
    decoding, form = judged(trained.task), trained.form
    shown = torch.zeros((_SHOWN, form.channels, *form.size), dtype=form.dtype)
    return Way(open_with_torch(trained.network, plan, shown), lambda output: decoding.decode(output.output))


def _plan() -> Plan:
    """One thread of PyTorch's: the runtime, which has threads of its own, does nearly all."""
    return make_plan(device="cpu", layout="contiguous", threads=1)


def file_runtimes(suffix: str = ".onnx") -> list[str]:
    """The runtimes for files with that suffix that are here. Raises UserError where none is."""
    names = installed_for_files(suffix)
    if not names:
        known = [name for name, runtime in RUNTIMES.items() if suffix in runtime.suffixes]
        raise UserError(f"a file needs {' or '.join(known)}, and {'neither' if len(known) > 1 else 'it'} is "
                        f"{'' if len(known) > 1 else 'not '}installed: {command_for(RUNTIMES[known[0]].package)}")
    return names


def _in_place_of_a_network(network: FileNetwork) -> Network:
    """To predict and to measure, all that is asked of a network is its output, which its task reads."""
    return cast(Network, network)
