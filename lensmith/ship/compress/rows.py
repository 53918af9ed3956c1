"""What a compression cost and gained: one row for each form of the network."""

from dataclasses import dataclass, field
from typing import Any

from lensmith.base.device import multiplies_int8
from lensmith.ship.compress.paired import Difference
from lensmith.ship.runtimes.latency import Latency

ORIGINAL, PRUNED, INT8, BOTH = "original", "pruned", "INT8", "both"
_SLOWER = 0.97    # of the original's speed: what is less is called slower, and not a measurement's chance


@dataclass(frozen=True)
class CompressionRow:
    """One form of the network. What was not measured is None."""

    name: str                                    # ORIGINAL, PRUNED, INT8, or BOTH: pruned and in INT8
    place: str                                   # the run folder or the file
    score: float | None = None
    interval: tuple[float, float] | None = None            # of the score, 95 %
    difference: Difference | None = None                   # of the score to the first row's, on the same pictures
    latency: dict[str, Latency] = field(default_factory=dict)    # of one picture, by runtime
    file: int | None = None                                # bytes of the file that is used
    parameters: int | None = None
    multiply_adds: int | None = None                       # for one picture
    memory: int | None = None                  # bytes of weights and live tensors for one picture, in PyTorch
    memory_in: dict[str, int] = field(default_factory=dict)    # bytes that its file takes for one picture, by runtime
    outputs_differ: float | None = None                    # the largest difference to an answer of the first row
    remarks: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "place": self.place, "score": self.score,
                "interval": list(self.interval) if self.interval is not None else None,
                "difference": self.difference.as_json() if self.difference is not None else None,
                "latency": {name: latency.as_json() for name, latency in self.latency.items()},
                "file": self.file, "parameters": self.parameters, "multiply_adds": self.multiply_adds,
                "memory": self.memory, "memory_in": dict(self.memory_in), "outputs_differ": self.outputs_differ,
                "remarks": list(self.remarks)}


def remarks(row: CompressionRow, first: CompressionRow, *, lose: float | None = None) -> tuple[str, ...]:
    """What has to be said of a row beside the first one: where it is slower or its file no smaller, whether it lost
    more than `lose`, and whether the difference of the scores is more than chance."""
    said = []
    why = ": this processor has no instructions for INT8 (VNNI or AMX)" \
        if row.name in (INT8, BOTH) and not multiplies_int8() else ""
    for runtime, latency in row.latency.items():
        before = first.latency.get(runtime)
        if before is not None and before.p50 < _SLOWER * latency.p50:
            said.append(f"SLOWER in {runtime}, {1e3 * latency.p50:.2f} ms where {first.name} takes "
                        f"{1e3 * before.p50:.2f}{why}")
    if row.file is not None and first.file is not None and row.file >= first.file:
        said.append("its file is no smaller")
    if row.difference is not None:
        if lose is not None and -row.difference.value > lose:
            said.append(f"it loses {-row.difference.value:.4f}, more than the {lose:g} that were asked for")
        if row.difference.low is None:
            said.append("too few pictures to tell the difference of the scores from chance")
        elif not row.difference.beyond_noise:
            said.append("the difference of the scores is within chance")
    return tuple(said)
