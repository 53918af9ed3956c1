"""Whether a way to compute a run's answers gives those of float32."""

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from lensmith.ship.export.parity import parities
from lensmith.ship.runtimes.candidates import FLOAT32, Candidate
from lensmith.ship.runtimes.choice import Way
from lensmith.ship.runtimes.file_facts import OBJECTS_IN_FILES, FileFacts
from lensmith.values.value import Value

HELD_OUT = 32         # pictures that answers in other precisions than float32 are compared on
_TOLERANCE = 1e-4     # the fraction of the largest float32 answer by which another float32 one may differ
_AGREEMENT = 0.99     # the fraction of answers that have to be the same
_COMPARED = 8         # pictures that float32 is compared on


class SameAnswers:
    """Compares ways to compute with one in float32.

    In float32 an answer may differ by 1e-4 of the largest: a probability of the largest one, a corner of the picture's
    longer edge. In other precisions 99 % of the answers on 32 held-out pictures have to be the same.
    """

    def __init__(self, reference: Callable[[], Way], facts: FileFacts,
                 held_out: Callable[[], list[Tensor]] | None = None):
        """
        reference: opens the way that others are compared with.
        facts: the targets and the form of the pictures.
        held_out: reads the pictures that other precisions are compared on, none where there are none; without it, the
            reference being in the same precision, the pictures in use are.
        """
        self._reference, self.facts, self._held_out = reference, facts, held_out

    @cached_property
    def reference(self) -> Way:
        return self._reference()

    @cached_property
    def held_out(self) -> list[tuple[Tensor, dict[str, Value]]]:
        """Batches of pictures with their answers in float32."""
        assert self._held_out is not None
        return [(pictures, self.reference.answers(pictures)) for pictures in self._held_out()]

    @torch.inference_mode()
    def problem(self, candidate: Candidate, way: Way, pictures: Tensor) -> str:
        """Why the candidate's answers are not those of float32; empty where they are."""
        if candidate.precision == FLOAT32:
            return self._differs(way, pictures[:_COMPARED])
        few = pictures[:_COMPARED]
        compared = [(few, self.reference.answers(few))] if self._held_out is None else self.held_out
        if not compared:
            return f"there are no held-out pictures to compare its answers in {candidate.precision} on"
        found = parities(self.facts.targets)
        for pictures, expected in compared:
            answers = way.answers(pictures)
            for name, parity in found.items():
                parity.add(expected[name], answers[name])
        low = min(parity.agreement for parity in found.values())
        count = sum(len(pictures) for pictures, _ in compared)
        return "" if low >= _AGREEMENT else \
            f"{100 * low:.1f} % of its answers on {count} pictures are those that they are compared with"

    def _differs(self, way: Way, pictures: Tensor) -> str:
        expected, answers = self.reference.answers(pictures), way.answers(pictures)
        for name, parity in parities(self.facts.targets).items():
            parity.add(expected[name], answers[name])
            largest = _largest(expected[name], (pictures.shape[2], pictures.shape[3]))
            if not parity.largest <= _TOLERANCE * largest:
                return f"its answers differ from those of float32 by {parity.largest / largest:.1g} of the largest"
            if parity.agreement < _AGREEMENT:
                return f"only {100 * parity.agreement:.1f} % of its answers are those of float32"
        return ""


def _largest(expected: Value, size: tuple[int, int]) -> float:
    """The largest answer, in the unit in which `Parity.largest` has differences of this kind."""
    if expected.kind in OBJECTS_IN_FILES:
        return float(max(size))
    scores = getattr(expected, "scores", None)    # numbers have none, and their differences are fractions already
    return 1.0 if scores is None or not scores.numel() else max(float(scores.abs().amax()), 1e-6)
