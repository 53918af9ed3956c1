"""Recipes: TOML in and out, overrides, and settings checked against signatures."""

from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensmith.base.errors import UserError
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import PLAIN, SECTIONS, resolve


def entry(*, width: int, rate: float = 0.1, kind: Literal["max", "average"] = "max", sizes: list[int] | None = None,
          flip: bool = False, inputs: int = 3) -> None:
    """An entry of a table."""


def test_defaults_are_written_out_and_none_is_left_out():
    assert recipes.settle({"width": 2, "rate": 1}, entry, "net 'x'", passed=("inputs",)) == \
        {"width": 2, "rate": 1.0, "kind": "max", "flip": False}


@pytest.mark.parametrize(("section", "text"), [
    ({"widht": 3}, "net 'x' has no setting 'widht'. Did you mean 'width'? It has: flip, kind, rate, sizes, width."),
    ({"inputs": 3, "width": 1}, "net 'x' has no setting 'inputs'."),
    ({}, "net 'x' needs the setting 'width': give it as net.width=..."),
    ({"width": "8"}, "net 'x': width must be a whole number; got '8'"),
    ({"width": 8.5}, "net 'x': width must be a whole number; got 8.5"),
    ({"width": True}, "net 'x': width must be a whole number; got True"),
    ({"width": 1, "flip": 1}, "net 'x': flip must be true or false; got 1"),
    ({"width": 1, "kind": "min"}, "net 'x': kind must be 'max' or 'average'; got 'min'"),
    ({"width": 1, "sizes": 3}, "net 'x': sizes must be a list; got 3"),
    ({"width": 1, "rate": "fast"}, "net 'x': rate must be a number; got 'fast'")])
def test_what_does_not_fit_is_named(section, text):
    for function in (entry, partial(entry)):
        with pytest.raises(UserError) as raised:
            recipes.settle(section, function, "net 'x'", passed=("inputs",))
        assert text in str(raised.value)


def test_overrides_are_toml_or_bare_words():
    found = recipes.override({"learner": {"epochs": 1}}, ["learner.epochs=5", "data.name=mnist", "augment.flip=true",
                                                          "pictures.size=[3, 4]", "run.name='a b'"],
                             ("learner", "data", "augment", "pictures", "run"))
    assert found == {"learner": {"epochs": 5}, "data": {"name": "mnist"}, "augment": {"flip": True},
                     "pictures": {"size": [3, 4]}, "run": {"name": "a b"}}


@pytest.mark.parametrize(("item", "text"), [
    ("epochs=5", "a setting reads section.key=value, for example learner.epochs=10; got 'epochs=5'"),
    ("learner.epochs", "a setting reads section.key=value"),
    ("lerner.epochs=5", "unknown section 'lerner'. Did you mean 'learner'?")])
def test_wrong_overrides_are_refused(item, text):
    with pytest.raises(UserError) as raised:
        recipes.override({}, [item], ("learner", "data"))
    assert text in str(raised.value)


scalars = st.booleans() | st.integers(-2**60, 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@given(st.dictionaries(st.sampled_from(SECTIONS), st.dictionaries(st.text(min_size=1), scalars | st.lists(scalars),
                                                                  min_size=1), min_size=1))
def test_a_written_recipe_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory, recipe):
    path = tmp_path_factory.mktemp("recipe") / "one.toml"
    path.write_bytes(recipes.as_toml(recipe).encode())
    assert recipes.read_recipe(path) == recipe


@pytest.mark.parametrize(("content", "text"), [
    ("[learner\n", "is not valid TOML"), ("epochs = 3\n", "sets 'epochs' outside of a section"),
    (b"\xff\xfe", "cannot be read")])
def test_files_that_are_no_recipe(tmp_path: Path, content, text):
    path = tmp_path / "one.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=text):
        recipes.read_recipe(path)


def test_a_recipe_that_is_not_there(tmp_path: Path):
    (tmp_path / "fashion.toml").write_text("")
    with pytest.raises(UserError, match=r"there is no recipe .*fashon.toml. Did you mean 'fashion.toml'"):
        recipes.read_recipe(tmp_path / "fashon.toml")


def test_resolving_twice_changes_nothing():
    once = resolve({"data": {"name": "shapes"}, "backbone": {"name": "lenet"}, "augment": {"flip": True}},
                   trusted=False)
    assert resolve(once, trusted=False) == once
    assert once["learner"]["accumulate"] == 1 and once["schedule"]["name"] == "cosine"


def test_another_entry_does_not_inherit_the_default_entrys_settings():
    found = resolve({"data": {"name": "shapes"}, "schedule": {"name": "one_cycle"}}, trusted=False)["schedule"]
    assert "warmup" not in found and found["rise"] == 0.3


@pytest.mark.parametrize(("given_recipe", "text"), [
    ({}, "the recipe names no data"),
    ({"dta": {}}, "unknown section 'dta'. Did you mean 'data'?"),
    ({"data": {"path": "x"}}, "section [data] needs a name. Known: cifar10"),
    ({"data": {"name": "fashion-mist"}}, "unknown data set 'fashion-mist'. Did you mean 'fashion-mnist'?"),
    ({"data": {"name": 3}}, "section [data]: name must be text; got 3"),
    ({"data": {"name": "shapes"}, "backbone": {"name": "lennet"}}, "unknown backbone 'lennet'. Did you mean 'lenet'?"),
    ({"data": {"name": "shapes"}, "task": {"name": "clasification"}}, "Did you mean 'classification'?"),
    ({"data": {"name": "shapes"}, "optimizer": {"name": "addam"}}, "Did you mean 'adam'?"),
    ({"data": {"name": "shapes"}, "learner": {"epoch": 3}}, "section [learner] has no setting 'epoch'. Did you mean "
                                                            "'epochs'?"),
    ({"data": {"name": "shapes"}, "augment": {"seed": 3}}, "section [augment] has no setting 'seed'")])
def test_wrong_recipes_are_refused_in_words(given_recipe, text):
    with pytest.raises(UserError) as raised:
        resolve(given_recipe, trusted=False)
    assert text in str(raised.value)


def test_every_plain_section_has_only_settings_with_types_and_defaults():
    for section in PLAIN:
        assert isinstance(recipes.settle({}, PLAIN[section], section, passed=("splits",)), dict)
