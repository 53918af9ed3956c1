"""The answers of runs that kept none, or of runs on other data than their own."""

from collections.abc import Callable, Sequence
from pathlib import Path

from lensmith.engine.kept_answers import KeptAnswers, SplitAnswers, write_answers
from lensmith.engine.run_folder import ANSWERS_FILE
from lensmith.study.compare.entry import MeasuredAgain
from lensmith.training.trained import Trained, load

Tell = Callable[[str], object]


def keep_answers(folders: Sequence[Path], *, device: str | None, trust: bool, tell: Tell) -> None:
    """Measure again what each run held out, and write its answers into its folder, where it has none or a damaged
    file of them. Raises UserError for data that are not there any more, or have changed."""
    for folder in folders:
        trained = load(folder, device=device, trust=trust)
        metrics, answers = trained.metrics, dict[str, SplitAnswers]()
        tell(f"{folder} is measured again")
        for split in ("valid", "test"):
            if metrics.get(split):
                kept = KeptAnswers(trained.task.needs, trained.classes)
                trained.validate(split, tell=tell, watches=(kept,))
                answers[split] = kept.split()
        write_answers(trained.run, answers)


def without_answers(folders: Sequence[Path]) -> list[Path]:
    """Those runs that keep no answers."""
    return [folder for folder in folders if not (folder / ANSWERS_FILE).is_file()]


def measured_on(folders: Sequence[Path], data: str, *, device: str | None, trust: bool,
                tell: Tell) -> dict[Path, MeasuredAgain]:
    """What each run scores on one data set, named as for `lensmith.train`; nothing is written into the runs."""
    again = {}
    for folder in folders:
        trained: Trained = load(folder, device=device, trust=trust)
        tell(f"{folder} is measured on {data}")
        kept = KeptAnswers(trained.task.needs, trained.classes)
        scores = trained.validate(data=data, tell=tell, watches=(kept,))
        again[folder] = MeasuredAgain(scores["split"], scores, kept.split())
    return again
