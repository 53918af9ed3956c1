"""What the files of a run folder hold: types and bounds, checked before any of it is used.

A file may have further entries, as those of other versions have, and lack any that is not marked Required.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, NotRequired, Required

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # that of typing does for pydantic from Python 3.12 on

from lensmith.base.errors import in_short
from lensmith.base.pictures import Fit, Interpolation
from lensmith.engine.compare_schemas import CostFacts, SavedAnswers
from lensmith.engine.compress_schema import CompressFacts
from lensmith.engine.explained_schema import ExplainedFacts
from lensmith.engine.schema_types import EDGE, Count, Maybe, Number
from lensmith.engine.vitals_schema import VitalFacts

_WATCHED = 100                                    # layers that a run is watched in, at most


def _same_lengths(rows: list[list[Any]]) -> list[list[Any]]:
    if any(len(row) != len(rows) for row in rows):
        raise ValueError("must have as many columns as rows")
    return rows


def _same_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(row.keys() != rows[0].keys() or not isinstance(row.get("class"), str) for row in rows):
        raise ValueError("must be rows of the same columns, one of them class")
    if any(isinstance(value, str) for row in rows for name, value in row.items() if name != "class"):
        raise ValueError("must have numbers in every column but class")
    return rows


Matrix = Annotated[list[list[Count]], AfterValidator(_same_lengths)]
ClassTable = Annotated[list[dict[str, str | Maybe]], AfterValidator(_same_columns)]


class Histogram(TypedDict):
    low: Number
    high: Number
    counts: Annotated[list[Count], Field(min_length=1)]


def _wide(histogram: Histogram) -> Histogram:
    if histogram["low"] >= histogram["high"]:
        raise ValueError("must have a high above its low")
    return histogram


class BoxStatistics(TypedDict, total=False):
    pictures: Count
    boxes: Count
    crowd: Count
    background: Count
    per_class: dict[str, Count]
    sizes: dict[str, Count]
    width: Annotated[Histogram, AfterValidator(_wide)]
    height: Annotated[Histogram, AfterValidator(_wide)]
    area: Annotated[Histogram, AfterValidator(_wide)]
    centres: Matrix
    per_picture: Annotated[list[Count], Field(min_length=1)]


class PictureForm(TypedDict, total=False):
    channels: Required[Annotated[int, Field(ge=1, le=1024)]]
    height: Required[Annotated[int, Field(ge=1, le=EDGE)]]
    width: Required[Annotated[int, Field(ge=1, le=EDGE)]]
    fit: Required[Fit]
    bits: Required[Literal[8, 16]]
    interpolation: Interpolation
    values: Annotated[list[int], Field(min_length=2, max_length=2)] | None
    most_pixels: Annotated[int, Field(ge=1)]


class SplitCounts(TypedDict, total=False):
    count: Count
    per_class: dict[str, Count] | None


class RowsOfFile(TypedDict):
    """The rows of one file: `5-12 15` are the rows 5 to 12 and 15."""

    file: str
    rows: Annotated[str, Field(pattern=r"^(\d{1,15}(-\d{1,15})?( \d{1,15}(-\d{1,15})?)*)?$")]


class Dropped(TypedDict):
    file: str
    reason: str


class DataAccount(TypedDict, total=False):
    """data.json"""

    name: str | None
    reading: Count
    source: dict[str, Any] | None
    classes: dict[str, list[str]]
    form: PictureForm
    kept: str
    splits: dict[str, SplitCounts]
    fingerprint: str | None
    dropped: list[Dropped]
    notes: list[str]
    files: dict[str, list[str] | RowsOfFile]
    boxes: BoxStatistics


class RunFacts(TypedDict, total=False):
    """run.json"""

    name: str | None
    understood: str | None
    command: str | None
    started: str | None
    finished: str | None
    seconds: Maybe
    status: str
    reason: str | None
    warning: str | None
    notes: list[str] | None
    epochs: Count | None
    planned_epochs: Count | None
    best_epoch: Count | None
    score_name: str | None
    score: Maybe
    version: str | None
    parameters: Count | None
    recipe: dict[str, dict[str, Any]]


class PlanTiming(TypedDict, total=False):
    threads: Count
    milliseconds: Maybe
    verdict: str


class PlanFacts(TypedDict, total=False):
    """plan.json; what a plan may be, `plan_from_json` says."""

    device: Required[str]
    precision: Required[str]
    layout: Required[str]
    threads: Required[Annotated[int, Field(ge=1, lt=2**31)]]
    compiled: bool
    rewrites: list[str]
    deterministic: bool
    source: str
    gains: dict[str, Maybe]
    timings: list[PlanTiming]


class Confused(TypedDict):
    truth: str
    predicted: str
    count: Count
    share: Maybe


class OwnMetric(TypedDict):
    shown: Literal["percent", "number"]
    better: Literal["more", "less"]
    problem: NotRequired[str]    # why it could not be measured


class Details(TypedDict, total=False):
    kind: str
    score: str
    count: Count
    parts: "dict[str, Details]"
    per_class: ClassTable
    most_confused: list[Confused]
    confusion: Matrix
    confusion_names: list[str]
    best_threshold: Maybe
    best_f1: Maybe
    curves: dict[str, list[Maybe] | dict[str, list[Maybe]]]
    scatter: dict[str, list[Annotated[list[Maybe], Field(min_length=2, max_length=2)]]]
    metrics: dict[str, OwnMetric]


class AnswerScore(TypedDict):
    answer: str
    score: Maybe


class WorstRow(TypedDict, total=False):
    picture: Required[str]
    file: Required[str]
    target: Required[str]
    kind: str
    truth: Required[str]
    predicted: Required[str]
    score: Required[Number]


class PlayedRow(TypedDict, total=False):
    """Something to look at of what was played, in words; `film` is there where it moves."""

    picture: Required[str]
    words: Required[str]
    film: str


class Measured(TypedDict, total=False):
    """A split in metrics.json; its other entries are the metrics by name."""

    count: Count
    counted: Annotated[str, Field(max_length=_WATCHED)]    # what was counted, where it is not pictures
    loss: Maybe
    intervals: dict[str, Annotated[list[Maybe], Field(min_length=2, max_length=2)] | None]
    details: Details
    baselines: dict[str, AnswerScore]
    worst: list[WorstRow]
    films: list[PlayedRow]
    best_known: Maybe    # the best mean return that is known to be possible


class WeightsFacts(TypedDict, total=False):
    """weights.json"""

    notes: list[str]
    tensors: list[dict[str, str]]


class TeacherFacts(TypedDict, total=False):
    """teacher.json"""

    run: str
    fingerprint: Required[str]


Epoch = Annotated[float, Field(ge=0, le=1e9)]
# A row of the history; its other entries are numbers too.
HistoryRow = TypedDict("HistoryRow", {"epoch": Epoch, "step": Annotated[float, Field(ge=0, le=1e15)], "score": float,
                                      "train/loss": float})


class BestRow(TypedDict):
    epoch: Epoch


class AboutModel(TypedDict, total=False):
    """What best.safetensors says of itself, so that it can be used alone."""

    version: Required[str]
    recipe: Required[dict[str, dict[str, Any]]]
    data: Required[DataAccount]
    plan: Required[PlanFacts]
    files: Annotated[dict[str, Annotated[str, Field(max_length=1 << 20)]], Field(max_length=4)]
    score_name: str


class SavedBest(TypedDict):
    """best.safetensors"""

    network: dict[str, Any]
    row: BestRow
    score: float
    model: NotRequired[AboutModel]
    scores: NotRequired[dict[str, dict[str, Any]]]    # by split, once the run has ended


class SavedLast(TypedDict):
    """last.safetensors; what its learner holds is the learner's own."""

    learner: dict[str, Any]
    history: list[HistoryRow]
    seconds: Annotated[float, Field(ge=0, le=1e100)]


