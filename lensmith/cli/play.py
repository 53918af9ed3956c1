"""The verb `play`: what a network has learned to do, shown in the terminal, or as a film."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lensmith.base.errors import UserError, count
from lensmith.cli.options import Trust
from lensmith.cli.terminal import show

if TYPE_CHECKING:
    from torch import Tensor

    from lensmith.training.played import Player

_COLUMNS = 60    # of a terminal that a picture takes


def play(
    run: Annotated[str, typer.Argument(help="The run folder of a run that has learned to play.")],
    episodes: Annotated[int, typer.Option(help="That are shown.", min=1, max=1000)] = 1,
    out: Annotated[Path | None, typer.Option(help="A film of them in the place of the terminal: a .gif file, or, with "
                                                  "lensmith[video], .mp4.")] = None,
    speed: Annotated[float, typer.Option(help="Steps a second.", min=0.1, max=1000)] = 8.0,
    human: Annotated[bool, typer.Option("--human", help="Play it yourself: keys for the actions are shown.")] = False,
    trust: Trust = False,
) -> None:
    """Show what a network has learned to play, in the terminal or as a film."""
    from lensmith.training.played import load_player

    player = load_player(run, trusted=trust)
    if human:
        _play_oneself(player)
        return
    if out is not None:
        _write_film(player, episodes, out, speed)
        return
    for number, frames in enumerate(player.frames(episodes), start=1):
        _show_film(frames, speed, f"episode {number} of {episodes}")


def _show_film(frames: "list[Tensor]", speed: float, title: str) -> None:
    """Show the pictures one after another in the same place of a terminal; where stdout is none, the last one alone."""
    from lensmith.rl.worlds.text_frame import text_frame

    colours = sys.stdout.isatty()
    if not colours:
        frames = frames[-1:]
    for number, frame in enumerate(frames):
        lines = text_frame(frame, columns=_COLUMNS, colours=colours)
        if number:
            sys.stdout.write(f"\x1b[{len(lines) + 1}A")
        sys.stdout.write("\n".join([title, *lines]) + "\n")
        sys.stdout.flush()
        if colours:
            time.sleep(1 / speed)


def _write_film(player: "Player", episodes: int, out: Path, speed: float) -> None:
    from lensmith.study.report.episode_pictures import write_film

    if out.suffix.lower() not in (".gif", ".mp4"):
        raise UserError(f"--out {out} is a film, .gif or .mp4: give it one of these suffixes")
    if out.exists():
        raise UserError(f"--out {out} is there already, and nothing of yours is written over: name another file")
    frames = [frame for film in player.frames(episodes) for frame in film]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_film(frames, out, rate=speed)
    show(f"film   {out} ({count(len(frames), 'picture')} of {count(episodes, 'episode')})")


def _play_oneself(player: "Player") -> None:
    """A person on the left and the network on the right, in the same world from the same beginning."""
    import torch

    from lensmith.rl.worlds.text_frame import text_frame

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("--human needs a terminal to be played in: leave it out, or give --out FILM.gif")
    yours, its = player.world(), player.world()
    yours.reset()
    seen, over, totals = its.reset(), [False, False], [0.0, 0.0]
    keys = _keys(yours.spaces.actions)
    show(f"keys: {', '.join(f'{key} {yours.spaces.actions[action]}' for key, action in keys.items())}; q ends")
    drawn = 0
    while True:
        pictures = [text_frame(world.frame(0), columns=_COLUMNS // 2) for world in (yours, its)]
        lines = [f"{left}  {right}" for left, right in zip(*pictures, strict=True)]
        title = f"you {totals[0]:.4g}{' (over)' * over[0]}    the network {totals[1]:.4g}{' (over)' * over[1]}"
        sys.stdout.write((f"\x1b[{drawn}A" if drawn else "") + "\n".join(["\x1b[K" + title, *lines]) + "\n")
        sys.stdout.flush()
        drawn = len(lines) + 1
        if all(over) or (key := _key()) == "q":
            return
        if key not in keys:
            continue
        for i, (world, action) in enumerate(((yours, keys[key]), (its, int(player.act(seen)[0])))):
            if not over[i]:
                step = world.step(torch.tensor([action]))
                totals[i] += float(step.rewards[0])
                over[i] = bool(step.ended[0] or step.truncated[0])
                seen = step.observations if i else seen


def _keys(actions: tuple[str, ...]) -> dict[str, int]:
    """The key of each action: w a s d of directions, else its number."""
    directions = {"up": "w", "left": "a", "down": "s", "right": "d"}
    return {directions.get(name) or str(number + 1): number for number, name in enumerate(actions)}


def _key() -> str:
    """The next key that is pressed."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        return sys.stdin.read(1)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
