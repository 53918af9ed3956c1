"""A view of one's own is a function, a result, and a line of the table; and what every view has in common."""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lensmith.study.explain.views import VIEWS, check_views, settings_of_view, view_that_gives
from lensmith.study.explain.views.page import write_views
from lensmith.study.explain.views.view import Panel, View, ViewSubject

Sight = Callable[..., ViewSubject]


@dataclass(frozen=True)
class MeanColour:
    """The mean of the training pictures."""

    colour: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        return {"colour": list(self.colour)}

    def in_words(self) -> list[str]:
        return [f"the mean colour is {self.colour}"]


def mean_colour(subject: ViewSubject, *, lighter: int = 0) -> MeanColour:
    """The mean colour (Somebody 2026)."""
    return MeanColour(tuple(int(value) + lighter for value in subject.network.mean.flatten()))


def draw_mean_colour(found: MeanColour) -> list[Panel]:
    return [Panel("mean", Image.new("RGB", (40, 20), found.colour), "mean <colour>", ("A line & another.",))]


def test_a_view_from_outside(sight: Sight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(VIEWS, "mean_colour", View(mean_colour, MeanColour, draw_mean_colour, "nothing", "the mean"))
    check_views(["mean_colour"], {"lighter": 3}, pictures=False)
    assert settings_of_view("mean_colour") == {"lighter": 0} and view_that_gives(MeanColour) == "mean_colour"
    page = write_views("a run", {"mean_colour": mean_colour(sight(), lighter=3)}, tmp_path / "out", advice="elsewhere")
    assert json.loads((tmp_path / "out" / "views.json").read_text()) == {"mean_colour": {"colour": [123, 113, 103]}}
    with Image.open(tmp_path / "out" / "mean.png") as drawn:
        assert drawn.getpixel((5, 5)) == (123, 113, 103)
    text = page.read_text()
    assert "The mean. Somebody 2026." in text and "mean &lt;colour&gt;" in text and "A line &amp; another." in text


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_keeps_the_contract(name: str):
    view = VIEWS[name]
    assert is_dataclass(view.result) and fields(view.result) and view.look.__name__ == name
    assert view_that_gives(view.result) == name
    assert callable(view.result.as_json) and callable(view.result.in_words)
    parameters = list(inspect.signature(view.look).parameters.values())
    assert parameters[0].name == "subject" and all(one.kind is one.KEYWORD_ONLY for one in parameters[1:])
    # Each setting is explained where it is declared.
    assert all(f"\n    {one.name}: " in (view.look.__doc__ or "") for one in parameters[1:])
    docs = (Path(__file__).parents[4] / "docs" / "explain.md").read_text()
    assert f"| `{name}` | " in docs
    assert all(f"`{one}" in docs for one in settings_of_view(name))
