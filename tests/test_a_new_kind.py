"""What one touches to add a kind of value, shown by one that is added from outside: an angle."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import lensmith
from lensmith.data.sources.kinds import TARGETS
from lensmith.data.sources.kinds.target_kind import TargetKind, spread_rows
from lensmith.data.sources.sample import Collection
from lensmith.models.backbone import Backbone
from lensmith.ship.answers import ANSWERS
from lensmith.ship.answers.answer import Answer
from lensmith.ship.predict.write_files import write_predictions
from lensmith.study.report.errors import ERRORS
from lensmith.study.report.errors.error_kind import ErrorKind
from lensmith.tasks import TASKS
from lensmith.tasks.multitask import OF_KIND
from lensmith.tasks.task import Task
from lensmith.tasks.usual_settings import Known, Usual, usual_beginning
from lensmith.values import KINDS
from lensmith.values.labels import Label
from lensmith.values.value import Value

PACKAGE = Path(__file__).parents[1] / "lensmith"
SIZE, COUNT = 16, 48
# What a kind without an entry has here is right for an angle: names that the data set lists, and a value for a picture.
WITHOUT_ENTRY = {"data/formats/python_objects.py: _NAMES", "tasks/metrics/own.py: _FIELDS",
                 "tasks/metrics/by_picture/__init__.py: BY_PICTURE",
                 "ship/export/in_graph.py: _TENSORS", "ship/export/parity.py: _ANSWERS",
                 "ship/export/fit_in_graph.py: TAKEN", "ship/export/fit_in_graph.py: GIVEN",
                 "ship/runtimes/foreign_file.py: _FROM_LOGITS",
                 "ship/runtimes/named_tensors.py: _AXES", "ship/runtimes/named_tensors.py: _OF_PICTURES",
                 "ship/runtimes/file_facts.py: _SCORES", "study/check/contradictions.py: _NUMBERS",
                 "study/check/labels/held_out.py: _KEEP", "study/explain/answers.py: EXPLAINED"}


@dataclass(frozen=True)
class Angle(Value):
    """How a line lies, one a picture."""

    kind: ClassVar[str] = "angle"

    degrees: Tensor    # float32 [1], from 0 up to 180; NaN where not known

    def flip(self, width: int) -> Self:
        return replace(self, degrees=(180 - self.degrees) % 180)

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        return {"angle": round(float(self.degrees), 3)}


def double_angle(degrees: Tensor) -> Tensor:
    """float [n, 2]: a direction that is the same for both ends of a line."""
    turned = torch.deg2rad(2 * degrees[:, 0])
    return torch.stack((turned.cos(), turned.sin()), 1)


class Angles:
    """The task: the head gives the cosine and sine of twice the angle."""

    needs: tuple[str, ...] = ("angle",)
    score: str = "agreement"
    on_last_map = True
    of_kinds: Mapping[str, type[Task]] | None = None
    objects: tuple[str, ...] = ()
    overlap: float | None = None
    window: list[int] | None = None
    kept_per_pixel = 0

    def __init__(self, classes: tuple[str, ...], *, targets: Value | None = None):
        self.classes = classes

    def head(self, backbone: Backbone) -> nn.Module:
        return backbone.numbers(2)

    def loss(self, output: Tensor, targets: dict[str, Value]) -> dict[str, Tensor]:
        truth = targets["angle"]
        assert isinstance(truth, Angle)
        known = ~truth.degrees[:, 0].isnan()
        missed = (output - double_angle(truth.degrees.nan_to_num())).square().sum(1)
        return {"angle": (missed * known).sum() / known.sum().clamp(min=1)}

    def decode(self, output: Tensor) -> dict[str, Value]:
        cosine, sine = output.float().unbind(1)
        return {"angle": Angle(torch.rad2deg(torch.atan2(sine, cosine))[:, None] / 2 % 180)}

    def evidence(self, output: Tensor, index: int, of: Mapping[str, Value] | None = None) -> Tensor:
        return output[:, index]

    def class_logits(self, output: Tensor) -> dict[str, Tensor]:
        return {}

    def metrics(self) -> "AngleMetrics":
        return AngleMetrics()

    def with_thresholds(self, threshold: float | None, overlap: float | None) -> Self:
        return copy(self)

    def scoring_layers(self, network: nn.Module) -> list[tuple[nn.Module, int]]:
        return []

    def notes(self, augment: Mapping[str, Any]) -> list[str]:
        return []

    @staticmethod
    def usual(section: Mapping[str, Any], known: Known) -> Usual:
        return usual_beginning(known)

    @staticmethod
    def forbids(section: Mapping[str, Any], augment: Mapping[str, Any]) -> None:
        """Nothing."""


class AngleMetrics:
    """The mean cosine of twice the difference of the angles: 1 where they agree, -1 where the lines cross squarely."""

    def __init__(self) -> None:
        self.sums = torch.zeros(2, dtype=torch.float64)    # of the cosines, of the pictures

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int = 0) -> None:
        truth, predicted = targets["angle"], predictions["angle"]
        assert isinstance(truth, Angle) and isinstance(predicted, Angle)
        known = ~truth.degrees[:, 0].isnan()
        cosines = (double_angle(truth.degrees) * double_angle(predicted.degrees)).sum(1)[known]
        self.sums += torch.stack((cosines.double().sum(), known.sum().double()))

    def state(self) -> dict[str, Tensor]:
        return {"sums": self.sums}

    def merge(self, state: dict[str, Tensor]) -> None:
        self.sums += state["sums"]

    def result(self) -> dict[str, Any]:
        total, count = self.sums.tolist()
        return {"agreement": total / count, "details": {"count": int(count)}}


def spread(angle: Angle, rows: np.ndarray, headers: Sequence[Any], classes: int) -> Angle:
    return Angle(spread_rows(angle.degrees, rows, len(headers), torch.nan))


def known(source: Collection, target: str) -> np.ndarray:
    angle = source.targets[target]
    assert isinstance(angle, Angle)
    return np.asarray((~angle.degrees[:, 0].isnan()).numpy())


def in_words(angle: Angle, names: Sequence[str], k: int = 1) -> str:
    return f"{float(angle.degrees):.0f} degrees"


def how_wrong(truth: Angle, predicted: Angle, pictures: int, classes: int) -> Tensor:
    apart = (truth.degrees - predicted.degrees).abs() % 180
    return torch.minimum(apart, 180 - apart)


# The table of each floor, and what it has to know of an angle.
ENTRIES: dict[str, tuple[dict[str, Any], Any]] = {
    "values/__init__.py: KINDS": (KINDS, Angle),
    "data/sources/kinds/__init__.py: TARGETS": (TARGETS, TargetKind(spread, known)),
    "tasks/multitask.py: OF_KIND": (OF_KIND, Angles),
    "ship/answers/__init__.py: ANSWERS": (ANSWERS, Answer(
        in_words, lambda angle, names, top: angle.as_json(names),
        lambda angle, names, top, target: {target or "angle": round(float(angle.degrees), 3)})),
    "study/report/errors/__init__.py: ERRORS": (ERRORS, ErrorKind(
        how_wrong, lambda truth, predicted, names: (in_words(truth, names), in_words(predicted, names)),
        "Where an angle was furthest off.", score="{:.0f} degrees off")),
}


class Lines:
    """A data set of a user's own: bright or dark lines with their angles; of every fifth the angle is not known."""

    def __init__(self, names: Mapping[str, str]):
        """`names`: kind of target -> the name that the target has."""
        self.names = names
        self.classes = {names[kind]: classes for kind, classes in (("label", ("dark", "bright")), ("angle", ("tilt",)))
                        if kind in names}
        random = np.random.default_rng(0)
        self.degrees, self.bright = random.uniform(0, 180, COUNT), random.integers(0, 2, COUNT)

    def __len__(self) -> int:
        return COUNT

    def picture(self, i: int) -> np.ndarray:
        y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
        turned = np.deg2rad(self.degrees[i])
        distance = np.abs(x * np.sin(turned) + y * np.cos(turned))
        return np.where(distance < 1.5, 255 if self.bright[i] else 120, 0).astype(np.uint8)

    def __getitem__(self, i: int) -> tuple[np.ndarray, dict[str, Value]]:
        degrees = torch.tensor([self.degrees[i]], dtype=torch.float32)
        targets: dict[str, Value] = {"label": Label(torch.tensor(int(self.bright[i]))), "angle": Angle(degrees)}
        if len(self.names) > 1 and i % 5 == 0:
            targets["angle"] = Angle(torch.full_like(degrees, torch.nan))
        return self.picture(i), {name: targets[kind] for kind, name in self.names.items()}


