"""The teacher that a recipe names: a run folder whose network answers what the new one learns."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from lensmith.base.errors import ModelError, UserError, count, first_line
from lensmith.base.pictures import Form
from lensmith.engine.evaluate import for_inference
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.engine.teacher import Teacher
from lensmith.models.network import Network
from lensmith.models.trial_forward import REFUSALS, in_evaluation_mode
from lensmith.models.weights import weights_fingerprint
from lensmith.recipe import schema as recipes
from lensmith.recipe.build_network import LearnedNetwork, network_of_run
from lensmith.recipe.schema import BROUGHT
from lensmith.tasks.task import Task

_ELSE = "name another run, or leave learner.teacher out"
_PICTURES = 2    # of a trial: batch norm and pooling take one for a special case


@dataclass(frozen=True)
class FoundTeacher:
    """The network of `learner.teacher`, which fits what is to be learned."""

    learned: LearnedNetwork
    task: Task                        # of the network that learns
    classes: dict[str, list[int]]     # as of `Teacher`
    weight: float
    temperature: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The content of teacher.json."""
        return {"run": str(self.learned.run), "fingerprint": self.fingerprint}

    @property
    def fingerprint(self) -> str:
        """A hash of all that its answers depend on, 32 hex digits."""
        content = [weights_fingerprint(self.learned.network), self.learned.form.as_json(), self.learned.classes]
        return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()

    def placed(self, plan: Plan) -> Teacher:
        """The teacher as it answers in the plan of a training. Its network is moved."""
        plan = replace(plan, compiled=False)
        form, network = self.learned.form, plan.place(self.learned.network)
        # Always the same pictures, so that a run that goes on has the same network.
        pictures = torch.zeros((_PICTURES, form.channels, *form.size), dtype=form.dtype, device=plan.device)
        return Teacher(for_inference(network, plan, pictures)[0].requires_grad_(False), self.learned.task, self.task,
                       form.size, self.classes, self.weight, self.temperature)


def find_teacher(settings: recipes.Section, network: Network, task: Task, classes: Mapping[str, tuple[str, ...]],
                 form: Form, *, trusted: bool) -> FoundTeacher | None:
    """The teacher that the section [learner] names, for a network and its task; None where it names none.

    classes: the class names of each target.
    form: of the pictures.
    trusted: whether code that the teacher's run names may run.

    Raises ModelError for a folder that is no whole run, UserError for a teacher that cannot answer what is learned.
    """
    if "teacher" not in settings:
        return None
    run = Run.open(settings["teacher"])
    backbone = recipes.read_recipe(run.folder / "recipe.toml").get("backbone", {}).get("name", "")
    if str(backbone).startswith(BROUGHT):
        raise UserError(f"learner.teacher={run} was trained on a Python object as its backbone, which no run folder "
                        f"holds: {_ELSE}")
    learned = network_of_run(run, trusted=trusted)
    _check_form(learned, form)
    own = _answered(network, task, form)
    lacking = [name for name in task.needs if name not in own]
    if lacking:
        raise UserError(f"learner.teacher={run} can teach classes of pictures and of pixels alone, and here "
                        f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} to be learned: leave "
                        "learner.teacher out")
    taught = _answered(learned.network, learned.task, learned.form)
    numbers = {name: _numbers(learned, name, classes[name], taught) for name in task.needs}
    return FoundTeacher(learned, task, numbers, settings["teacher_weight"], settings["temperature"],
                        _notes(learned, form))


def check_same_teacher(run: Run, teacher: FoundTeacher | None) -> None:
    """Raises UserError unless the teacher is the one that the run began with."""
    if teacher is not None and run.facts("teacher.json").get("fingerprint") != teacher.fingerprint:
        raise UserError(f"{teacher.learned.run} has changed since {run} began to learn from it, so it cannot go on "
                        f"with the same bits: put the teacher's files back, or begin a new run with its recipe: "
                        f"lensmith train {run}")


def _check_form(learned: LearnedNetwork, form: Form) -> None:
    theirs, ours = ([count(each.channels, "channel"), f"{each.bits} bits", f"black and white at {each.shades}"]
                    for each in (learned.form, form))
    for their, our in zip(theirs, ours, strict=True):
        if their != our:
            raise UserError(f"learner.teacher={learned.run} looks at pictures of {their}, and these have {our}: "
                            f"{_ELSE}")


def _answered(network: Network, task: Task, form: Form) -> set[str]:
    """The targets to which the network answers with logits of classes."""
    pictures = torch.zeros((_PICTURES, form.channels, *form.size), dtype=form.dtype)
    try:
        with in_evaluation_mode(network):
            return set(task.class_logits(network(pictures)))
    except REFUSALS as error:
        raise ModelError(f"a network cannot look at pictures of {form.height} x {form.width} pixels "
                         f"({first_line(error)})") from error


def _numbers(learned: LearnedNetwork, target: str, classes: tuple[str, ...], taught: set[str]) -> list[int]:
    """The number that the teacher has for each of the classes."""
    if target not in taught:
        theirs = ", ".join(learned.task.needs)
        raise UserError(f"learner.teacher={learned.run} learned {theirs}, and {target} is to be learned: {_ELSE}")
    known = learned.classes[target]
    if set(known) != set(classes):
        unknown, more = ([name for name in names if name not in others][:3]
                         for names, others in ((classes, known), (known, classes)))
        words = [f"it does not know {', '.join(unknown)}"] * bool(unknown) + [f"it knows {', '.join(more)} too"] * \
            bool(more)
        raise UserError(f"learner.teacher={learned.run} has other classes of {target}: {' and '.join(words)}. {_ELSE}")
    return [known.index(name) for name in classes]


def _notes(learned: LearnedNetwork, form: Form) -> tuple[str, ...]:
    notes = []
    if learned.form.size != form.size:
        theirs, ours = (" x ".join(map(str, each.size)) for each in (learned.form, form))
        notes.append(f"the teacher {learned.run} looks at pictures of {theirs} pixels: those of {ours} are resized for "
                     "it, each time that they are learned from")
    return tuple(notes)
