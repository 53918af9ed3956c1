"""What a session does with learning from pictures: forecast, watch, measure, and say what the data and scores tell."""

from dataclasses import dataclass, field
from typing import Any

from lensmith.base.errors import ModelError
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.findings import findings, much_lost
from lensmith.data.sources.picture_form import Bad
from lensmith.engine.evaluate import evaluate
from lensmith.engine.forecast import Forecast
from lensmith.engine.frozen_features import Features
from lensmith.engine.kept_answers import KeptAnswers, SplitAnswers, write_answers
from lensmith.engine.learner import Report
from lensmith.engine.plan.candidates import Choice
from lensmith.engine.plan.plan import Plan
from lensmith.engine.run_folder import Run
from lensmith.engine.run_loop import Progress
from lensmith.engine.running_statistics import moving_norms
from lensmith.engine.supervised import Supervised
from lensmith.engine.vitals import Vitals
from lensmith.recipe.assemble import Assembled
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import Data, dropped_as_json
from lensmith.recipe.schema import Recipe
from lensmith.study.report.worst_errors import WorstErrors
from lensmith.tasks.baseline import Baseline, baselines
from lensmith.tasks.metrics.confusion import NothingToMeasure
from lensmith.tasks.metrics.own import not_measured
from lensmith.tasks.task import Task
from lensmith.training.baseline_advice import learns_by_heart, stays_at_baseline
from lensmith.training.run_cost import write_cost
from lensmith.training.understood import listing_command
from lensmith.training.waiting_advice import advice


