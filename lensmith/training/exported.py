"""A run written as a file for other programs, and the parity of its answers with the run's."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import DataError, UserError, choose
from lensmith.base.pictures import Form
from lensmith.data.batches.loader import Loader
from lensmith.data.sources.chosen_split import split_to_score
from lensmith.data.sources.sample import Batch
from lensmith.engine.run_folder import finite
from lensmith.models.weights import weights_fingerprint
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.open_data import Data
from lensmith.recipe.other_data import other_data, read_data
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.ship.export import TARGETS
from lensmith.ship.export.in_graph import judged, target_facts
from lensmith.ship.export.onnx import ADVICE
from lensmith.ship.export.parity import Parity, parities
from lensmith.ship.runtimes.candidates import installed_for_files
from lensmith.ship.runtimes.file_facts import KEY, FileFacts
from lensmith.ship.runtimes.file_network import FileTask, as_the_file_takes, network_in
from lensmith.training.fitting_parity import compare_fitting
from lensmith.training.trained import Trained

PICTURES = 100      # that the answers of file and run are compared on
REPORT = "export.json"
_AT_ONCE = 8        # pictures that are compared together: masks of a hundred objects take much memory
_GRAIN = 8          # pixels of a patch of a drawn picture

Tell = Callable[[str], object]


@dataclass(frozen=True)
class Exported:
    """A file that was written, and what export.json says of it."""

    file: Path
    report: dict[str, Any]
    facts: FileFacts    # that it says of itself

    @property
    def agrees(self) -> bool:
        """Whether its answers are those of the run in every runtime that is here."""
        return bool(self.report["agrees"])


def export_run(trained: Trained, target: str = "onnx", *, out: str | Path | None = None, any_size: bool = False,
               data: str | None = None, tell: Tell = lambda text: None) -> Exported:
    """Write a trained network as a file of `target`, with export.json beside it.

    trained: a network on the CPU in float32, as `load(run, device="cpu")` gives it.
    target: what is written; an entry of `ship.export.TARGETS`.
    out: the file; by itself model.onnx in the run folder, model.xml for openvino and model.ncnn.param
        for ncnn.
    any_size: whether the file takes a picture of any size, one at a time, fits it inside, and answers in its pixels.
    data: a data set whose pictures the answers are compared on; by itself the run's own.
    tell: called with each line that is worth showing.

    Raises UserError and ModelError as of `ship.export.target.Target.write`, and UserError for a file of the user's own
    in the place of the new one.
    """
    entry = choose(TARGETS, target, "export.to")
    file = file_to_write(trained, f"{entry.name}{entry.suffix}", out)
    facts = replace(facts_of_run(trained), fits_inside=any_size)
    batches, of, root = compared_batches(trained, data, tell, whole=any_size)
    facts = entry.write(trained.network, trained.task, facts, file)
    parts = [file, *(file.with_suffix(suffix) for suffix in entry.beside)]
    report = {"file": file.name, "target": target, "version": facts.version, "fingerprint": facts.fingerprint,
              "bytes": sum(part.stat().st_size for part in parts),
              "size": "any" if facts.any_size or any_size else list(facts.form.size),
              "pictures": sum(len(batch) for batch in batches), "of": of, "facts": json.loads(facts.as_json())}
    runtimes = installed_for_files(entry.suffix)
    if any_size:
        both = compare_fitting(trained, facts, file, runtimes, batches, root)
        compared = {name: of_answers for name, (of_answers, _) in both.items()}
        report["fitting"] = {name: of_pictures.as_json() for name, (_, of_pictures) in both.items()}
    else:
        pictures = [batch.images for batch in batches]
        compared = {name: parity_of(trained, facts, file, name, pictures) for name in runtimes}
    report["runtimes"] = {name: {target: parity.as_json() for target, parity in found.items()}
                          for name, found in compared.items()}
    report["agrees"] = all(parity.agrees for found in compared.values() for parity in found.values())
    write_text(file.with_name(REPORT), json.dumps(finite(report), indent=1, ensure_ascii=False) + "\n", advice=ADVICE)
    return Exported(file, report, facts)


def _called(trained: Trained) -> str:
    return trained.folder.stem if trained.is_file else trained.folder.name


def file_to_write(trained: Trained, name: str, out: str | Path | None) -> Path:
    """Where the file goes: `out`, by itself `name` in the run folder. Raises UserError where it cannot be written, for
    an `out` with another suffix, and where a file lies that no export wrote."""
    suffix = Path(name).suffix
    if out is not None:
        file = Path(out)
    else:    # the network that is installed has no folder
        file = trained.folder / name if trained.folder.is_dir() else Path(f"{_called(trained)}{suffix}")
    if not file.parent.is_dir():
        raise UserError(f"cannot write {file} (there is no folder {file.parent}): {ADVICE}")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"no permission to write {file}: {ADVICE}")
    if file.suffix != suffix:
        raise UserError(f"export.out={out} has to end in {suffix}, by which programs know such a file: "
                        f"{file.with_suffix(suffix)}")
    if file.is_file() and KEY.encode() not in file.read_bytes():
        raise UserError(f"{file} was not written by lensmith export and is not written over: {ADVICE}")
    return file


def facts_of_run(trained: Trained) -> FileFacts:
    """What a file of the run says of itself."""
    data = trained.run.facts("data.json").get("fingerprint")
    return FileFacts(target_facts(trained.task, trained.classes), trained.form, any_size=True,
                     task=without_metrics(trained.recipe["task"]), category_ids=trained.category_ids,
                     version=version("lensmith"),
                     fingerprint={"weights": weights_fingerprint(trained.network),
                                  "data": data if isinstance(data, str) else None})


def without_metrics(section: dict[str, Any]) -> dict[str, Any]:
    """The section [task] without metrics of the user's own, whose code does not travel along."""
    return {key: without_metrics(value) if isinstance(value, dict) else value for key, value in section.items()
            if key != "metrics"}


