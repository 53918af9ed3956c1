"""A training begun from a recipe, or gone on with from its run folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from lensmith.base.device import environment
from lensmith.base.errors import UserError
from lensmith.base.read_file import bounded_text
from lensmith.data.sources.findings import findings, findings_line
from lensmith.engine.plan.plan import plan_from_json
from lensmith.engine.run_folder import NETWORK_FILE, Run, check_free
from lensmith.engine.run_loop import restore
from lensmith.models.adapters.published_weights import fetch, is_download
from lensmith.recipe import schema as recipes
from lensmith.recipe.assemble import Assembled, assemble, check_assembled
from lensmith.recipe.choose_plan import check, connect_processes
from lensmith.recipe.defaults import complete_for
from lensmith.recipe.fit_epochs import Budget
from lensmith.recipe.from_source import anchored, check_brought, fit_to_weights
from lensmith.recipe.model_file import about_model
from lensmith.recipe.open_data import Tell, open_splits, silent, survey_splits
from lensmith.recipe.other_data import read_data
from lensmith.recipe.play_sections import is_play
from lensmith.recipe.run_recipe import keep_files, recipe_of_run
from lensmith.recipe.schema import BROUGHT
from lensmith.recipe.sections import resolve
from lensmith.recipe.teacher import check_same_teacher
from lensmith.recipe.user_metrics import check_metrics
from lensmith.training.own_network import advice_on, explained_errors
from lensmith.training.play_sessions import begin_play, resolve_play_recipe, resume_play
from lensmith.training.run_beginning import create_run, tell_other_machine
from lensmith.training.same_data import check_same_data
from lensmith.training.same_recipe import check_same_recipe
from lensmith.training.session import Session, now
from lensmith.training.supervised_job import SupervisedJob
from lensmith.training.understood import data_name, goes_on, listing_command, understood


@dataclass(frozen=True)
class Allowed:
    """What a caller allows a recipe beyond computing; by itself nothing of it."""

    network: bool = False      # the code that it names as its backbone, as `my_net.py:Net`, may run
    metrics: bool = False      # the code of `task.metrics` may run
    downloads: bool = False    # published weights that it names may be fetched


def resolve_recipe(recipe: recipes.Recipe, *, trusted: bool, trusted_metrics: bool = False,
                   runs: str | Path | None = None) -> recipes.Recipe:
    """The recipe with every setting written out, those that the pictures' headers decide too. No picture is decoded and
    nothing is written. What a training into `runs` would refuse before it decodes is refused."""
    if is_play(recipe):
        return resolve_play_recipe(recipe, trusted=trusted)
    check_brought(recipe, [])
    settled = resolve(fit_to_weights(recipe), trusted=trusted)
    check_metrics(settled, trusted=trusted_metrics)
    pictures = survey_splits(open_splits(settled), settled)
    full = complete_for(settled, pictures)
    check_assembled(full, pictures, trusted=trusted)
    if runs is not None and (name := settled["run"].get("name")) is not None:
        check_free(Path(runs), name)
    if "minutes" in full["learner"]:
        del full["learner"]["epochs"]    # which only a training tells
    return full


def begin_session(recipe: recipes.Recipe, *, runs: str | Path = "runs", command: str = "", data: Any = None,
                  module: nn.Module | None = None, allowed: Allowed | None = None, began: float | None = None,
                  tell: Tell = silent) -> Session:
    """The session of a recipe, with its run folder made and its data ready. What has a default may be left out.

    runs: the folder in which the run folder is made.
    command: what began the training, kept in run.json.
    data: the data of a Python caller by split, in the place of those that the recipe names.
    module: the backbone of a Python caller, in the place of the one that the recipe names.
    allowed: what the recipe may do beyond computing.
    began: when the time of learner.minutes began, by time.monotonic; None: now.
    tell: called with each line that is worth showing while the data are read.
    """
    allowed = allowed or Allowed()
    if is_play(recipe):
        return begin_play(recipe, runs=Path(runs), command=command, tell=tell, trusted=allowed.network)
    prepared_from = time.process_time() if began is None else 0.0    # a command's whole process is the run
    began = time.monotonic() if began is None else began
    objects = [section for section, value in (("data", data), ("backbone", module)) if value is not None]
    check_brought(recipe, objects)
    settled = resolve(fit_to_weights(recipe), trusted=allowed.network, brought=objects)
    check_metrics(settled, trusted=allowed.metrics)
    process_group = connect_processes(settled["plan"])
    check(settled["plan"] | {"mode": str(Path(settled["plan"]["mode"]).expanduser())})
    settled = anchored(settled)
    runs, name, runs_existed = Path(runs), settled["run"].get("name"), Path(runs).exists()
    # A name is taken before the pictures are read, so that a name that cannot be had is known at once.
    run = create_run(process_group, runs, name=name, fallback="") if name is not None else None
    try:
        with process_group.barrier(), explained_errors():
            if allowed.downloads and is_download(weights := settled["learner"].get("weights")):
                process_group.broadcast_json(lambda: str(fetch(weights, settled["backbone"]["name"])))
            opened = read_data(settled, data, tell=tell, process_group=process_group)
            job = assemble(settled, opened, module=module, trusted=allowed.network, process_group=process_group,
                           budget=Budget(began + 60 * settled["learner"].get("minutes", 0.0), runs))
            if run is not None and not run.was_never_begun:    # as where files cannot be locked
                raise UserError(f"{run} was begun by another command meanwhile: choose another run.name")
        if run is None:
            label = f"{data_name(settled)}-{job.recipe['backbone']['name'].rpartition('/')[2].removeprefix(BROUGHT)}"
            run = create_run(process_group, runs, name=None, fallback=label)
    except BaseException:
        if run is not None:
            run.abandon()
        if process_group.is_rank_zero and not runs_existed and runs.is_dir() and not any(runs.iterdir()):
            runs.rmdir()
        raise
    process_group.tell_launcher(str(run))
    in_words = _tell_beginning(run, job, tell)
    return Session(run, SupervisedJob(job), command, _write_beginning(run, job, opened.account), started=now(),
                   understood=in_words, prepared_from=prepared_from)


def _about(run: Run, kept: recipes.Recipe, account: dict[str, Any], job: Assembled) -> dict[str, Any]:
    """What the run's best.safetensors says of itself, so that it can be used alone."""
    cfg = run.folder / NETWORK_FILE
    return about_model(kept, account, job.plan.as_json(), score_name=job.task.score,
                       network_file=bounded_text(cfg) if cfg.is_file() else None)