@pytest.fixture(autouse=True)
def angle_in_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, entry in ENTRIES.values():
        monkeypatch.setitem(table, "angle", entry)
    monkeypatch.setitem(TASKS, "angles", Angles)


def train(names: Mapping[str, str], folder: Path) -> Any:
    return lensmith.train(Lines(names), backbone="lenet", epochs=2, batch=16, rate=3e-3, device="cpu", runs=folder,
                          settings={"plan.mode": "exact", "plan.threads": 1, "augment.flip": True})


def test_a_new_kind_is_its_value_and_an_entry_in_the_table_of_each_floor():
    """One touches, for a kind of value:

    - values/__init__.py: KINDS, and its class in a file of `values/`: how it is flipped, warped, blended, renumbered
    - data/sources/kinds/__init__.py: TARGETS, and a file: unknown, known, counted, divided by, brought to the form
    - data/formats/python_objects.py: _NAMES, only where its classes can be told without the data set naming them
    - tasks/multitask.py: OF_KIND, and its task, head and metrics, as for any task
    - tasks/metrics/own.py: _FIELDS, only where a metric of a user's own gets one tensor instead of a value a picture
    - tasks/metrics/by_picture/__init__.py: BY_PICTURE, and a file, only where runs are compared by pictures
    - ship/export/in_graph.py: _TENSORS, only where it is to leave in a file: the tensors that it is there
    - ship/export/fit_in_graph.py: TAKEN, only where it says where something is: what is brought into a picture's pixels
    - ship/export/fit_in_graph.py: GIVEN, only where it says where something is: what comes out of that
    - ship/export/parity.py: _ANSWERS, only where it is to leave in a file: what is compared
    - ship/runtimes/named_tensors.py: _AXES, only where it is to leave in a file: the axes of these tensors
    - ship/runtimes/named_tensors.py: _OF_PICTURES, only where it is to leave in a file: the value that they are
    - ship/runtimes/foreign_file.py: _FROM_LOGITS, only where files of others may give it
    - ship/runtimes/file_facts.py: _SCORES, only where it is to leave in a file: the output that errors are told by
    - study/check/contradictions.py: _NUMBERS, only where equal pictures may contradict each other in it
    - study/check/labels/held_out.py: _KEEP, only where annotations of it are to be doubted by what a run says
    - ship/answers/__init__.py: ANSWERS, and a file: in words, JSON, table, drawn on the picture, files of its own
    - study/explain/answers.py: EXPLAINED, only where it is to be explained: which answers of it
    - study/report/errors/__init__.py: ERRORS, and a file: how wrong, in words, drawn

    and a format that gives it, as any format.
    """
    listed = re.findall(r"^ *- (\S+: \w+)", str(test_a_new_kind_is_its_value_and_an_entry_in_the_table_of_each_floor.
                                                __doc__), re.MULTILINE)
    assert sorted(listed) == sorted(tables_by_kind()) == sorted({*ENTRIES, *WITHOUT_ENTRY})
    for place, (table, _) in ENTRIES.items():
        assert set(table) == set(KINDS), f"{place} has not every kind"
    assert {kind: value.kind for kind, value in KINDS.items()} == {kind: kind for kind in KINDS}


