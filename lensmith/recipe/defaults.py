"""What a recipe has where nothing is said, once the data are known, and which settings do not go together."""

from collections.abc import Sequence

from lensmith.base.errors import UserError
from lensmith.base.pictures import Form
from lensmith.data.batches.augment import Augment
from lensmith.recipe import schema as recipes
from lensmith.recipe.choose_task import choose_task, kinds_learned
from lensmith.recipe.sections import OPTIMIZER, SECTIONS, named_entry

_SMALL = 64     # pixels: up to this edge a plain stack of convolutions is the default, above it MobileNetV3
DETECTION = ("detection", "yolov3", "instances")    # tasks that look for objects


def complete(recipe: recipes.Recipe, classes: dict[str, tuple[str, ...]], form: Form, *,
             kinds: dict[str, str] | None = None) -> recipes.Recipe:
    """The recipe with what only the data can tell: the task by the targets, whose `kinds` are given where they may have
    names of their own, the backbone by the size of the pictures, the augmentation by their kind, each where none is
    named. Raises UserError for settings that cannot go together."""
    full = {name: dict(section) for name, section in recipe.items()}
    choose_task(full, classes, kinds=kinds)
    needs = kinds_learned(full, classes)
    objects = bool({"boxes", "masks"} & set(needs))
    if "backbone" not in full:
        name = "csp" if objects else "cnn3" if max(form.size) <= _SMALL else "mobilenet_v3_small"
        full["backbone"] = named_entry("backbone", {"name": name}, trusted=True)
    full["pictures"]["fit"] = form.fit
    probe = full["learner"]["probe"]
    if probe:    # a dense layer on maps that are there already: its steps cost next to nothing
        full["learner"].setdefault("epochs", 20)
    # Objects take more steps to learn than classes, at twice the rate, the weights averaged over the last fifty or so.
    for section, key, of_objects, other in (("learner", "epochs", 50, 10), ("learner", "average", 0.98, 0.0)):
        full[section].setdefault(key, of_objects if objects else other)
    full["loading"].setdefault("batch", 16 if objects or "mask" in needs else 64)
    if "optimizer" not in full:
        own = {"rate": 2e-3} if objects else {"rate": 3e-3} if probe else {}
        full["optimizer"] = named_entry("optimizer", {"name": OPTIMIZER, **own}, trusted=True)
    if "augment" not in full:
        full["augment"] = recipes.settle(_augmentation(full, form), Augment, "section [augment]",
                                         given=("seed", "classes", "length", "epochs"))
    _check(full, form, needs)
    return {name: full[name] for name in SECTIONS if name in full}


def _augmentation(recipe: recipes.Recipe, form: Form) -> recipes.Section:
    """What is done to the training pictures where the recipe does not say."""
    if recipe["learner"]["probe"]:
        return {}
    if recipe["task"]["name"] in DETECTION:
        colour = {"saturation": 0.5, "hue": 0.015} if form.channels == 3 else {}
        return {"flip": True, "mosaic": 1.0, "zoom": [0.5, 1.5], "brightness": 0.3, **colour,
                "close_mosaic": max(1, recipe["learner"]["epochs"] // 4)}
    # Colour pictures are photographs nearly always; gray ones are often digits or letters, which do not mirror.
    kinds = set(recipe["task"].get("kinds", {}).values())    # of several tasks
    placed = kinds & {"boxes", "mask", "masks"} and "numbers" not in kinds
    photographs = form.channels == 3 and (recipe["task"]["name"] == "classification" or kinds == {"label"})
    if form.channels == 3 and (recipe["task"]["name"] == "segmentation" or placed):
        return {"flip": True}
    return {"flip": True, "crop_padding": max(1, min(form.size) // 8)} if photographs else {}


def _check(recipe: recipes.Recipe, form: Form, needs: Sequence[str]) -> None:
    """Settings that are right by themselves and not together."""
    augment = recipe["augment"]
    if {"boxes", "masks"} & set(needs) and augment["cutmix"]:
        raise UserError(f"augment.cutmix={augment['cutmix']:g} hides objects whose boxes stay: use augment.mixup or "
                        "augment.mosaic where boxes are learned")
    if augment["mosaic"] and not set(needs) <= {"boxes", "masks"}:
        raise UserError(f"augment.mosaic={augment['mosaic']:g} puts four pictures together, which only objects "
                        f"can follow; task {recipe['task']['name']!r} learns {', '.join(dict.fromkeys(needs))}")
    if "mask" in needs and (augment["mixup"] or augment["cutmix"]):
        raise UserError("mixup and cutmix blend labels, tags and numbers; a mask target cannot be blended: set "
                        "augment.mixup=0 and augment.cutmix=0")
    if form.channels == 1:
        for name in ("saturation", "hue"):
            if augment[name]:
                raise UserError(f"augment.{name}={augment[name]} does nothing to gray pictures: leave it out")
    if augment["crop_padding"] >= min(form.size):
        raise UserError(f"augment.crop_padding={augment['crop_padding']} must be smaller than the pictures, "
                        f"{form.height} x {form.width}")
