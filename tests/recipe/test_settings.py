"""The settings of the plain sections: each with its comment, and a new one is one line."""

import inspect
import re
import tomllib
from dataclasses import dataclass, fields
from typing import Annotated

import pytest
from pydantic import Field

from lensmith.recipe import settings
from lensmith.recipe.sections import PLAIN
from lensmith.recipe.settings import LearnerSettings, SetSettings
from tests.conftest import Command

CLASSES = [one for _, one in inspect.getmembers(settings, inspect.isclass) if one.__module__ == settings.__name__]


@pytest.mark.parametrize("section", CLASSES, ids=lambda section: section.__name__)
def test_every_setting_has_a_line_with_its_comment(section: type):
    assert section in PLAIN.values() or section is SetSettings    # which every format of [data] has beside its own
    source = inspect.getsource(section)
    for field in fields(section):
        assert re.search(rf"^    {field.name}: .+ = .+ # [`\w]", source, re.MULTILINE), \
            f"{field.name} has no comment"


def test_a_new_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, command: Command):
    """It is accepted on the command line, checked, and written out, and nothing else knows it."""
    @dataclass(frozen=True, kw_only=True)
    class WithLookahead(LearnerSettings):
        """[learner]"""

        lookahead: Annotated[int, Field(ge=0)] = 5    # steps after which the weights are drawn back

    monkeypatch.setitem(PLAIN, "learner", WithLookahead)
    for given, wanted in (((), 5), (("learner.lookahead=7",), 7)):
        ended = command("train", "shapes", *given, "--dry-run")
        assert ended.code == 0, ended.err
        assert tomllib.loads(ended.out)["learner"]["lookahead"] == wanted
    ended = command("train", "shapes", "learner.lookahead=-1", "--dry-run")
    assert ended.code == 2 and "section [learner]: lookahead must be greater than or equal to 0; got -1" in ended.err
    ended = command("train", "shapes", "learner.lokahead=1", "--dry-run")
    assert "section [learner] has no setting 'lokahead'. Did you mean 'lookahead'?" in ended.err
