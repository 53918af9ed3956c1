"""The defaults of a recipe that depend on the data and the task, and which settings do not go together."""

from dataclasses import replace
from typing import Protocol

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import AUGMENTATIONS
from lensmith.models.adapters.published_weights import interpolation_of
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.sections import OPTIMIZER, SECTIONS, named_entry, task_class, weights_named
from lensmith.tasks.task import Task
from lensmith.tasks.usual_settings import Known, Usual

# A linear probe trains one dense layer on maps that are kept: its epochs cost next to nothing.
_PROBE_EPOCHS = 20
# Of what is learned from a teacher, as in the comparison of Tian, Krishnan and Isola 2020 (arXiv 1910.10699);
# benchmarks/distillation.py --search measures others.
TEACHER_WEIGHT, TEMPERATURE = 0.9, 4.0
HEAD_RATE = 3e-3


class Described(Protocol):
    """What the defaults need to know of data, decoded or not."""

    @property
    def classes(self) -> dict[str, tuple[str, ...]]: ...
    @property
    def kinds(self) -> dict[str, str]: ...
    @property
    def form(self) -> Form: ...
    @property
    def natural(self) -> Form | None: ...
    @property
    def pictures(self) -> int: ...


def complete_for(recipe: recipes.Recipe, data: Described) -> recipes.Recipe:
    """The recipe with every default that depends on these data written out, as of `complete`."""
    return complete(recipe, data.classes, data.form, kinds=data.kinds, natural=data.natural, pictures=data.pictures)


def complete(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], form: Form, *,
             kinds: dict[str, str] | None = None, natural: Form | None = None, pictures: int = 0) -> recipes.Recipe:
    """The recipe with every default that depends on the data written out.

    The task follows from the targets, whose `classes` and `kinds` are by name; all else from what is usual for that
    task and so many `pictures`, which have the form `natural` by themselves and are brought to `form`. What the recipe
    names stays. Raises UserError for settings that cannot go together.
    """
    full = {name: dict(section) for name, section in recipe.items()}
    choose_task(full, classes, kinds=kinds)
    section, learner = full["task"], full["learner"]
    entry, probe = task_class(section), learner["probe"]
    if probe:
        learner.setdefault("epochs", _PROBE_EPOCHS)
    usual = _settle_beginning(full, entry, _known(full, natural or form, pictures))
    full["pictures"]["fit"] = form.fit
    if form.values is not None:
        full["pictures"] |= {"bits": form.bits, "values": list(form.values)}
    if form.interpolation != "bilinear":    # what a recipe without it has
        full["pictures"]["interpolation"] = form.interpolation
    learner.setdefault("epochs", usual.epochs)
    learner.setdefault("average", usual.average)
    _settle_head_first(full, entry, usual)
    _settle_teacher(learner)
    full["loading"].setdefault("batch", usual.batch)
    if "optimizer" not in full:
        rate = HEAD_RATE if probe and usual.rate is None else usual.rate
        full["optimizer"] = named_entry("optimizer", {"name": OPTIMIZER} | ({} if rate is None else {"rate": rate}),
                                        trusted=True)
    if "augment" not in full:
        full["augment"] = recipes.settle({} if probe else dict(usual.augment), AUGMENTATIONS, "section [augment]")
    entry.forbids(section, full["augment"])
    _check(full["augment"], form)
    return {name: full[name] for name in SECTIONS if name in full}


def _settle_beginning(recipe: recipes.Recipe, entry: type[Task], known: Known) -> Usual:
    """Write out the backbone, and the weights that it begins with where the recipe says neither; -> what is usual then.

    A recipe that names a backbone alone begins from nothing, as it did before there were weights by default.
    """
    section, learner = recipe["task"], recipe["learner"]
    if "backbone" not in recipe and "weights" not in learner:
        usual = entry.usual(section, replace(known, pretrained=True))
        if usual.weights is not None:
            learner["weights"] = usual.weights
    usual = entry.usual(section, replace(known, pretrained=weights_named(recipe) is not None))
    if "backbone" not in recipe:
        if usual.size is not None:
            recipe["pictures"].setdefault("size", usual.size)
        recipe["backbone"] = named_entry("backbone", {"name": usual.backbone}, trusted=True)
    return usual


