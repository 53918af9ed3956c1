"""What a network that plays looks at: maps over the moments of an episode of what speaks for the action it takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import UserError, choose
from lensmith.base.pictures import to_pil
from lensmith.models.network import Network
from lensmith.study.explain.methods import METHODS
from lensmith.study.explain.overlay import with_map
from lensmith.study.explain.subject import Subject
from lensmith.study.report.episode_pictures import evenly, side_by_side
from lensmith.training.played import Player
from lensmith.values.drawing import draw_words

_MOMENTS = 6


@dataclass(frozen=True)
class Moment:
    """One step of an episode, explained."""

    step: int
    action: str
    picture: Image.Image    # what people see of the world, in gray, with the map over it


def explained_moments(player: Player, *, method: str = "saliency", number: int = _MOMENTS) -> list[Moment]:
    """So many moments of one episode, evenly from its first to its last, each with a map of what speaks for the action
    that is taken, against the mean of all actions.

    Raises UserError for a method that is none, or is made of the maps of layers, and where the world shows no pictures.
    """
    choose(METHODS, method, "method")
    if not player.spaces.pictures or not isinstance(player.network, Network):
        raise UserError(f"{player.run} sees {player.spaces.shape[0]} numbers and no pictures, on which there is "
                        "nothing to look at: the report says what it expects and does")
    if METHODS[method].of_maps:
        others = [name for name, each in METHODS.items() if not each.of_maps]
        raise UserError(f"{method} is made of the maps of layers, which small pictures hardly have: take "
                        f"{', '.join(others)}")
    seen = _episode(player)
    return [_explained(player, method, step, *seen[step]) for step in evenly(len(seen), number)]


def _episode(player: Player) -> list[tuple[Tensor, Tensor, int]]:
    """(observation, picture for people, action) of each step of an episode."""
    seen: list[tuple[Tensor, int]] = []

    def act(observations: Tensor) -> Tensor:
        actions = player.act(observations)
        seen.append((observations[0].clone(), int(actions[0])))
        return actions

    (frames,) = player.frames(1, act=act)
    return [(observation, frame, action) for (observation, action), frame in zip(seen, frames, strict=False)]


def _explained(player: Player, method: str, step: int, observation: Tensor, frame: Tensor, action: int) -> Moment:
    actions = len(player.spaces.actions)

    def evidence(output: Any) -> Tensor:
        scores: Tensor = output[:, :actions]    # of a policy the last column is the value
        return scores[:, action] - scores.mean(1)

    assert isinstance(player.network, Network)
    found = METHODS[method].explain(Subject(player.network, evidence, ()), observation.float()).float()
    large = F.interpolate(found[None, None], tuple(frame.shape[1:]), mode="nearest")[0, 0]
    shown = with_map(to_pil(frame), large)
    return Moment(step, player.spaces.actions[action], draw_words(shown, player.spaces.actions[action]))


def write_moments(found: list[Moment], path: Path) -> None:
    """The moments side by side as a PNG."""
    strip = side_by_side([moment.picture for moment in found], Image.Resampling.LANCZOS)
    write_atomic(path, lambda aside: strip.save(aside, "PNG"))
