"""What vitals.json holds, as `run_schemas` checks it."""

from typing import Annotated, Required

from pydantic import Field
from typing_extensions import TypedDict  # that of typing does for pydantic from Python 3.12 on

from lensmith.engine.schema_types import EDGE, Count, Maybe

_WATCHED = 100    # layers that a run is watched in, at most
Entries = Annotated[list[Maybe], Field(max_length=_WATCHED)]
Names = Annotated[list[str], Field(max_length=_WATCHED)]

# Width and height in pixels.
Extent = Annotated[list[Annotated[float, Field(ge=0, le=EDGE)]], Field(min_length=2, max_length=2)]


class WatchedLayer(TypedDict):
    name: str
    kind: str


class VitalRow(TypedDict, total=False):
    """What was read after a step; the lists have an entry for each name of `weights`, `activations` or `norms`."""

    step: Required[Count]
    epoch: Required[Count]
    loss: Maybe
    plain_loss: Maybe
    weights: Entries
    gradients: Entries
    updates: Entries
    silent: Entries
    spread: Entries
    norm_gaps: Entries


class VitalFacts(TypedDict, total=False):
    """vitals.json"""

    version: Count
    pictures: Count
    weights: Names
    activations: Annotated[list[WatchedLayer], Field(max_length=_WATCHED)]
    norms: Names
    frozen: Names
    unused: Names
    evaluating: Names
    decayed_norms: Names
    probabilities: bool
    strides: Annotated[list[Annotated[int, Field(ge=1, le=EDGE)]], Field(max_length=_WATCHED)]
    anchors: Annotated[list[Extent], Field(max_length=_WATCHED)]
    rows: Annotated[list[VitalRow], Field(max_length=10 * _WATCHED)]
    spent: Maybe    # seconds of the processor that all of it took since the run was last gone on with
    of: Maybe       # and of the whole process since then
    note: str
