"""What `lensmith convert` does: which of the conversions its arguments ask for, and what was done, by name."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lensmith.base.errors import UserError
from lensmith.data.formats.write_sets import with_known_boxes, write_boxes, writers
from lensmith.data.sources.findings import findings, findings_line
from lensmith.engine.plan.plan import plan_from_json
from lensmith.models.adapters.embedded_weights import IMAGENET
from lensmith.recipe.from_source import recipe_for
from lensmith.recipe.open_data import Tell, open_splits, silent
from lensmith.recipe.schema import data_name_in, override
from lensmith.recipe.sections import resolve
from lensmith.ship.export.darknet import Imported, write_darknet
from lensmith.ship.export.finished_network import FinishedNetwork, preprocessing
from lensmith.ship.export.imagenet import ImagenetClassifier
from lensmith.ship.export.to_fully_convolutional import write_convolutional
from lensmith.training.trained import load

_CODE = re.compile(r".+(\.py|\w):[A-Za-z_]\w*")


@dataclass(frozen=True)
class Seen:
    """What only the maker of a finished network knows: its classes, and how it sees pictures."""

    classes: Path | None = None
    mean: str | None = None
    std: str | None = None
    size: str | None = None

    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{field.name}" for field in fields(self) if getattr(self, field.name) is not None]


def _usage() -> str:
    return ("lensmith convert takes CFG WEIGHTS RUN (Darknet's files to a run folder), RUN CFG WEIGHTS (a run that "
            f"came from a cfg, back), {IMAGENET} RUN, RUN NEW --convolutional, or DATA FOLDER --to "
            f"{'|'.join(writers())} [data.KEY=VALUE ...], or FILE.py:NET WEIGHTS RUN --classes FILE --mean NUMBERS "
            "--std NUMBERS --size EDGE (a finished network of anybody's to a run folder)")


def converted(sources: list[str], *, to: str | None, names: Path | None, images: str, trust: bool, command: str,
              convolutional: bool = False, seen: Seen | None = None, tell: Tell = silent) -> dict[str, Any]:
    """Convert `sources`; -> what was done, by name. `tell` gets a line on what a data set loses. Raises UserError for
    arguments that mean nothing together."""
    settings = [source for source in sources if re.match(r"data\.[a-z_]+=", source)]
    sources = [source for source in sources if source not in settings]
    if settings and to is None:
        raise UserError(f"{_usage()}; got {' '.join(settings)} without --to")
    seen = seen or Seen()
    if len(sources) == 3 and _CODE.fullmatch(sources[0]) and to is None and not convolutional:
        return _run(_finished(sources, names, seen), Path(sources[2]), command=command)
    if given := seen.given():
        raise UserError(f"{_usage()}; got {given[0]} with {' '.join(sources)}")
    paths = [Path(source) for source in sources]
    suffixes = [path.suffix.lower() for path in paths]
    if convolutional:
        if len(sources) != 2 or names is not None or to is not None:
            raise UserError(f"{_usage()}; got --convolutional with {', '.join(sources)}")
        return _convolutional(paths[0], paths[1], trust=trust, command=command)
    if to is not None:
        if len(sources) != 2 or names is not None:
            raise UserError(f"{_usage()}; got --to {to} with {', '.join(sources)}")
        return _data(sources[0], settings, paths[1], to, images, tell)
    if len(paths) == 3 and suffixes[:2] == [".cfg", ".weights"]:
        return _run(Imported(paths[0], paths[1], names), paths[2], command=command)
    if len(paths) == 2 and sources[0] == IMAGENET and names is None:
        return _run(ImagenetClassifier(), paths[1], command=command)
    if len(paths) == 3 and suffixes[1:] == [".cfg", ".weights"] and names is None:
        write_darknet(load(paths[0], trust=trust).network, paths[1], paths[2])
        return {"cfg": sources[1], "weights": sources[2]}
    raise UserError(f"{_usage()}; got {' '.join(sources)}")


def _finished(sources: Sequence[str], names: Path | None, seen: Seen) -> FinishedNetwork:
    """The finished network that the arguments name. Raises UserError where something that only its maker knows is not
    said."""
    classes = seen.classes or names
    if classes is None or seen.mean is None or seen.std is None or seen.size is None:
        lacking = [option for option, value in (("--classes", classes), ("--mean", seen.mean), ("--std", seen.std),
                                                ("--size", seen.size)) if value is None]
        raise UserError(f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing: neither code nor "
                        "weights say it. --classes names.txt has the class names, one a line; --mean and --std are "
                        "those of its training, 0,0,0 and 1,1,1 where pictures were divided by 255 alone; --size is "
                        "the edge of its pictures")
    return FinishedNetwork(sources[0], Path(sources[1]), classes, preprocessing(seen.size, seen.mean, seen.std))


def _run(converted: Imported | ImagenetClassifier | FinishedNetwork, folder: Path, *, command: str) -> dict[str, Any]:
    run = converted.write(folder, command=command)
    return {"run": str(run), "task": converted.recipe["task"]["name"],
            "size": f"{converted.form.height} x {converted.form.width}",
            "classes": len(next(iter(converted.classes.values()))),
            "parameters": sum(parameter.numel() for parameter in converted.network.parameters())}


def _convolutional(source: Path, folder: Path, *, trust: bool, command: str) -> dict[str, Any]:
    trained = load(source, device="cpu", trust=trust)
    plan = plan_from_json(trained.run.read_json("plan.json"))
    run, window = write_convolutional(trained.run, folder, recipe=trained.recipe, network=trained.network,
                                      task=trained.task, form=trained.form, plan=plan, command=command)
    return {"run": str(run), "size": f"{trained.form.height} x {trained.form.width}",
            "window": f"{window[0]} x {window[1]} cells"}


def _data(source: str, settings: Sequence[str], folder: Path, to: str, images: str, tell: Tell) -> dict[str, Any]:
    section = {"data": recipe_for(source, name=data_name_in(settings)).get("data", {})}
    opened = open_splits(resolve(override(section, settings, ("data",)), trusted=False))
    if line := findings_line(findings({"source": opened.account}),
                           shlex.join(["lensmith", "data", "show", source, "--all"])):
        tell(line)
    ids = opened.account.get("category_ids")
    splits = with_known_boxes(opened.splits)
    files = write_boxes(to, splits, folder, images=images, category_ids=ids)    # type: ignore[arg-type]
    return {"folder": str(folder), "format": to, "files": files,
            "pictures": sum(len(split) for split in splits.values())}
