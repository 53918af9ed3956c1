"""What explained/explanations.json of a run folder holds, as `run_schemas` checks it."""

from typing import Annotated, Any, Required

from pydantic import Field
from typing_extensions import TypedDict  # that of typing does for pydantic from Python 3.12 on

Epoch = Annotated[int, Field(ge=0, le=10**9)]
# `class` is no name that a class may have.
ExplanationRow = TypedDict("ExplanationRow", {
    "file": Required[str], "picture": Required[str], "answer": Required[str], "method": Required[str],
    "layers": list[str], "notes": str, "problem": str | None, "class": str, "covered": dict[str, Any] | None,
}, total=False)


class ExplainedFacts(TypedDict, total=False):
    """explained/explanations.json"""

    best_epoch: Epoch | None    # of the weights that were explained
    explanations: Required[list[ExplanationRow]]
