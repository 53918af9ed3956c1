"""What is said of a fault that a run shows signs of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Diagnosis:
    """A fault that was found in a run. `sure` and `grave` are apart: overfitting may be certain and harmless."""

    measured: str    # the numbers that speak for it, a clause
    cause: str       # what is wrong, a clause
    mend: str        # what to do, a flag or a line of the user's file
    sure: float      # 0 .. 1
    grave: bool      # whether what the run has learned is of no use, or what it measured is not true
    settings: Mapping[str, Any] = field(default_factory=dict)    # {"section.key": value}: the mend, where it is one of
                                                                 # settings alone
    fault: str = ""  # its name in the table FAULTS, which fills it in

    def sentence(self) -> str:
        """`rate too high (90 % sure): the rate is beyond what this network can follow; measured: ... Mend: ...`"""
        return f"{self.fault} ({self.sure:.0%} sure): {self.cause}. Measured: {self.measured}. Mend: {self.mend}"

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"fault": self.fault, "sure": round(self.sure, 2), "grave": self.grave, "cause": self.cause,
                "measured": self.measured, "mend": self.mend, "settings": dict(self.settings)}
