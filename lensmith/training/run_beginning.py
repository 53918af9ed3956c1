"""What every run begins with: its folder, made or gone on with, and what has changed of the machine since."""

from pathlib import Path

from lensmith.base.device import environment
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.run_folder import Run
from lensmith.recipe.open_data import Tell

# The entries of environment.json on which the last bits of a training depend.
_BITS_DEPEND_ON = ("python", "platform", "processor", "packages")


def create_run(process_group: ProcessGroup, runs: Path, *, name: str | None, fallback: str) -> Run:
    """The run folder, made and locked by rank 0 and known to every rank."""
    made: list[Run] = []

    def make() -> str:
        made.append(Run.create(runs, name=name, fallback=fallback))
        return str(made[0])

    folder = process_group.broadcast_json(make)
    return made[0] if made else Run(Path(folder), writes=False)


def tell_other_machine(run: Run, tell: Tell) -> None:
    """Say what has changed of what the last bits depend on since the run began."""
    before, now_here = run.read_json("environment.json"), environment()
    changes = [f"{name} {before.get(name)} -> {now_here[name]}" for name in _BITS_DEPEND_ON
               if before.get(name) != now_here[name]]
    if changes:
        tell(f"the run began elsewhere ({'; '.join(changes)}): it goes on, but its last bits may differ")
