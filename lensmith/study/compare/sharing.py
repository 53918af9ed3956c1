"""What several tasks gained or lost by sharing one network, beside runs that learned one of them alone."""

from collections.abc import Sequence
from typing import Any

from lensmith.base.errors import count
from lensmith.study.compare.entry import Entry


def part_alone(joint: Entry, run: Entry) -> str:
    """The part of a joint run that another run learned alone, or "" if there is none.

    It is the part of the same name and kind, or else the only part of that kind.
    """
    if len(joint.scores) < 2 or len(run.scores) != 1:
        return ""
    (name, kind), = run.kinds.items()
    if joint.kinds.get(name) == kind:
        return name
    of_that_kind = [part for part, other in joint.kinds.items() if other == kind]
    return of_that_kind[0] if len(of_that_kind) == 1 and name == kind else ""


def gains_of_sharing(runs: Sequence[Entry]) -> list[dict[str, Any]]:
    """Both values and the gain, for each metric of each part of a joint run and each run of that part alone."""
    rows = []
    for joint in runs:
        for run in runs:
            part = part_alone(joint, run)
            target = next(iter(run.scores))
            for name, alone in run.metrics.items() if part else ():
                metric = name.removeprefix(f"{target}/")
                together = joint.metrics.get(f"{part}/{metric}")
                if together is not None:
                    rows.append({"part": part, "metric": metric, "joint": together, "alone": alone,
                                 "gained": together - alone, "run_joint": joint.run, "run_alone": run.run})
    return rows


def time_of_sharing(runs: Sequence[Entry]) -> list[str]:
    """The time of each joint run beside the times of its parts alone."""
    notes = []
    for joint in runs:
        alone = {part: run for run in runs if (part := part_alone(joint, run))}
        if alone and joint.seconds:
            missing = [part for part in joint.scores if part not in alone]
            total = sum(run.seconds for run in alone.values())
            notes.append(f"{joint.run} trained its {count(len(joint.scores), 'part')} in {joint.seconds:.1f} s; the "
                         f"runs of {', '.join(alone)} alone took {total:.1f} s together, {total / joint.seconds:.2f} "
                         "times as long" + (f" (of {', '.join(missing)} there is no run alone)" if missing else ""))
    return notes
