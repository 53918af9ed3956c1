"""How long the threads of PyTorch's teams spin for each other before they sleep: to be said before it is loaded."""

import os
import sys

# Left alone, GNU's OpenMP spins for milliseconds. Where another program has taken a core, two threads then wait for
# each other most of the time: a small network's step took 47 ms with this and 320 ms without, on two cores that were
# three quarters taken. This many turns are some 20 microseconds, longer than it takes to begin the next operation.
SPINS = {"GOMP_SPINCOUNT": "1000"}
_OWN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")    # whoever has set one of them has decided
_told: list[str] = []


def be_patient() -> None:
    """Have threads sleep soon, where PyTorch is not loaded yet and the user's environment does not say otherwise."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _OWN):
        os.environ |= SPINS
        _told.extend(SPINS)


def leave_no_trace() -> None:
    """Call when PyTorch is loaded, which has read it: programs that are started from here decide for themselves."""
    while _told:
        os.environ.pop(_told.pop(), None)
