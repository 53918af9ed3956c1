"""A run as a file in INT8: calibrated on training pictures, with the layers that lose most kept in float32."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lensmith.base.atomic_files import write_atomic, write_text
from lensmith.base.errors import UserError, count
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.chosen_split import split_to_choose_by
from lensmith.data.sources.subsets import evenly_by_class, narrowed
from lensmith.engine.plan.plan import make_plan
from lensmith.engine.run_folder import finite
from lensmith.recipe.choose_task import choose_task
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import Data
from lensmith.recipe.other_data import other_data, read_data
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.ship.compress.int8 import Quantiser, no_room
from lensmith.ship.compress.paired import PARTS, Difference, PairedScore, difference, paired_score
from lensmith.ship.export.onnx import ADVICE, SUFFIX, write_onnx
from lensmith.ship.runtimes import RUNTIMES
from lensmith.ship.runtimes.candidates import installed_for_files
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileTask, network_in
from lensmith.ship.runtimes.latency import drawn_batch, latencies
from lensmith.ship.runtimes.packages import check_installed
from lensmith.training.exported import (
    Exported,
    Tell,
    batches_of,
    facts_of_run,
    file_to_write,
    parity_of,
    without_metrics,
)
from lensmith.training.trained import Trained

INT8_FILE, INT8_REPORT = f"model-int8{SUFFIX}", "export-int8.json"
CALIBRATION = 200    # training pictures that the ranges are measured on
LOSE = 0.01          # of the score
_AT_ONCE = 8         # pictures of a batch of them
_MOST = 5_000        # pictures that are measured
_SECONDS = 3.0       # in which both files take turns in all runtimes
JUDGE = "onnxruntime"    # the runtime whose answers decide
_PACKAGES = ("onnx", "onnxscript", JUDGE)


@dataclass(frozen=True)
class Int8Settings:
    """How a file in INT8 is made. Raises UserError for what cannot be."""

    lose: float = LOSE                # of the score, at most
    calibration: int = CALIBRATION    # training pictures

    def __post_init__(self) -> None:
        if not 0 <= self.lose < 1:
            raise UserError(f"export.lose={self.lose:g} must lie in 0 <= lose < 1: it is how much of the score may be "
                            "lost, as 0.01")
        if self.calibration < 1:
            raise UserError(f"export.calibration={self.calibration} must be 1 or more: it is how many training "
                            "pictures the ranges are measured on")


@dataclass(frozen=True)
class _Scorer:
    """Measures files of one run on the pictures that decide."""

    trained: Trained
    facts: FileFacts
    loader: Loader
    split: str

    def __call__(self, file: Path, runtime: str = JUDGE) -> PairedScore:
        """The score of a file in a runtime."""
        section = without_metrics(self.trained.recipe["task"])
        task = FileTask(choose_task(dict(self.trained.recipe) | {"task": section}, self.trained.classes), self.facts)
        plan = make_plan(device="cpu", layout="contiguous", threads=torch.get_num_threads())
        network = network_in(file, self.facts, runtime)
        return paired_score(network, task, self.loader, number=len(self.loader), plan=plan)


@dataclass(frozen=True)
class _Form:
    """One INT8 form of the file, measured."""

    file: Path
    floating: tuple[str, ...]    # layers in float32
    lost: Difference             # its score less that of float32

    def holds(self, lose: float) -> bool:
        return -self.lost.value <= lose


def check_int8(trained: Trained, opened: Data, settings: Int8Settings) -> None:
    """Raises what `export_int8` would, before what takes long, of a run whose data are open."""
    check_installed(*_PACKAGES)
    calibration = _calibration(trained, opened, settings.calibration)
    with _temporary_folder() as folder:
        source = folder / f"float32{SUFFIX}"
        write_onnx(trained.network, trained.task, facts_of_run(trained), source)
        Quantiser(source, calibration[:1], folder)


def export_int8(trained: Trained, settings: Int8Settings, *, out: str | Path | None = None, data: str | None = None,
                opened: Data | None = None, tell: Tell = lambda text: None) -> Exported:
    """Write a trained network as an ONNX file in INT8, with export-int8.json beside it.

    trained: a network on the CPU in float32, as `load(run, device="cpu")` gives it.
    out: the file; by itself model-int8.onnx in the run folder.
    data: a data set to calibrate and to measure on; by itself the run's own.
    opened: the run's own data where they are open already.
    tell: called with each line that is worth showing.

    It `agrees` where no runtime that is here loses more than `settings.lose` of the score. Raises UserError where a
    package is missing, there are fewer pictures than classes or none, or the file cannot be written; ModelError for a
    network that has no form in ONNX or in INT8.
    """
    check_installed(*_PACKAGES)
    opened = opened if opened is not None else _opened(trained, data, tell)
    file = file_to_write(trained, INT8_FILE, out)
    calibration = _calibration(trained, opened, settings.calibration)
    with _temporary_folder() as folder:
        source = folder / f"float32{SUFFIX}"
        facts = write_onnx(trained.network, trained.task, facts_of_run(trained), source)
        scorer = _Scorer(trained, facts, *_deciding(trained, opened, tell))
        quantiser = Quantiser(source, calibration, folder)
        before = scorer(source)
        tried = _search(quantiser, scorer, before, settings.lose, tell)
        chosen = next((form for form in tried if form.holds(settings.lose)),
                      max(tried, key=lambda form: form.lost.value))
        write_atomic(file, partial(shutil.copyfile, chosen.file), advice=ADVICE)
        others = {name: difference(scorer(file, name), before) for name in installed_for_files() if name != JUDGE}
        latency = _latency({"float32": source, "int8": file}, facts)
        bytes_before = source.stat().st_size
    report = _report(trained, facts, file, opened, data) | {"int8": {
        "calibration": sum(len(batch) for batch in calibration), "layers": len(quantiser.layers),
        "float32_layers": list(chosen.floating), "bytes_float32": bytes_before, "latency": latency,
        "tries": [{"float32_layers": len(form.floating), "difference": form.lost.value} for form in tried],
        "score": {"name": trained.task.score, "split": scorer.split, "pictures": len(scorer.loader.dataset),
                  "float32": before.score, "int8": before.score + chosen.lost.value, "lose": settings.lose,
                  "difference": {name: found.as_json() for name, found in ({JUDGE: chosen.lost} | others).items()}}}}
    report["agrees"] = all(-found.value <= settings.lose for found in (chosen.lost, *others.values()))
    text = json.dumps(finite(report), indent=1, ensure_ascii=False) + "\n"
    write_text(file.with_name(INT8_REPORT), text, advice=ADVICE)
    return Exported(file, report, facts)


def _search(quantiser: Quantiser, scorer: _Scorer, before: PairedScore, lose: float, tell: Tell) -> list[_Form]:
    """The INT8 forms that were tried: all layers first; where that loses too much the 1, 2, 4, ... that cost most stay
    in float32, at most half of them."""
    tried: list[_Form] = []

    def attempt(floating: tuple[str, ...]) -> _Form:
        file = quantiser.folder / f"{len(floating)}{SUFFIX}"
        quantiser.write(file, floating=floating)
        tried.append(_Form(file, floating, difference(scorer(file), before)))
        return tried[-1]

    form, number = attempt(()), 1
    if form.holds(lose):
        return tried
    tell(f"INT8 loses {-form.lost.value:.4f} of {scorer.trained.task.score}: what each of "
         f"{count(len(quantiser.layers), 'layer')} costs is measured")
    order = tuple(quantiser.errors(scorer.facts.scores, partial(_outputs, scorer.facts)))
    while not form.holds(lose) and number <= len(order) / 2:
        form, number = attempt(order[:number]), 2 * number
        tell(f"with {count(len(form.floating), 'layer')} in float32 ({', '.join(form.floating[:3])}"
             f"{' ...' if len(form.floating) > 3 else ''}) it loses {max(0.0, -form.lost.value):.4f}")
    return tried


def _outputs(facts: FileFacts, file: Path, pictures: Tensor) -> Mapping[str, Tensor]:
    outputs: Mapping[str, Tensor] = network_in(file, facts, JUDGE)(pictures)
    return outputs


def _opened(trained: Trained, data: str | None, tell: Tell) -> Data:
    """The data to calibrate and to measure on."""
    name = str(trained.recipe["data"]["name"])
    if data is not None:
        return other_data(data, trained.recipe, trained.form, trained.names, tell=tell)
    if name == NO_DATA or name.startswith(BROUGHT):
        raise UserError(f"INT8 is calibrated on training pictures, and {trained.run} has no data of its own: name some "
                        "with export.data")
    return read_data(trained.recipe, None, tell=tell)


def _calibration(trained: Trained, opened: Data, number: int) -> list[Tensor]:
    """Batches of training pictures as they are, of every class as many. Raises UserError where there are fewer pictures
    than classes."""
    split = "train" if "train" in opened.splits else next(iter(opened.splits))
    source, needs = narrowed(opened.splits[split], trained.task.needs), trained.task.needs
    classes = max(len(trained.classes[name]) for name in needs)
    if number < classes:
        raise UserError(f"export.calibration={number} is fewer pictures than there are classes ({classes}), each of "
                        f"which has to be seen: give {classes} or more")
    if len(source) < classes:
        raise UserError(f"INT8 is calibrated on pictures of every class, and {split} has "
                        f"{count(len(source), 'picture')} for {count(classes, 'class')}: name a larger set with "
                        "export.data")
    chosen: Any = source.subset(evenly_by_class(source, needs, number))
    return [batch.images for batch in Loader(chosen, _AT_ONCE, workers=0)]


def _deciding(trained: Trained, opened: Data, tell: Tell) -> tuple[Loader, str]:
    """What the score is measured on, and the split that it is of: the pictures that were held out to decide by, and
    the test pictures only where there are no others but those that were learned from."""
    loaders = make_loaders(trained.recipe, opened, trained.task)
    split = split_to_choose_by(loaders)
    if split != "valid":
        tell(f"no valid split was held out: what INT8 loses is measured on {split}")
    loader = loaders[split]
    dataset: Any = loader.dataset
    if len(dataset) > _MOST:
        dataset = dataset.subset(evenly_by_class(dataset, trained.task.needs, _MOST))
    batch = max(1, min(loader.batch, len(dataset) // PARTS))
    return Loader(dataset, batch, workers=loader.workers, rectangular=loader.rectangular), split


def _report(trained: Trained, facts: FileFacts, file: Path, opened: Data, data: str | None) -> dict[str, Any]:
    """What export-int8.json says of the file, as export.json does of one in float32."""
    batches, split = batches_of(trained, opened)
    pictures, of = [batch.images for batch in batches], split if data is None else f"{split} of {data}"
    runtimes = {name: {target: parity.as_json()
                       for target, parity in parity_of(trained, facts, file, name, pictures).items()}
                for name in installed_for_files()}
    return {"file": file.name, "target": "onnx", "precision": "int8", "version": facts.version,
            "fingerprint": facts.fingerprint, "bytes": file.stat().st_size,
            "size": "any" if facts.any_size else list(facts.form.size),
            "pictures": sum(len(batch) for batch in pictures), "of": of, "runtimes": runtimes}


def _latency(files: Mapping[str, Path], facts: FileFacts) -> dict[str, dict[str, Any]]:
    """The latency of one picture by runtime and precision, all in turn."""
    picture, threads = drawn_batch((1, facts.form.channels, *facts.form.size), facts.form.dtype), \
        torch.get_num_threads()
    runs = {}
    for runtime in installed_for_files():
        opener = RUNTIMES[runtime].open
        assert opener is not None
        for precision, file in files.items():
            runs[f"{runtime} {precision}"] = partial(opener(file, threads, "float32"), picture)
    found = latencies(runs, seconds=_SECONDS)
    return {runtime: {precision: found[f"{runtime} {precision}"].as_json() for precision in files}
            for runtime in installed_for_files()}


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder of the system's for what is in between: nothing of it goes to the user's folders."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="lensmith-int8-")
    except OSError as error:
        raise no_room(Path(tempfile.gettempdir()), error) from error
    with folder as name:
        yield Path(name)
