"""The table of data sets: what every entry must be for a recipe to name it."""

import inspect
import typing

import pytest
from pydantic import TypeAdapter

from lensmith.data.formats import DATASETS
from lensmith.data.formats.drawn_shapes import shapes
from lensmith.data.sources.sample import Parts, Source


@pytest.mark.parametrize("name", DATASETS)
def test_every_setting_has_a_type_that_a_recipe_can_be_checked_against(name):
    hints = typing.get_type_hints(DATASETS[name])
    assert hints.pop("return") is Parts
    for setting, parameter in inspect.signature(DATASETS[name]).parameters.items():
        assert parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        adapter = TypeAdapter(hints[setting])
        assert parameter.default is parameter.empty or adapter.validate_python(parameter.default) == parameter.default


def test_the_sets_that_need_a_path_say_so_and_the_others_do_not():
    needs = {name for name, opens in DATASETS.items()
             if any(one.default is one.empty for one in inspect.signature(opens).parameters.values())}
    assert needs == {"folder", "table", "yolo", "coco", "voc", "labelme", "masks", "several"}


def test_a_source_gives_what_a_collection_must():
    part = shapes(24).splits["train"]
    asked = {name for protocol in Source.__mro__ for name in (*protocol.__dict__, *inspect.get_annotations(protocol))
             if not name.startswith("_") or name in ("__len__", "__getitem__")}
    assert asked == {"classes", "targets", "groups", "subset", "place", "shaped", "__len__", "__getitem__"}
    assert all(hasattr(part, name) for name in asked)