def tables_by_kind() -> list[str]:
    """Every table of the package whose keys are kinds, as `file: NAME`."""
    places = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
                keys = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                if len(keys & set(KINDS)) > 2:
                    target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
                    places.append(f"{path.relative_to(PACKAGE).as_posix()}: {ast.unparse(target)}")
    return places


def test_no_function_asks_a_value_for_several_kinds_in_turn():
    """What depends on the kind stands in a table; a function may ask for one class, to narrow a type or by an assert,
    and for one word."""
    classes = {value.__name__ for value in KINDS.values()} | {"MaskFiles", "OutlinedObjects"}
    for path in PACKAGE.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                asked, words = kinds_asked_for(function, classes)
                assert len(asked) < 2, f"{path}: {function.name} asks for {asked}: make it a function of each kind"
                assert len(words) < 2, f"{path}: {function.name} asks for {words}: make it a function of each kind"


def kinds_asked_for(function: ast.FunctionDef, classes: set[str]) -> tuple[set[str], set[str]]:
    """The classes of values that a function tells apart by isinstance, and the words to which it compares a `.kind`."""
    asserted = {id(node) for test in ast.walk(function) if isinstance(test, ast.Assert) for node in ast.walk(test)}
    asked, words = set[str](), set[str]()
    for node in ast.walk(function):
        if id(node) in asserted:
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            asked |= {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)} & classes
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute) and node.left.attr == "kind":
            words |= {str(word.value) for word in ast.walk(node) if isinstance(word, ast.Constant)} & set(KINDS)
    return asked, words


