"""What the parts of several tasks are, and what is settled of them before anything is built."""

import ast
from pathlib import Path

import pytest

from lensmith.base.errors import UserError
from lensmith.recipe.choose_task import choose_task, kinds_learned
from lensmith.recipe.sections import learned_targets, resolve
from lensmith.tasks import TASKS

CLASSES = {"species": ("cat", "dog"), "head": ("head",), "outline": ("ground", "pet")}
KINDS = {"species": "label", "head": "boxes", "outline": "mask"}


def test_a_section_is_completed_by_what_the_data_say():
    section = {"name": "multitask", "settings": {"outline": {"width": 4}}}
    task = choose_task({"task": section}, CLASSES, kinds=KINDS)
    assert section["parts"] == list(CLASSES) and section["kinds"] == KINDS
    assert section["settings"]["outline"]["width"] == 4 and section["settings"]["outline"]["network"] == "unet"
    assert task.tasks["outline"].width == 4
    again = choose_task({"task": section}, CLASSES)    # as a run folder's recipe has it
    assert again.needs == task.needs and again.tasks["outline"].width == 4
    assert kinds_learned({"task": section}, CLASSES) == ("label", "boxes", "mask")
    assert kinds_learned({"task": {"name": "detection"}}, {"boxes": ("a",)}) == ("boxes",)


def test_targets_under_names_of_their_own_are_learned_together_and_the_usual_ones_are_not():
    assert learned_targets({}, CLASSES) == ("species", "head", "outline")
    assert learned_targets({"task": {"parts": ["head"]}}, CLASSES) == ("head",)
    assert learned_targets({}, {"label": ("a",), "boxes": ("a",), "mask": ("a",)}) == ("label",)
    assert learned_targets({"task": {"name": "multitask"}}, {"label": ("a",), "mask": ("a",)}) == ("label", "mask")


def test_settings_that_only_several_tasks_have_name_the_task():
    settled = resolve({"data": {"name": "shapes"}, "task": {"parts": ["label", "mask"]}}, trusted=False)
    assert settled["task"] == {"name": "multitask", "parts": ["label", "mask"], "balance": "fixed"}


def test_settings_without_a_task_are_those_of_the_task_that_the_data_are_for():
    settled = resolve({"data": {"name": "shapes"}, "task": {"width": 8}}, trusted=False)
    assert settled["task"] == {"width": 8}
    task = choose_task(settled, {"mask": ("sky", "sea")})
    assert settled["task"]["name"] == "segmentation" and settled["task"]["width"] == 8 and task.width == 8
    settled = resolve({"data": {"name": "shapes"}, "task": {"width": 8}}, trusted=False)
    assert choose_task(settled, {"boxes": ("a",)}).score == "mAP50-95" and settled["task"]["width"] == 8
    with pytest.raises(UserError, match=r"^task\.width is a setting of detection, segmentation, instances, and these "
                                        r"data are for classification: leave it out, or name the task, as task\.name="):
        choose_task({"task": {"width": 8}}, {"label": ("a",)})
    with pytest.raises(UserError, match=r"^no task has a setting 'widht'\. Did you mean 'width'\? They have: anchors"):
        resolve({"data": {"name": "shapes"}, "task": {"widht": 8}}, trusted=False)
    with pytest.raises(UserError, match=r"^no task has a setting 'classes'\."):
        resolve({"data": {"name": "shapes"}, "task": {"classes": 8}}, trusted=False)


@pytest.mark.parametrize(("section", "kinds", "text"), [
    ({"kinds": {"head": "label"}}, KINDS, r"task\.kinds says that 'head' is 'label', and the data give 'boxes': leave"),
    ({}, KINDS | {"head": "sound"}, r"no task learns what 'head' is \(sound\): name other parts in task\.parts"),
    ({}, None, r"no task learns what 'species' is \(of no known kind\)"),
    ({"settings": {"head": {"wdth": 2}}}, KINDS, r"task\.settings\.head has no setting 'wdth'\. Did you mean 'width'"),
    ({"parts": ["heads"]}, KINDS, r"task\.parts names 'heads', which the data do not give\. Did you mean 'head'\?")])
def test_what_does_not_fit_the_data_is_told(section, kinds, text):
    with pytest.raises(UserError, match=text):
        choose_task({"task": {"name": "multitask", **section}}, CLASSES, kinds=kinds)


def test_the_recipe_names_no_task():
    """Neither as text nor as a class: what a task is like, it says of itself. What others call our tasks stands in
    aliases.py."""
    names = {*TASKS, *(entry.__name__ for entry in TASKS.values())}
    room = Path(__file__).parents[2] / "lensmith" / "recipe"
    paths = [path for path in sorted(room.glob("*.py")) if path.name != "aliases.py"]
    named = [f"{path.name} line {node.lineno}: {word}" for path in paths
             for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for word in names & set(_words(node))]
    assert not named, named


def _words(node: ast.AST) -> list[str]:
    """The names in a piece of code; of a text, what is a task's name alone."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.ImportFrom):
        return [*(node.module or "").split("."), *(alias.name for alias in node.names)]
    return [node.attr] if isinstance(node, ast.Attribute) else []
