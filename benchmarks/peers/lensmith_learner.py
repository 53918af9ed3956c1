"""Lensmith, as `lensmith train` assembles it: its data kept decoded, its plan, its learner; augmentation off."""

import json
import sys
from typing import Any

from turns import Turn

import lensmith.cli.app  # noqa: F401  since the command's imports count
from lensmith.training.begin_or_resume import begin_session
from peers.sgd_settings import MOMENTUM, RATE


def recipe(job: dict[str, Any]) -> dict[str, Any]:
    """The recipe of a job; `plan` is its section [plan], empty for what a user gets."""
    data = {"name": "folder", "path": f"{job['folder']}/train"}
    if job["data"] == "fashion":
        data = {"name": "fashion-mnist"}
    return {
        "run": {"seed": job["seed"]}, "data": data, "split": {"valid": 0.0, "test": 0.0},
        "pictures": {"size": job["size"]}, "augment": {},
        "loading": {"batch": job["batch"], "fraction": job["pictures"] / 60_000 if job["data"] == "fashion" else 1.0},
        "backbone": {"name": job["network"]} | ({"small_stem": True} if job["small_stem"] else {}),
        "task": {"name": "classification"}, "optimizer": {"name": "sgd", "rate": RATE, "momentum": MOMENTUM,
                                                          "nesterov": False, "decay": 0.0},
        "schedule": {"name": "constant"}, "learner": {"epochs": job["epochs"]}, "plan": job["plan"],
    }


def main() -> None:
    job, turn = json.loads(sys.argv[1]), Turn()
    session = begin_session(recipe(job), runs=job["scratch"])
    choice, learner = session.job.choice, session.job.learner
    turn.told = {"plan": choice.as_json(), "plan_in_words": choice.plan.in_words(),
                 "plan_seconds": round(choice.seconds, 2)}
    turn.begin()
    for report in learner:
        turn.stepped()
        if report.row is not None:    # an epoch has ended
            turn.end(len(session.job.data.splits["train"]))
            turn.begin()


if __name__ == "__main__":
    main()
