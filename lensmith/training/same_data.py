"""Whether the data of a run are read as they were when it was begun."""

from collections.abc import Mapping
from typing import Any

from lensmith.base.errors import DataError
from lensmith.data.formats.reading_rules import READING, changes_between
from lensmith.engine.run_folder import Run


def check_same_data(run: Run, account: Mapping[str, Any], *, changed: str) -> None:
    """Raise a DataError unless `account`, of the data as they are now, has the fingerprint that the run began with.

    `changed` is the error where the files have changed. Where the rules of reading have changed since, the error says
    what they changed, since the files may be the same and give other names, targets or splits.
    """
    began = run.read_json("data.json")
    if account["fingerprint"] == began.get("fingerprint"):
        return
    version = began.get("reading")
    version = version if isinstance(version, int) else 0    # runs of before have none
    if version == READING:
        raise DataError(changed)
    changes = changes_between(version, READING)
    raise DataError(f"{run} was begun when its files were read by other rules (reading rules {version}, now {READING}"
                    f"{': ' if changes else ''}{changes}), and they give {_difference(began, account)}: begin anew "
                    f"with its recipe (lensmith train {run}), go on with the Lensmith that began it, or put the files "
                    "back where they were changed")


def _difference(began: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference between two accounts of a set, in words."""
    if began.get("classes") != now["classes"]:
        before, after = (", ".join(name for names in (account.get("classes") or {}).values() for name in names[:10])
                         for account in (began, now))
        return f"the classes {after}, where they were {before}"
    counts = {name: {split: facts.get("count") for split, facts in account.get("splits", {}).items()}
              for name, account in (("before", began), ("after", now))}
    if counts["before"] != counts["after"]:
        before, after = (", ".join(f"{number} {split}" for split, number in counts[name].items()) for name in counts)
        return f"the pictures {after}, where they were {before}"
    if began.get("files") != now["files"]:
        return "other pictures in its splits"
    return "other targets or contents"
