"""The defaults of a recipe that depend on the data and the task, and which settings do not go together."""

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import AUGMENTATIONS
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.sections import OPTIMIZER, SECTIONS, named_entry, task_class

# A linear probe trains one dense layer on maps that are kept: its epochs cost next to nothing.
_PROBE_EPOCHS = 20
_PROBE_RATE = 3e-3


def complete(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], form: Form, *,
             kinds: dict[str, str] | None = None) -> recipes.Recipe:
    """The recipe with every default that depends on the data written out.

    The task follows from the targets, whose `classes` and `kinds` are by name; all else from what is usual for that
    task and pictures of this form. What the recipe names stays. Raises UserError for settings that cannot go together.
    """
    full = {name: dict(section) for name, section in recipe.items()}
    choose_task(full, classes, kinds=kinds)
    section, learner = full["task"], full["learner"]
    entry, probe = task_class(section), learner["probe"]
    if probe:
        learner.setdefault("epochs", _PROBE_EPOCHS)
    usual = entry.usual(section, form, epochs=learner.get("epochs"))
    if "backbone" not in full:
        full["backbone"] = named_entry("backbone", {"name": usual.backbone}, trusted=True)
    full["pictures"]["fit"] = form.fit
    learner.setdefault("epochs", usual.epochs)
    learner.setdefault("average", usual.average)
    full["loading"].setdefault("batch", usual.batch)
    if "optimizer" not in full:
        rate = _PROBE_RATE if probe and usual.rate is None else usual.rate
        full["optimizer"] = named_entry("optimizer", {"name": OPTIMIZER} | ({} if rate is None else {"rate": rate}),
                                        trusted=True)
    if "augment" not in full:
        full["augment"] = recipes.settle({} if probe else dict(usual.augment), AUGMENTATIONS, "section [augment]")
    entry.forbids(section, full["augment"])
    _check(full["augment"], form)
    return {name: full[name] for name in SECTIONS if name in full}


def _check(augment: recipes.Section, form: Form) -> None:
    """Raises UserError for augmentations that pictures of this form cannot have."""
    if form.channels == 1:
        for name in ("saturation", "hue"):
            if augment[name]:
                raise UserError(f"augment.{name}={augment[name]} does nothing to gray pictures: leave it out")
    if augment["crop_padding"] >= min(form.size):
        raise UserError(f"augment.crop_padding={augment['crop_padding']} must be smaller than the pictures, "
                        f"{form.height} x {form.width}")