def _tell_beginning(run: Run, job: Assembled, tell: Tell) -> str:
    """Tell what was understood, the notes, and what is left out of the data; -> the first of these lines."""
    account = job.data.account
    account["notes"] += [*job.notes, *advice_on(job.learner.network, job.task, job.data.form)]
    lost = findings_line(findings(account), listing_command(run, job.recipe))
    lines = [understood(job.recipe, job.data), *account["notes"], *filter(None, [lost])]
    for line in lines:
        tell(line)
    return lines[0]


def _write_beginning(run: Run, job: Assembled, account: dict[str, Any]) -> recipes.Recipe:
    """Write what is known of a run before its first step; -> the recipe as the folder has it. A run that is killed here
    is begun again when it is resumed."""
    kept = keep_files(job.recipe, run)
    run.write("recipe.toml", recipes.as_toml(kept))
    if job.teacher is not None:    # before what tells that the run has begun
        run.write_json("teacher.json", job.teacher.as_json())
    run.write_json("plan.json", job.choice.as_json())
    run.write_json("environment.json", environment())
    run.write_json("data.json", account)
    if job.starting_weights is not None:
        run.write_json("weights.json", job.starting_weights.as_json())
    run.about = _about(run, kept, account, job)
    return kept


def resume_session(folder: str | Path, *, data: Any = None, module: nn.Module | None = None, trusted: bool = False,
                   tell: Tell = silent) -> Session:
    """The session of a run folder as its last checkpoint left it. It ends with the same bits as if it had never been
    stopped.

    Raises DataError where the data have changed since the run began, or are read otherwise. Where the machine or a
    version has changed, a line says so and the run goes on. The parameters are as of `begin_session`.
    """
    run = Run.open(folder)
    if is_play(recipes.read_recipe(run.folder / "recipe.toml")):
        return resume_play(run, trusted=trusted, tell=tell)
    facts = run.facts("run.json")
    check_same_recipe(run, facts.get("recipe"), why="--resume goes on with a run as it was")
    recipe = recipe_of_run(run, module=module, data=data, trusted=trusted)
    check_metrics(recipe, trusted=trusted)
    process_group = connect_processes(recipe["plan"], resumes=True)
    run.writes = process_group.is_rank_zero
    advice = f"wait until that has ended, or end it, then go on with lensmith train --resume {run}"
    process_group.broadcast_json(lambda: run.lock(advice=advice))
    process_group.tell_launcher(str(run))
    run.remove_leftovers()
    # A run that was killed before its first checkpoint begins anew, with its plan and its data where it had them.
    begun, has_plan = process_group.broadcast_json(lambda: [(run.folder / "last.safetensors").exists(), run.has_begun])
    if has_plan or begun:
        tell_other_machine(run, tell)
    with process_group.barrier(), explained_errors():
        opened = read_data(recipe, data, tell=tell, process_group=process_group)
        if has_plan or begun:
            check_same_data(run, opened.account, changed=f"the data of {run} have changed since it began, so it cannot "
                            "go on with the same bits: put the files back, or begin a new run with its recipe: "
                            f"lensmith train {run}")
        plan = plan_from_json(run.read_json("plan.json")) if has_plan or begun else None
        job = assemble(recipe, opened, module=module, trusted=trusted, resumed_plan=plan, begun=begun,
                       process_group=process_group)
        if has_plan or begun:
            check_same_teacher(run, job.teacher)
    kept = facts.get("recipe") or recipes.read_recipe(run.folder / "recipe.toml")
    run.about = _about(run, kept, opened.account, job)
    session = Session(run, SupervisedJob(job), facts.get("command") or "", kept, started=facts.get("started") or now(),
                      notes=list(facts.get("notes") or []),
                      understood=facts.get("understood") or understood(job.recipe, opened))
    if begun:
        session.progress = restore(session.job.learner, run)
    elif not has_plan:
        opened.account["notes"] += job.notes
        _write_beginning(run, job, opened.account)
    tell(f"{session.understood}; {goes_on(job.learner, saved=begun)}")
    return session
