"""What compress.json holds, as `run_schemas` checks it."""

from typing import Annotated, Any, Required

from pydantic import Field
from typing_extensions import TypedDict  # that of typing does for pydantic from Python 3.12 on

from lensmith.engine.schema_types import Maybe, Number

Count = Annotated[int, Field(ge=0, lt=2**63)]    # multiply-adds are many


class DifferenceFacts(TypedDict):
    value: Maybe
    low: Maybe
    high: Maybe


class LatencyFacts(TypedDict):
    p50: Number
    p95: Number


class RowFacts(TypedDict, total=False):
    """A row of the table in compress.json."""

    name: Required[str]
    place: str
    score: Maybe
    interval: Annotated[list[Number], Field(min_length=2, max_length=2)] | None
    difference: DifferenceFacts | None
    latency: dict[str, LatencyFacts]
    file: Count | None
    parameters: Count | None
    multiply_adds: Count | None
    memory: Count | None
    memory_in: dict[str, Count]
    outputs_differ: Maybe
    remarks: list[str]


class KeptFacts(TypedDict):
    layer: str
    channels: Count
    kept: Count


class Int8Facts(TypedDict, total=False):
    """How a form in INT8 was made."""

    layers: Count
    float32_layers: list[str]
    calibration: Count
    split: str
    difference: dict[str, DifferenceFacts]


class CompressFacts(TypedDict, total=False):
    """compress.json"""

    of: str
    asked: dict[str, Number]
    by: str
    reached: dict[str, Number]
    layers: list[KeptFacts]
    not_followed: list[str]
    tries: list[dict[str, Any]]
    split: str
    score: str
    int8: dict[str, Int8Facts]
    rows: Required[list[RowFacts]]
