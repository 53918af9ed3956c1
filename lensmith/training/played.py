"""A network that has learned to play: what it does in a world, how well, and how that looks."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError
from lensmith.engine.plan.plan import Plan, plan_from_json
from lensmith.engine.run_folder import Run
from lensmith.models.weights import load_into
from lensmith.recipe.assemble_play import assemble_play, measuring_world
from lensmith.recipe.play_sections import play_recipe_of_run, plays
from lensmith.recipe.schema import Recipe
from lensmith.rl.algorithms.algorithm import Algorithm
from lensmith.rl.evaluate import Episodes, play_episodes
from lensmith.rl.exploration import sampled
from lensmith.rl.worlds.maze import maze_of
from lensmith.rl.worlds.world import Spaces, World
from lensmith.study.report.episode_pictures import policy_in_maze, write_gif, write_strip
from lensmith.tasks.metrics.intervals import bounds, resampled_rows

# The streams of the worlds that are measured in, beside 0, which chooses the best weights.
_TESTED, _SHOWN = 1, 2
_LONGEST = 2000    # pictures of a film


@dataclass(frozen=True)
class Player:
    """A network and the algorithm by which it chooses."""

    run: Run
    recipe: Recipe
    network: nn.Module
    algorithm: Algorithm
    plan: Plan
    spaces: Spaces
    trusted: bool

    @torch.no_grad()
    def act(self, observations: Tensor) -> Tensor:
        """int64 [copies]: the actions that it takes to be the best."""
        return self.algorithm.greedy(self.network, observations)

    def episodes(self, number: int, *, stream: int = _TESTED, frames: Collection[int] = (),
                 act: Callable[[Tensor], Tensor] | None = None) -> Episodes:
        """So many whole episodes from fresh beginnings, the same ones for each `stream`; played by `act`, by itself the
        network."""
        self.plan.settle()
        self.network.eval()
        world = measuring_world(self.recipe, number, stream=stream, trusted=self.trusted)
        return play_episodes(world, act or self.act, number, frames=frames, discount=self.algorithm.discount)

    def measure(self, number: int, *, films: Path | None = None) -> dict[str, Any]:
        """Return and length of so many fresh episodes, with 95 % intervals of their means by bootstrap, beside what
        playing at random scores. Into `films` go those of the best and the worst, and the policy in a maze."""
        played = self.episodes(number)
        by_chance = self.episodes(number, act=_at_random(self.spaces))
        world = measuring_world(self.recipe, 1, stream=_TESTED, trusted=self.trusted)
        measured: dict[str, Any] = {
            "return": played.mean_return, "length": played.mean_length, "count": number, "counted": "episode",
            "intervals": {"return": _interval(played.returns), "length": _interval(played.lengths)},
            "details": {"count": number},
            "baselines": {"return": {"answer": "playing at random", "score": by_chance.mean_return}}}
        if world.best is not None:
            measured["best_known"] = float(world.best)
        if films is not None:
            measured["films"] = self._films(played, films) + self._policy(world, films)
        return measured

    def _films(self, played: Episodes, folder: Path) -> list[dict[str, Any]]:
        """The best and the worst of the episodes, each as a film and as a strip of pictures."""
        ranked = sorted(range(len(played.returns)), key=lambda number: played.returns[number])
        chosen = {"best": ranked[-1], "worst": ranked[0]}
        again = self.episodes(len(played.returns), frames=set(chosen.values()))
        rows = []
        for name, number in chosen.items():
            frames = again.frames[number][:_LONGEST]
            strip, film = folder / f"episode-{name}.png", folder / f"episode-{name}.gif"
            write_strip(frames, strip)
            write_gif(frames, film)
            rows.append({"picture": f"pictures/{strip.name}", "film": f"pictures/{film.name}",
                         "words": f"the {name} of {len(played.returns)} episodes: return "
                                  f"{played.returns[number]:.4g} in {played.lengths[number]:,} steps"})
        return rows

    def _policy(self, world: World, folder: Path) -> list[dict[str, Any]]:
        """Of a maze what is done and expected in each of its cells."""
        maze = maze_of(world)
        seen = None if maze is None else maze.all_observations()
        if maze is None or seen is None or tuple(seen.shape[1:]) != self.spaces.shape:    # of several frames at once
            return []
        with torch.no_grad():
            actions, values = self.act(seen), self.algorithm.values(self.network, seen)
        path = folder / "policy.png"
        write_atomic(path, lambda aside: policy_in_maze(maze, actions, values).save(aside, "PNG"))
        return [{"picture": f"pictures/{path.name}",
                 "words": "what it does in each cell, and the discounted return that it expects there"}]

    def world(self) -> World:
        """One copy of the world, as it is shown."""
        return measuring_world(self.recipe, 1, stream=_SHOWN, trusted=self.trusted)

    def frames(self, episodes: int, *, act: Callable[[Tensor], Tensor] | None = None) -> Iterator[list[Tensor]]:
        """The pictures of each of so many episodes, uint8 [3, height, width] each, played by `act` as of `episodes`."""
        played = self.episodes(episodes, stream=_SHOWN, frames=range(episodes), act=act)
        for number in range(episodes):
            yield played.frames[number][:_LONGEST]


def _at_random(spaces: Spaces) -> Callable[[Tensor], Tensor]:
    """A player to whom all actions are alike."""
    moments = iter(range(1 << 62))

    def act(observations: Tensor) -> Tensor:
        equal = torch.zeros(len(observations), len(spaces.actions)).log_softmax(1)
        return sampled(equal, seed=0, moment=next(moments))

    return act


def _interval(values: tuple[float, ...] | tuple[int, ...]) -> list[float]:
    numbers = torch.tensor(values, dtype=torch.float64).numpy()
    means = [drawn @ numbers / len(numbers) for drawn in resampled_rows(len(numbers), 1)]
    return bounds(torch.cat([torch.from_numpy(part) for part in means]).numpy())


def load_player(folder: str | Path, *, trusted: bool = False) -> Player:
    """The player of a run folder with its best weights. Raises ModelError for a folder that is damaged, or of a run
    that learned from pictures."""
    run = Run.open(folder)
    if not plays(run.folder):
        raise ModelError(f"{run} learned from pictures, and plays nothing: lensmith predict {run} PICTURE")
    settled = play_recipe_of_run(run, trusted=trusted)
    settled["algorithm"] = {name: value for name, value in settled["algorithm"].items() if name != "mapped"}
    plan = plan_from_json(run.read_json("plan.json"))
    job = assemble_play(settled, trusted=trusted, resumed_plan=plan)
    load_into(job.learner.judged, run.read_best()["network"], what=f"{run.folder / 'best.safetensors'}")
    return Player(run, job.recipe, job.learner.judged.eval(), job.learner.algorithm, plan, job.spaces, trusted)
