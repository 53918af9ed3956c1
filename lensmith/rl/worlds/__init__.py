"""The table of worlds, and how a name in a recipe becomes one."""

import re
from collections.abc import Callable

from lensmith.base.errors import nearest
from lensmith.rl.worlds.bricks import bricks
from lensmith.rl.worlds.catch import catch
from lensmith.rl.worlds.gymnasium_worlds import OWN_WORLD, PREFIX, find_gymnasium, find_own
from lensmith.rl.worlds.maze import maze
from lensmith.rl.worlds.snake import snake
from lensmith.rl.worlds.world import World, WorldError

# Called as entry(copies, seed, **settings): the keyword parameters are the settings of the recipe's section [world].
WORLDS: dict[str, Callable[..., World]] = {
    "maze": maze,
    "catch": catch,
    "snake": snake,
    "bricks": bricks,
}


def find_world(name: str, *, trusted: bool) -> Callable[..., World]:
    """The entry that a name stands for, called as entry(copies, seed, **settings): one of WORLDS, `gym:NAME`,
    `my_world.py:World` or `package.module:World`.

    Code from outside runs only where it is trusted. Raises WorldError for what is unknown, absent or not trusted.
    """
    if name in WORLDS:
        return WORLDS[name]
    if name.startswith(PREFIX):
        return find_gymnasium(name.removeprefix(PREFIX), trusted=trusted)
    if ":" in name:
        return find_own(name, trusted=trusted)
    near = f" Did you mean '{PREFIX}{name}'?" if re.fullmatch(r".+-v\d+", name) else nearest(name, WORLDS)
    raise WorldError(f"unknown world {name!r}.{near} Known: {', '.join(sorted(WORLDS))}; {PREFIX}NAME is an "
                     f"environment of Gymnasium. {OWN_WORLD.example}")


def is_world(name: str) -> bool:
    """Whether a name can only be that of a world: one of WORLDS, `gym:NAME`, or `my_world.py:World`."""
    return name in WORLDS or name.startswith(PREFIX) or re.fullmatch(r".+\.py:\w+", name) is not None