def compared_pictures(trained: Trained, data: str | None, tell: Tell) -> tuple[list[Tensor], str]:
    """Up to PICTURES pictures in batches as the network is given them, and what they are of."""
    batches, of, _ = compared_batches(trained, data, tell, whole=False)
    return [batch.images for batch in batches], of


def compared_batches(trained: Trained, data: str | None, tell: Tell, *,
                     whole: bool) -> tuple[list[Batch], str, Path | None]:
    """The same with their targets, `whole` with all of a letterbox, and the folder of their files."""
    name = str(trained.recipe["data"]["name"])
    if data is None and (name == NO_DATA or name.startswith(BROUGHT)):
        tell(f"{trained.run} has no data of its own to compare answers on: drawn pictures are taken; export.data names "
             "others")
        return _drawn(trained.form), "drawn pictures", None
    try:
        opened = read_data(trained.recipe, None, tell=tell) if data is None else \
            other_data(data, trained.recipe, trained.form, trained.names, tell=tell)
    except DataError as error:
        if data is not None:
            raise
        tell(f"the pictures of {trained.run} cannot be read ({error}): answers are compared on drawn ones; export.data "
             "names others")
        return _drawn(trained.form), "drawn pictures", None
    batches, split = batches_of(trained, opened, whole=whole)
    return batches, split if data is None else f"{split} of {data}", opened.roots.get(split)


def batches_of(trained: Trained, opened: Data, *, whole: bool = False) -> tuple[list[Batch], str]:
    """Up to PICTURES pictures of data that are open, and the split that they are of."""
    loaders = make_loaders(trained.recipe, opened, trained.task)
    split = split_to_score(loaders)
    loader = Loader(loaders[split].dataset, _AT_ONCE, workers=0, rectangular=loaders[split].rectangular and not whole)
    return list(_first(loader)), split


def held_out_pictures(trained: Trained, number: int) -> list[Tensor]:
    """Batches of up to so many pictures that the run did not learn from; none where it has none that can be read."""
    pictures, of = compared_pictures(trained, None, lambda text: None)
    if of not in ("test", "valid"):
        return []
    batches = []
    for batch in pictures:
        batches.append(batch[:number])
        number -= len(batches[-1])
    return [batch for batch in batches if len(batch)]


def _first(loader: Loader) -> Iterator[Batch]:
    left = PICTURES
    for batch in loader:
        yield batch if len(batch) <= left else batch.take(torch.arange(left))
        left -= len(batch)
        if left <= 0:
            return


def _drawn(form: Form) -> list[Batch]:
    """Pictures of patches of chance colours, the same each time."""
    generator = torch.Generator().manual_seed(0)
    cells = [max(1, edge // _GRAIN) for edge in form.size]
    patches = torch.rand((PICTURES, form.channels, *cells), generator=generator)
    largest = 255 if form.bits == 8 else 65535
    return [Batch((F.interpolate(some, form.size) * largest).to(torch.int32).to(form.dtype), {})
            for some in patches.split(_AT_ONCE)]


@torch.inference_mode()
def parity_of(trained: Trained, facts: FileFacts, file: Path, runtime: str,
              pictures: list[Tensor]) -> dict[str, Parity]:
    """How far the file in a runtime answers as the run does, by target."""
    network, task = network_in(file, facts, runtime), FileTask(trained.task, facts)
    task.for_files = True
    ours, found = judged(trained.task), parities(facts.targets)
    for batch in pictures:
        expected = ours.decode(trained.network(as_the_file_takes(batch, facts)))
        answers = task.decode(network(batch))
        for name, parity in found.items():
            parity.add(expected[name].to("cpu"), answers[name])
    return found
