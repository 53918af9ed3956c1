"""The run folder of a network that was not trained in it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lensmith.base.device import environment
from lensmith.base.pictures import Form
from lensmith.base.read_file import bounded_text
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import NETWORK_FILE, Run
from lensmith.models.network import Network
from lensmith.recipe import schema as recipes
from lensmith.recipe.model_file import about_model
from lensmith.recipe.schema import NO_DATA
from lensmith.tasks.task import Task


def account_without_data(source: Mapping[str, str], classes: Mapping[str, tuple[str, ...]],
                         form: Form) -> dict[str, Any]:
    """What data.json keeps where the data that a network learned from are not known. `source` says what it is from."""
    return {"name": NO_DATA, "source": dict(source),
            "classes": {target: list(names) for target, names in classes.items()},
            "form": form.as_json(), "splits": {}, "dropped": [], "notes": [], "fingerprint": None}


def write_converted(run: Run, *, recipe: recipes.Recipe, plan: Plan, account: Mapping[str, Any], network: Network,
                    task: Task, command: str, reason: str) -> None:
    """The files of a run whose network was not trained in it; `account` is what data.json keeps."""
    run.write("recipe.toml", recipes.as_toml(recipe))
    run.write_json("plan.json", Choice(plan, "conversion").as_json())
    run.write_json("environment.json", environment())
    run.write_json("data.json", dict(account))
    run.write_json("metrics.json", {})
    run.write_json("run.json", {
        "name": run.folder.name, "command": command,
        "started": datetime.now(UTC).astimezone().isoformat(timespec="seconds"), "status": "converted",
        "reason": reason, "epochs": 0, "score_name": task.score, "score": None, "version": version("lensmith"),
        "parameters": sum(parameter.numel() for parameter in network.parameters())})
    cfg = run.folder / NETWORK_FILE
    run.about = about_model(recipe, account, plan.as_json(), score_name=task.score,
                            network_file=bounded_text(cfg) if cfg.is_file() else None)
    run.save_best(network.state_dict(), {"epoch": 0}, 0.0)
    run.unlock()
