"""A run written as a file for other programs, and the parity of its answers with the run's."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import DataError, choose
from lensmith.base.pictures import Form
from lensmith.data.batches.loader import Loader
from lensmith.engine.run_folder import finite
from lensmith.models.weights import weights_fingerprint
from lensmith.recipe.make_loaders import make_loaders
from lensmith.recipe.other_data import other_data, read_data
from lensmith.recipe.schema import BROUGHT, NO_DATA
from lensmith.ship.export import TARGETS
from lensmith.ship.export.in_graph import judged, target_facts
from lensmith.ship.export.onnx import ADVICE
from lensmith.ship.export.parity import Parity, parities
from lensmith.ship.runtimes.candidates import installed_for_files
from lensmith.ship.runtimes.file_facts import FileFacts
from lensmith.ship.runtimes.file_network import FileTask, as_the_file_takes, network_in
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

    @property
    def agrees(self) -> bool:
        """Whether its answers are those of the run in every runtime that is here."""
        return bool(self.report["agrees"])


def export_run(trained: Trained, target: str = "onnx", *, out: str | Path | None = None, data: str | None = None,
               tell: Tell = lambda text: None) -> Exported:
    """Write a trained network as a file of `target`, with export.json beside it.

    trained: a network on the CPU in float32, as `load(run, device="cpu")` gives it.
    target: what is written; an entry of `ship.export.TARGETS`.
    out: the file; by itself model.onnx in the run folder.
    data: a data set whose pictures the answers are compared on; by itself the run's own.
    tell: called with each line that is worth showing.

    Raises UserError and ModelError as of `ship.export.onnx.write_onnx`.
    """
    write = choose(TARGETS, target, "export.to")
    file = Path(out) if out is not None else trained.folder / f"model.{target}"
    facts = facts_of_run(trained)
    pictures, of = compared_pictures(trained, data, tell)
    facts = write(trained.network, trained.task, facts, file)
    report = {"file": file.name, "target": target, "version": facts.version, "fingerprint": facts.fingerprint,
              "bytes": file.stat().st_size, "size": "any" if facts.any_size else list(facts.form.size),
              "pictures": sum(len(batch) for batch in pictures), "of": of}
    compared = {name: parity_of(trained, facts, file, name, pictures) for name in installed_for_files()}
    report["runtimes"] = {name: {target: parity.as_json() for target, parity in found.items()}
                          for name, found in compared.items()}
    report["agrees"] = all(parity.agrees for found in compared.values() for parity in found.values())
    write_text(file.with_name(REPORT), json.dumps(finite(report), indent=1, ensure_ascii=False) + "\n", advice=ADVICE)
    return Exported(file, report)


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
    name = str(trained.recipe["data"]["name"])
    if data is None and (name == NO_DATA or name.startswith(BROUGHT)):
        tell(f"{trained.run} has no data of its own to compare answers on: drawn pictures are taken; export.data names "
             "others")
        return _drawn(trained.form), "drawn pictures"
    try:
        opened = read_data(trained.recipe, None, tell=tell) if data is None else \
            other_data(data, trained.recipe, trained.form, trained.names, tell=tell)
    except DataError as error:
        if data is not None:
            raise
        tell(f"the pictures of {trained.run} cannot be read ({error}): answers are compared on drawn ones; export.data "
             "names others")
        return _drawn(trained.form), "drawn pictures"
    loaders = make_loaders(trained.recipe, opened, trained.task)
    split = next(name for name in ("test", "valid", "train") if name in loaders)
    loader = Loader(loaders[split].dataset, _AT_ONCE, workers=0, rectangular=loaders[split].rectangular)
    return list(_first(loader)), split if data is None else f"{split} of {data}"


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


def _first(loader: Loader) -> Iterator[Tensor]:
    left = PICTURES
    for batch in loader:
        yield batch.images[:left]
        left -= len(batch)
        if left <= 0:
            return


def _drawn(form: Form) -> list[Tensor]:
    """Pictures of patches of chance colours, the same each time."""
    generator = torch.Generator().manual_seed(0)
    cells = [max(1, edge // _GRAIN) for edge in form.size]
    patches = torch.rand((PICTURES, form.channels, *cells), generator=generator)
    largest = 255 if form.bits == 8 else 65535
    return [(F.interpolate(some, form.size) * largest).to(torch.int32).to(form.dtype)
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
