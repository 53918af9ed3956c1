"""The table of algorithms that learn to play."""

from collections.abc import Callable

from lensmith.rl.algorithms.algorithm import AlgorithmSettings
from lensmith.rl.algorithms.dqn import DqnSettings
from lensmith.rl.algorithms.ppo import PpoSettings, a2c
from lensmith.rl.algorithms.reinforce import ReinforceSettings

# The keyword parameters of each entry are the settings of the recipe's section [algorithm].
ALGORITHMS: dict[str, Callable[..., AlgorithmSettings]] = {
    "dqn": DqnSettings,
    "ppo": PpoSettings,
    "a2c": a2c,
    "reinforce": ReinforceSettings,
}
