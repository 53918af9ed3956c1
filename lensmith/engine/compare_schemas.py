"""What a run folder keeps so that runs can be compared: types and bounds of answers.safetensors and cost.json."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict  # that of typing does for pydantic from Python 3.12 on

from lensmith.engine.schema_types import Count


class KeptTarget(TypedDict):
    kind: str
    names: list[str]
    columns: dict[str, Any]    # what each may be, the kind's entry of BY_PICTURE says


class KeptSplit(TypedDict):
    count: Count
    folder: str
    files: Any
    targets: dict[str, KeptTarget]


class SavedAnswers(TypedDict):
    """answers.safetensors"""

    splits: dict[str, KeptSplit]


class CostFacts(TypedDict, total=False):
    """cost.json; what of it could not be measured is null"""

    multiply_adds: Count | None
    milliseconds: Annotated[float, Field(ge=0, le=1e9)] | None
    memory_bytes: Count | None
