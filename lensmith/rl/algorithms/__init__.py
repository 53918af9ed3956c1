"""The table of algorithms that learn to play."""

from collections.abc import Callable

from lensmith.rl.algorithms.algorithm import AlgorithmSettings
from lensmith.rl.algorithms.dqn import DqnSettings

# The keyword parameters of each entry are the settings of the recipe's section [algorithm].
ALGORITHMS: dict[str, Callable[..., AlgorithmSettings]] = {
    "dqn": DqnSettings,
}
