"""Learning by playing, begun from a recipe, or gone on with from its run folder."""

from pathlib import Path

from lensmith.base.device import environment
from lensmith.base.errors import count
from lensmith.engine.distributed.process_group import ProcessGroup
from lensmith.engine.plan.plan import plan_from_json
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import restore
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble_play import AssembledPlay, assemble_play
from lensmith.recipe.choose_plan import check
from lensmith.recipe.from_source import anchored
from lensmith.recipe.open_data import Tell
from lensmith.recipe.play_sections import play_recipe_of_run, resolve_play
from lensmith.training.play_job import PlayJob
from lensmith.training.run_beginning import create_run, tell_other_machine
from lensmith.training.same_recipe import check_same_recipe
from lensmith.training.session import Session, now


def resolve_play_recipe(recipe: recipes.Recipe, *, trusted: bool) -> recipes.Recipe:
    """The recipe with every setting written out, those that the world decides too. Nothing is written."""
    settled = resolve_play(recipe, trusted=trusted)
    assembled = assemble_play(settled | {"plan": settled["plan"] | {"mode": "exact"}}, trusted=trusted)
    return assembled.recipe | {"plan": settled["plan"]}


def begin_play(recipe: recipes.Recipe, *, runs: Path, command: str, trusted: bool, tell: Tell) -> Session:
    """The session of a recipe of play, with its run folder made. The parameters are as of `begin_session`."""
    settled = anchored(resolve_play(recipe, trusted=trusted))
    check(settled["plan"])
    group = ProcessGroup()
    run = create_run(group, runs, name=settled["run"].get("name"), fallback=_label(settled))
    try:
        job = assemble_play(settled, trusted=trusted, folder=run.folder, process_group=group)
    except BaseException:
        run.abandon()
        raise
    in_words = understood_play(job)
    for line in (in_words, *job.notes):
        tell(line)
    _write_beginning(run, job)
    return Session(run, PlayJob(job, trusted), command, job.recipe, started=now(), understood=in_words)


def _label(recipe: recipes.Recipe) -> str:
    """`maze-dqn`, of `my_worlds.py:Field` `Field-dqn`."""
    return f"{recipe['world']['name'].rpartition(':')[2]}-{recipe['algorithm']['name']}"


def _write_beginning(run: Run, job: AssembledPlay) -> None:
    """Write what is known of a run before its first step; one that is killed here begins anew when it is resumed."""
    run.write("recipe.toml", recipes.as_toml(job.recipe))
    run.write_json("plan.json", job.choice.as_json())
    run.write_json("environment.json", environment())
    run.write_json("data.json", {"name": job.recipe["world"]["name"], "notes": list(job.notes)})


def resume_play(run: Run, *, trusted: bool, tell: Tell) -> Session:
    """The session of a run of play as its last checkpoint left it, with the same bits as if it had never been stopped;
    of a world that cannot give its state with a new episode, which a line says."""
    facts = run.facts("run.json")
    check_same_recipe(run, facts.get("recipe"), why="--resume goes on with a run as it was")
    recipe = play_recipe_of_run(run, trusted=trusted)
    run.lock(advice=f"wait until that has ended, or end it, then go on with lensmith train --resume {run}")
    run.remove_leftovers()
    begun, has_plan = (run.folder / "last.safetensors").exists(), run.has_begun
    plan = None
    if has_plan or begun:
        tell_other_machine(run, tell)
        plan = plan_from_json(run.read_json("plan.json"))
    job = assemble_play(recipe, trusted=trusted, folder=run.folder, resumed_plan=plan)
    in_words = facts.get("understood") or understood_play(job)
    kept = facts.get("recipe") or recipes.read_recipe(run.folder / "recipe.toml")
    session = Session(run, PlayJob(job, trusted), facts.get("command") or "", kept,
                      started=facts.get("started") or now(), notes=list(facts.get("notes") or []), understood=in_words)
    if begun:
        session.progress = restore(job.learner, run)
    elif not has_plan:
        _write_beginning(run, job)
    tell(f"{in_words}; {_goes_on(job, saved=begun)}")
    return session


def understood_play(job: AssembledPlay) -> str:
    """`maze: 4 actions (up, right, down, left), 25 numbers seen; dqn by dense layers of 64 and 64; 5,000 steps in 16
    copies`"""
    recipe, spaces, learner = job.recipe, job.spaces, job.learner
    seen = f"pictures of {spaces.shape[1]} x {spaces.shape[2]} pixels in {count(spaces.shape[0], 'channel')}" \
        if spaces.pictures else count(spaces.shape[0], "number")
    network = recipe["backbone"]["name"] if spaces.pictures else \
        f"dense layers of {' and '.join(map(str, recipe['learner']['widths']))}"
    return f"{recipe['world']['name']}: {count(len(spaces.actions), 'action')} ({', '.join(spaces.actions)}), " \
        f"{seen} seen; {recipe['algorithm']['name']} by {network}; {learner.settings.steps:,} steps in " \
        f"{count(learner.world.copies, 'copy')}"


def _goes_on(job: AssembledPlay, *, saved: bool) -> str:
    """What a resumed run goes on with: `goes on after 2,500 of 5,000 steps`."""
    if not saved:
        return "begins anew: it had not saved anything yet"
    return f"goes on after {job.learner.played:,} of {job.learner.steps:,} steps"
