"""What the parts of several tasks are, and what is settled of them before anything is built."""

import pytest

from lensmith.base.errors import UserError
from lensmith.recipe.choose_task import kinds_learned, several
from lensmith.recipe.sections import learned, resolve

CLASSES = {"species": ("cat", "dog"), "head": ("head",), "outline": ("ground", "pet")}
KINDS = {"species": "label", "head": "boxes", "outline": "mask"}


def test_a_section_is_completed_by_what_the_data_say():
    section = {"name": "multitask", "settings": {"outline": {"width": 4}}}
    task = several(section, CLASSES, kinds=KINDS)
    assert section["parts"] == list(CLASSES) and section["kinds"] == KINDS
    assert section["settings"]["outline"]["width"] == 4 and section["settings"]["outline"]["network"] == "unet"
    assert task.tasks["outline"].width == 4
    again = several(section, CLASSES)    # as a run folder's recipe has it
    assert again.needs == task.needs and again.tasks["outline"].width == 4
    assert kinds_learned({"task": section}, CLASSES) == ("label", "boxes", "mask")
    assert kinds_learned({"task": {"name": "detection"}}, {"boxes": ("a",)}) == ("boxes",)


def test_targets_under_names_of_their_own_are_learned_together_and_the_usual_ones_are_not():
    assert learned({}, CLASSES) == ("species", "head", "outline")
    assert learned({"task": {"parts": ["head"]}}, CLASSES) == ("head",)
    assert learned({}, {"label": ("a",), "boxes": ("a",), "mask": ("a",)}) == ("label",)
    assert learned({"task": {"name": "multitask"}}, {"label": ("a",), "mask": ("a",)}) == ("label", "mask")


def test_settings_that_only_several_tasks_have_name_the_task():
    settled = resolve({"data": {"name": "shapes"}, "task": {"parts": ["label", "mask"]}}, trusted=False)
    assert settled["task"] == {"name": "multitask", "parts": ["label", "mask"], "balance": "fixed"}
    with pytest.raises(UserError, match=r"section \[task\] needs a name\. Known: "):
        resolve({"data": {"name": "shapes"}, "task": {"width": 8}}, trusted=False)


@pytest.mark.parametrize(("section", "kinds", "text"), [
    ({"kinds": {"head": "label"}}, KINDS, r"task\.kinds says that 'head' is 'label', and the data give 'boxes': leave"),
    ({}, KINDS | {"head": "sound"}, r"no task learns what 'head' is \(sound\): name other parts in task\.parts"),
    ({}, None, r"no task learns what 'species' is \(of no known kind\)"),
    ({"settings": {"head": {"wdth": 2}}}, KINDS, r"task\.settings\.head has no setting 'wdth'\. Did you mean 'width'"),
    ({"parts": ["heads"]}, KINDS, r"task\.parts names 'heads', which the data do not give\. Did you mean 'head'\?")])
def test_what_does_not_fit_the_data_is_told(section, kinds, text):
    with pytest.raises(UserError, match=text):
        several({"name": "multitask", **section}, CLASSES, kinds=kinds)
