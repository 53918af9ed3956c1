"""A run's network made smaller: what is tried, what of it is kept, and the table of what it cost and gained."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lensmith.base.errors import UserError, choose
from lensmith.data.sources.chosen_split import split_to_choose_by, split_to_score
from lensmith.engine.run_folder import COMPRESS_FILE, Run, finite
from lensmith.ship.compress.importance import IMPORTANCE, By
from lensmith.ship.compress.paired import Difference, PairedScore, difference
from lensmith.ship.compress.rows import BOTH, INT8, ORIGINAL, PRUNED, CompressionRow
from lensmith.study.report.page import report as write_report
from lensmith.training.compressed_int8 import facts_by_row, form_in_int8, task_of, with_remarks
from lensmith.training.exported import Exported
from lensmith.training.measured_rows import MeasuredForm, rows_of, scores_of
from lensmith.training.pruned import CompressionTarget, Prunable, Pruned, begin_pruned, prune, read_prunable
from lensmith.training.quantised import INT8_FILE, Int8Settings, check_int8, export_int8
from lensmith.training.session import Session
from lensmith.training.trained import Trained, load

_TRIES = 4    # of a search for the smallest network that keeps the score
Tell = Callable[[str], object]


@dataclass(frozen=True)
class Try:
    """A network that was cut and has learned again."""

    run: Run
    wanted: CompressionTarget
    pruned: Pruned
    lost: Difference    # on the split that decides

    def as_json(self) -> dict[str, Any]:
        return {"run": str(self.run), "asked": self.wanted.as_json(), "reached": self.pruned.reached,
                "difference": self.lost.as_json()}


@dataclass
class Compression:
    """The compression of one run. Iterating it yields sessions, each of a smaller network, which the caller iterates
    to train it; afterwards `finish` measures the one that is kept.

    Without `lose` there is one session. With it and no size the fraction of the multiply-adds is halved between what
    kept the score and what did not.
    """

    folder: str | Path
    wanted: CompressionTarget | None = None
    lose: float | None = None              # of the score, at most
    int8: Int8Settings | None = None       # of the smaller network in INT8 too, and the original beside it
    by: By = "taylor"                      # how importance is told
    name: str | None = None                # of the new run folder
    runs: Path | None = None               # where it is made; by itself beside the run
    settings: dict[str, Any] = field(default_factory=dict)    # of the recipe, by their places
    command: str = ""
    trust: bool = False
    tell: Tell = lambda text: None
    tries: list[Try] = field(default_factory=list)
    _source: Prunable | None = None
    exported: Exported | None = None    # the file in INT8
    _original: dict[str, PairedScore] = field(default_factory=dict)    # by split

    def __iter__(self) -> Iterator[Session]:
        check_wanted(self.wanted, self.lose, self.by)
        self._source = source = read_prunable(self.folder, by=self.by, trust=self.trust, tell=self.tell)
        if self.int8 is not None:
            check_int8(source.trained, source.data, self.int8)
        low, high = 0.0, 1.0    # fractions of the multiply-adds: too few, enough
        for number in range(1 if self.wanted is not None else _TRIES):
            wanted = self.wanted or CompressionTarget("macs", (low + high) / 2)
            try:
                pruned = prune(source, wanted)
            except UserError:
                if not self.tries:
                    raise
                low = wanted.value    # of a search: as small as that no network can be
                continue
            self.tell(f"cut to {reached_in_words(pruned.reached)} of {source.trained.run}")
            name = self.name if self.name is None or number == 0 else f"{self.name}-{number + 1}"
            session = begin_pruned(source, pruned, name=name, runs=self.runs, settings=self.settings,
                                   command=self.command, tell=self.tell)
            session.run.write_json(COMPRESS_FILE, self._content(pruned, []))
            yield session
            self.tries.append(self._judged(session, wanted, pruned))
            if self.wanted is None and self.lose is not None:
                kept = -self.tries[-1].lost.value <= self.lose
                low, high = (low, wanted.value) if kept else (wanted.value, high)

    @property
    def kept(self) -> Try:
        """The smallest network that keeps the score, or else the one that loses least."""
        if self.lose is not None:
            enough = [each for each in self.tries if -each.lost.value <= (self.lose or 0.0)]
            if enough:
                return min(enough, key=lambda each: each.pruned.reached["macs"])
        return max(self.tries, key=lambda each: each.lost.value)

    def finish(self) -> dict[str, Any]:
        """Measure the network that is kept beside the original, and write compress.json and the report of its run; ->
        what compress.json has."""
        assert self._source is not None
        source, kept = self._source, self.kept
        smaller = load(kept.run.folder, device="cpu", trust=self.trust)
        split = split_to_score(source.data.splits)
        forms = {ORIGINAL: MeasuredForm(source.trained, self._score_of_original(split)),
                 PRUNED: MeasuredForm(smaller, scores_of(smaller, source.data, task_of(smaller, source.data), split))}
        with tempfile.TemporaryDirectory() as folder:
            if self.int8 is not None:
                forms |= self._in_int8(self.int8, smaller, split, Path(folder) / INT8_FILE)
            rows = with_remarks(rows_of(forms, source.data, tell=self.tell), forms, lose=self.lose)
        rows[1] = replace(rows[1], remarks=(*rows[1].remarks, *_missed(kept, rows)))
        content = self._content(kept.pruned, rows) | {"split": split, "score": source.task.score}
        if self.int8 is not None:
            content["int8"] = finite(facts_by_row(forms))
        kept.run.write_json(COMPRESS_FILE, content)
        write_report(kept.run.folder)
        return content

    def _in_int8(self, settings: Int8Settings, smaller: Trained, split: str, aside: Path) -> dict[str, MeasuredForm]:
        """The original in INT8, whose file `aside` is there for the table alone, and the smaller network in INT8. Of
        what may be lost INT8 has what pruning has left."""
        assert self._source is not None
        data, trained = self._source.data, self._source.trained
        left = settings if self.lose is None else \
            replace(settings, lose=min(max(0.0, self.lose + self.kept.lost.value), 0.99))
        self.tell("the original is written in INT8")
        of_original = export_int8(trained, settings, out=aside, opened=data, tell=self.tell)
        self.tell("the smaller network is written in INT8")
        self.exported = export_int8(smaller, left, opened=data, tell=self.tell)
        return {INT8: form_in_int8(trained, of_original, data, split),
                BOTH: form_in_int8(smaller, self.exported, data, split)}

    def _judged(self, session: Session, wanted: CompressionTarget, pruned: Pruned) -> Try:
        """What the network lost, on the valid split where there is one, so that the test pictures choose nothing."""
        assert self._source is not None
        split = split_to_choose_by(self._source.data.splits)
        smaller = load(session.run.folder, device="cpu", trust=self.trust)
        score = scores_of(smaller, self._source.data, task_of(smaller, self._source.data), split)
        return Try(session.run, wanted, pruned, difference(score, self._score_of_original(split)))

    def _score_of_original(self, split: str) -> PairedScore:
        assert self._source is not None
        if split not in self._original:
            self._original[split] = scores_of(self._source.trained, self._source.data, self._source.task, split)
        return self._original[split]

    def _content(self, pruned: Pruned, rows: list[CompressionRow]) -> dict[str, Any]:
        assert self._source is not None
        asked: dict[str, Any] = self.wanted.as_json() if self.wanted is not None else {}
        content: dict[str, Any] = finite({
            "of": str(self._source.trained.folder.resolve()),
            "asked": asked | ({"lose": self.lose} if self.lose is not None else {}),
            "by": self.by, "reached": pruned.reached, "layers": pruned.kept,
            "not_followed": list(self._source.graph.obstacles), "tries": [each.as_json() for each in self.tries],
            "rows": [row.as_json() for row in rows]})
        return content


def check_wanted(wanted: CompressionTarget | None, lose: float | None, by: str) -> None:
    """Raises UserError where nothing is asked for, or what no network can be."""
    choose(IMPORTANCE, by, "compress.by")
    if wanted is None and lose is None:
        raise UserError("say how small: compress.speed=2 for twice as fast, measured here, compress.macs=0.5 for half "
                        "of the multiply-adds, compress.size=0.25 for a quarter of the bytes, or compress.lose=0.01 "
                        "for the smallest that loses at most 0.01 of the score; compress.int8 leaves the channels and "
                        "computes in INT8")
    if wanted is not None and wanted.kind == "speed" and not 1 < wanted.value < 1000:
        raise UserError(f"compress.speed={wanted.value:g} must be above 1: 2 is twice as fast")
    if wanted is not None and wanted.kind != "speed" and not 0 < wanted.value < 1:
        raise UserError(f"compress.{wanted.kind}={wanted.value:g} must lie between 0 and 1: it is the fraction that "
                        "stays, as 0.5")
    if lose is not None and not 0 <= lose < 1:
        raise UserError(f"compress.lose={lose:g} must lie in 0 <= lose < 1: it is how much of the score may be lost, "
                        "as 0.01")


def reached_in_words(reached: dict[str, float]) -> str:
    """`0.49 of the multiply-adds and 0.38 of the bytes, 1.7 times as fast`"""
    words = f"{reached['macs']:.2f} of the multiply-adds and {reached['size']:.2f} of the bytes"
    return words + (f", {reached['speed']:.2f} times as fast" if "speed" in reached else "")


def _missed(kept: Try, rows: list[CompressionRow]) -> tuple[str, ...]:
    """In which runtimes the network is not as fast as was asked for."""
    if kept.wanted.kind != "speed":
        return ()
    times = {name: rows[0].latency[name].p50 / latency.p50 for name, latency in rows[1].latency.items()
             if name in rows[0].latency}
    return tuple(f"{factor:.2f} times as fast in {name}, where {kept.wanted.value:g} were asked for"
                 for name, factor in times.items() if factor < 0.95 * kept.wanted.value)
