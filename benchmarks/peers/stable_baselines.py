"""Stable-Baselines3 learns to play, in a process of its own: `python -m peers.stable_baselines '{"world": ...}'`.

The job says `world` (maze, catch, bricks: ours, one copy behind Gymnasium's interface; else an environment of
Gymnasium), `algorithm` (dqn or ppo), `steps`, `seed`, `settings` of the algorithm, and `episodes` to measure it by. The
last line of stdout is JSON: the processor seconds of learning, and the returns of the measured episodes.
"""

import json
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from lensmith.rl.worlds import WORLDS


class OneCopy(gymnasium.Env):    # type: ignore[type-arg]
    """A world of ours as Gymnasium has it."""

    def __init__(self, name: str, settings: dict[str, Any], seed: int):
        self.world = WORLDS[name](1, seed, **settings)
        spaces = self.world.spaces
        self.observation_space = gymnasium.spaces.Box(0, 255 if spaces.pictures else 1, spaces.shape,
                                                      np.uint8 if spaces.pictures else np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(spaces.actions))
        self.next: Any = None

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        shown = self.world.reset() if self.next is None else self.next
        return shown[0].numpy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        step = self.world.step(torch.tensor([int(action)]))
        self.next = step.observations
        return step.last[0].numpy(), float(step.rewards[0]), bool(step.ended[0]), bool(step.truncated[0]), {}


def made(job: dict[str, Any], seed: int, copies: int = 1) -> Any:
    def one() -> Any:
        if job["world"] in WORLDS:
            return OneCopy(job["world"], job.get("world_settings", {}), seed)
        return gymnasium.make(job["world"])

    return make_vec_env(one, n_envs=copies, seed=seed)


def main() -> None:
    job = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    kind: type[BaseAlgorithm] = {"dqn": DQN, "ppo": PPO}[job["algorithm"]]
    settings = dict(job["settings"])
    environment = made(job, job["seed"], settings.pop("copies", 1))
    learner = kind("MlpPolicy", environment, seed=job["seed"], device="cpu", **settings)
    began = time.process_time()
    learner.learn(total_timesteps=job["steps"])
    seconds = time.process_time() - began
    fresh, returns = made(job, job["seed"] + 1000), []
    for _ in range(job["episodes"]):
        observation, over, total = fresh.reset(), False, 0.0
        while not over:
            action, _ = learner.predict(observation, deterministic=True)
            observation, rewards, done, _ = fresh.step(action)
            total, over = total + float(rewards[0]), bool(done[0])
        returns.append(total)
    print(json.dumps({"seconds": seconds, "returns": returns}))


if __name__ == "__main__":
    main()
