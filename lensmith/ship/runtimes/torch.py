"""The runtime `torch`: the network of a run folder as it was trained, with the plan and the rewrites of the run."""

from lensmith.ship.runtimes.runtime import Runtime

TORCH = Runtime("torch", (), ("float32", "bfloat16"), None)