@dataclass
class SupervisedJob:
    """A `Job` that learns from the targets of a data set."""

    assembled: Assembled
    unmeasured: dict[str, str] = field(default_factory=dict)    # split -> why it could not be measured
    _advised: bool = False
    _advice: list[str] = field(default_factory=list)
    _known_baselines: dict[str, dict[str, Baseline]] = field(default_factory=dict)    # by split
    _measured: list[Any] = field(default_factory=list)    # the loaders of what was measured at the end
    _in_data_json: int = 0    # pictures found bad, and notes, that data.json has got since training began

    @property
    def recipe(self) -> Recipe:
        return self.assembled.recipe

    @property
    def data(self) -> Data:
        return self.assembled.data

    @property
    def task(self) -> Task:
        return self.assembled.task

    @property
    def learner(self) -> Supervised:
        return self.assembled.learner

    @property
    def choice(self) -> Choice:
        return self.assembled.choice

    @property
    def plan(self) -> Plan:
        return self.assembled.plan

    @property
    def score(self) -> str:
        return self.task.score

    @property
    def epochs(self) -> int:
        return self.learner.settings.epochs

    @property
    def account(self) -> dict[str, Any]:
        return self.data.account

    def waited(self) -> float:
        return self.learner.waited

    def begin_forecast(self) -> Forecast:
        learner, store = self.learner, self.data.store
        return Forecast(epochs=learner.settings.epochs, steps=learner.steps // learner.settings.epochs,
                        pictures={split: len(source) for split, source in self.data.splits.items()},
                        processes=learner.process_group.world_size,
                        decoding=lambda: store is not None and not store.whole)

    def begin_vitals(self, run: Run, *, began: float | None) -> Vitals | None:
        """What looks at the network from the present step on, with what was seen before; None where nothing is to."""
        if not run.writes or not self.recipe["run"]["vitals"]:
            return None
        try:
            before = run.facts("vitals.json")
        except ModelError:    # nothing that learns depends on it, and the report cannot be made of a damaged file
            before = {}
            run.write_json("vitals.json", {"rows": []})
        return Vitals(self.learner, before, began=began)

    def notes(self, report: Report) -> list[str]:
        """What came up while pictures were read, and what to do about waiting for them."""
        sources = (self.learner.train, self.learner.valid, self.data.store)
        if not self._advised:
            text = advice(report, self.account["kept"], self.recipe["augment"])
            # The first epoch may wait for pictures that are decoded meanwhile: that says nothing of the others.
            self._advised = bool(text) and report.epoch > 1
            self._advice = [text] if text else []
        return [note for source in sources for note in getattr(source, "notes", ())] + self._advice

    def concern(self, progress: Progress) -> str:
        """That the run learns nothing that holds for the valid split, and what to try; empty where it does."""
        if "valid" not in self.data.splits or not learns_by_heart(progress.history):
            return ""
        learner = self.learner
        return stays_at_baseline(progress.history, self._baselines("valid"), self.recipe,
                                 slow_norms=not learner.settings.norm_floor and bool(moving_norms(learner.network)))

    def final_concerns(self, run: Run, metrics: dict[str, Any]) -> list[str]:
        """That a tenth or more of something was left out; and which splits, and which metrics of the user's own, could
        not be measured, as far as no note has said it."""
        own = {problem for scores in metrics.values() for name, problem in not_measured(scores).items()
               if name not in self.learner.unmeasured}
        lost = much_lost(findings(run.read_json("data.json")), listing_command(run, self.recipe))
        return [lost, *(f"{split} is not measured: {reason}" for split, reason in self.unmeasured.items()),
                *sorted(own)]

    def measure(self, run: Run) -> dict[str, Any]:
        """What the network scores on every split that was held out, by split, with what one answer for all pictures
        would score and the worst errors, whose pictures are written into the run folder."""
        network: Any = self.learner.judged
        network.from_maps = False    # a probe learns from maps computed once, and is measured on the pictures
        loaders = make_loaders(self.recipe, self.data, self.task)
        self._measured = list(loaders.values())
        pictures, metrics, answers = run.picture_folder(), dict[str, Any](), dict[str, SplitAnswers]()
        for split in ("valid", "test"):
            if split in loaders:
                needs = self.task.needs
                worst = WorstErrors(needs, self.data.classes, keep=24 if len(needs) == 1 else 12)
                kept = KeptAnswers(needs, self.data.classes)
                try:
                    scores = evaluate(network, self.task, loaders[split], plan=self.plan, watches=(worst, kept))
                except NothingToMeasure as error:
                    self.unmeasured[split] = str(error).partition(": ")[2].partition(".")[0]
                    continue
                rows = [row | {"picture": f"pictures/{row['picture']}"}
                        for row in worst.save(pictures, name=f"{split}-worst")]
                said = {name: {"answer": baseline.answer, "score": baseline.score}
                        for name, baseline in self._baselines(split).items()}
                metrics[split], answers[split] = scores | {"baselines": said, "worst": rows}, kept.split()
        write_answers(run, answers)
        write_cost(run, network, self.data.form, self.plan)
        return metrics

    def _baselines(self, split: str) -> dict[str, Baseline]:
        """What one answer for all pictures of a split would score, by the name of the score."""
        if split not in self._known_baselines:
            data = self.data
            self._known_baselines[split] = baselines(self.task, data.splits["train"].targets,
                                                     data.splits[split].targets, data.classes)
        return self._known_baselines[split]

    def update_account(self, run: Run) -> None:
        """Bring data.json up to date with the pictures that turned out to be bad while they were used, on any rank."""
        store, process_group = self.data.store, self.learner.process_group
        loaders = (self.learner.train, self.learner.valid, *self._measured)
        bad = [Bad(file, reason) for loader in loaders if isinstance(loader, Loader | Features)
               for file, reason in loader.dropped.items()] + (store.bad() if store is not None else [])
        if not run.writes:
            process_group.post([[picture.file, picture.reason] for picture in bad])
            return
        bad += [Bad(*pair) for pairs in process_group.posted() for pair in pairs]
        notes = store.notes if store is not None else []
        if len(bad) + len(notes) == self._in_data_json:
            return
        self._in_data_json = len(bad) + len(notes)
        account = run.read_json("data.json")
        rows = dropped_as_json([Bad(picture.file, f"{picture.reason} (found while training)")
                        for picture in dict.fromkeys(bad)])
        for name, new in (("dropped", rows), ("notes", notes)):
            listed = account.setdefault(name, [])
            listed += [entry for entry in new if entry not in listed]
        run.write_json("data.json", account)