def usual_form(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], natural: Form, *, kinds: dict[str, str],
               pictures: int) -> Form:
    """The form that pictures which are `natural` by themselves are brought to where the recipe names no network: of the
    size, and resized in the way, that is usual for the one that it gets. The parameters are as of `complete`."""
    settings = recipe["pictures"]
    if "backbone" in recipe:    # `fit_to_weights` has asked for the way then
        return natural
    full = {name: dict(section) for name, section in recipe.items()}
    choose_task(full, classes, kinds=kinds)
    usual = _settle_beginning(full, task_class(full["task"]), _known(full, natural, pictures))
    height, width = natural.size if usual.size is None else (usual.size, usual.size)
    interpolation = interpolation_of(usual.backbone) if weights_named(full) is not None else None
    return replace(natural, height=height, width=width,
                   interpolation=settings.get("interpolation") or interpolation or "bilinear")


def _known(recipe: recipes.Recipe, natural: Form, pictures: int) -> Known:
    return Known(natural, pictures, recipe["learner"].get("epochs"), sized="size" in recipe["pictures"])


def _settle_head_first(recipe: recipes.Recipe, entry: type[Task], usual: Usual) -> None:
    """Write out whether the head learns first, and how the backbone is spared then. Raises UserError where the recipe
    asks for what cannot be."""
    learner = recipe["learner"]
    reasons = {"learner.probe trains the head alone": learner["probe"],
               "learner.unfreeze begins with the head alone too": "unfreeze" in learner,
               "learner.freeze=backbone trains the head alone": learner.get("freeze") == "backbone",
               f"task {recipe['task']['name']!r} has no head on the last map alone": not entry.on_last_map,
               "the network begins without weights that have learned": weights_named(recipe) is None}
    reason = next((text for text, holds in reasons.items() if holds), "")
    wanted = learner.get("head_first")
    if wanted and reason:
        raise UserError(f"learner.head_first={wanted} lets the head learn first, and {reason}: leave it out")
    learner["head_first"] = wanted if wanted is not None else (0 if reason else usual.head_first)
    if learner["head_first"] and wanted is None and "freeze" not in learner and usual.freeze is not None:
        learner["freeze"] = usual.freeze
    learner.setdefault("depth_decay", usual.depth_decay if learner["head_first"] else 1.0)


def _settle_teacher(learner: recipes.Section) -> None:
    """Write out how much is learned from a teacher. Raises UserError where there is none, and for a probe."""
    for name in ("teacher_weight", "temperature"):
        if name in learner and "teacher" not in learner:
            raise UserError(f"learner.{name}={learner[name]} is of what is learned from a teacher, and there is none: "
                            "give learner.teacher=RUN, or leave it out")
    if "teacher" not in learner:
        return
    if learner["probe"]:
        raise UserError("learner.probe learns from maps, and a teacher has to look at pictures: leave learner.teacher "
                        "or learner.probe out")
    learner.setdefault("teacher_weight", TEACHER_WEIGHT)
    learner.setdefault("temperature", TEMPERATURE)


def _check(augment: recipes.Section, form: Form) -> None:
    """Raises UserError for augmentations that pictures of this form cannot have."""
    if form.channels == 1:
        for name in ("saturation", "hue"):
            if augment[name]:
                raise UserError(f"augment.{name}={augment[name]} does nothing to gray pictures: leave it out")
    if augment["crop_padding"] >= min(form.size):
        raise UserError(f"augment.crop_padding={augment['crop_padding']} must be smaller than the pictures, "
                        f"{form.height} x {form.width}")