class StepperState(TypedDict, total=False):
    done: Required[Count]
    moments: Required[dict[str, dict[str, Any]]]
    average: dict[str, Any]
    scale: Annotated[list[Annotated[float, Field(gt=0, le=1e100)] | Count], Field(min_length=2, max_length=2)]


class SupervisedState(TypedDict, total=False):
    network: Required[dict[str, Any]]
    stepper: Required[StepperState]
    epoch: Required[Count]
    position: Required[Count]    # batches of the epoch
    seen: Required[Count]        # pictures of the epoch
    sums: Required[dict[str, float]]
    pieces: Annotated[int, Field(ge=1, lt=2**31)]


class PlayingState(TypedDict):
    network: dict[str, Any]
    stepper: StepperState
    algorithm: dict[str, Any]
    world: dict[str, Any]
    moment: Count                # steps of each copy
    epoch: Count
    returns: Any                 # tensors, one number a copy
    lengths: Any
    loss: float
    sums: dict[str, float]


# By the file, or the part of it; under a key without a suffix the check of entries whose names are not known before.
_SCHEMAS: dict[str, Any] = {
    "data.json": DataAccount, "run.json": RunFacts, "plan.json": PlanFacts, "weights.json": WeightsFacts,
    "vitals.json": VitalFacts, "teacher.json": TeacherFacts, "cost.json": CostFacts, "compress.json": CompressFacts,
    "explained/explanations.json": ExplainedFacts,
    "environment.json": dict[str, Any], "best.safetensors": SavedBest, "last.safetensors": SavedLast,
    "answers.safetensors": SavedAnswers,
    "supervised learner": SupervisedState, "playing learner": PlayingState,
    "metrics.json": dict[str, Measured], "metrics": dict[str, dict[str, str | Maybe]],
    "history": list[dict[str, float]]}


def problem_with(name: str, content: Any) -> str:
    """What is wrong with the content of a run folder's file, in words; empty where it may be used."""
    try:
        _adapter(name).validate_python(content, strict=True)
        if name == "metrics.json":
            others = {split: _others(measured) for split, measured in content.items()}
            _adapter("metrics").validate_python(others, strict=True)
        if name == "last.safetensors":
            _adapter("history").validate_python(content["history"], strict=True)
        return ""
    except ValidationError as error:
        return wrong_in(error)
    except RecursionError:
        return "it is nested too deep"


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    """Made when a file is read: all of them take as long as reading a hundred."""
    return TypeAdapter(_SCHEMAS[name])


def wrong_in(error: ValidationError) -> str:
    """What pydantic found wrong, in one line: where it stands, what is accepted, what came. Of several kinds that a
    value may be of it is the one that fits furthest."""
    first = max(error.errors(include_url=False), key=lambda problem: len(problem["loc"]))
    where = ".".join(map(str, first["loc"])) or "all of it"
    if first["type"] == "missing":
        return f"{where} is missing"
    message = first["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
    return f"{where} {message}; got {in_short(first['input'])}"


def _others(measured: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a split by name, without what describes them."""
    return {name: value for name, value in measured.items() if name not in Measured.__annotations__}