def test_the_guard_sees_a_chain():
    function = ast.parse("def f(value):\n    return isinstance(value, Label | Tags) or value.kind == 'mask'\n").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert kinds_asked_for(function, {"Label", "Tags"}) == ({"Label", "Tags"}, {"mask"})


def test_a_new_kind_is_learned_predicted_and_reported(tmp_path: Path):
    trained = train({"angle": "angle"}, tmp_path / "runs")
    assert trained.recipe["task"]["name"] == "angles" and -1 <= trained.metrics["valid"]["agreement"] <= 1
    picture = Lines({"angle": "angle"}).picture(0)
    Image.fromarray(picture).save(tmp_path / "line.png")
    found = trained.predict(tmp_path / "line.png")
    value = found[0].values["angle"]
    assert isinstance(value, Angle) and 0 <= float(value.degrees) < 180
    assert found[0].as_json() == {"file": str(tmp_path / "line.png"), **value.as_json(())}
    assert found[0].text() == in_words(value, ()) and found[0].row()["angle"] == found[0].as_json()["angle"]
    write_predictions(found, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"predictions.json", "predictions.csv",
                                                                    "00000-line.png"}
    worst = json.loads((trained.folder / "metrics.json").read_text())["valid"]["worst"]
    page = (trained.folder / "report.html").read_text()
    assert worst[0]["kind"] == "angle" and f"{worst[0]['score']:.0f} degrees off" in page
    assert ERRORS["angle"].note in page


def test_a_new_kind_is_learned_beside_others_where_some_pictures_lack_it(tmp_path: Path):
    trained = train({"label": "shade", "angle": "tilt"}, tmp_path / "runs")
    assert trained.recipe["task"]["kinds"] == {"shade": "label", "tilt": "angle"}
    assert {"shade/accuracy_top1", "tilt/agreement"} <= set(trained.metrics["valid"])
    counts = json.loads((trained.folder / "data.json").read_text())["splits"]
    unknown = sum(split["parts"]["tilt"]["unknown"] for split in counts.values())
    assert unknown == len(range(0, COUNT, 5)) and counts["train"]["parts"]["tilt"]["kind"] == "angle"
    found = trained.predict(Image.fromarray(Lines({"angle": "angle"}).picture(0)))[0]
    assert set(found.as_json()) == {"file", "shade", "tilt"} and "tilt: " in found.text()
    assert found.row()["tilt"] == found.as_json()["tilt"]["angle"]


def test_what_is_not_known_of_a_new_kind_is_filled_in():
    assert TARGETS["angle"].spread(Angle(torch.tensor([[30.0]])), np.array([1]), [None, None], 1).degrees.isnan(
        ).tolist() == [[True], [False]]
