"""From the sections of a recipe that speak of pictures to the pictures: opened, surveyed, divided, decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from lensmith import recipe as recipes
from lensmith.base.errors import count
from lensmith.base.pictures import Form
from lensmith.data.loading import limited
from lensmith.data.memory import InMemory
from lensmith.data.sample import Collection, Parts
from lensmith.data.split import divide, fingerprint, listing
from lensmith.data.store import decode_all, fits, picture_bytes
from lensmith.data.survey import Bad, Survey, drop, survey
from lensmith.data.survey import settle as settle_form
from lensmith.settings import arguments_of, entry_of

Tell = Callable[[str], object]


def silent(text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Data:
    """The pictures of a run, decoded or ready to be, and what was found on the way."""

    splits: dict[str, Any]              # "train", maybe "valid" and "test" -> InMemory or Files
    form: Form
    account: dict[str, Any] = field(default_factory=dict)    # what data.json keeps

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = self.splits["train"].classes
        return found


@dataclass(frozen=True)
class Look:
    """What the headers of a data set's pictures say, before any is decoded."""

    sources: dict[str, Any]    # by given split, without what cannot be read
    form: Form
    surveys: list[Survey]
    dropped: list[Bad]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = next(iter(self.sources.values())).classes
        return found


def open_parts(recipe: recipes.Recipe) -> Parts:
    """The data set that a resolved recipe names, as its format opens it."""
    section = recipe["data"]
    opened: Parts = recipes.call(arguments_of(section), entry_of("data", section["name"], trusted=False))
    return opened


def open_data(recipe: recipes.Recipe, *, tell: Tell = silent) -> Data:
    """Open, survey, divide and decode the data set of a resolved recipe."""
    return prepare(open_parts(recipe), recipe, name=recipe["data"]["name"], tell=tell)


def look(opened: Parts, recipe: recipes.Recipe) -> Look:
    """Read the headers, leave out or refuse what cannot be read, settle the form."""
    wanted = recipe["pictures"]
    dropped: list[Bad] = []
    surveys, sources = [], {}
    for part, source in opened.splits.items():
        found = survey(source)
        surveys.append(found)
        dropped += found.bad
        sources[part] = drop(source, found.bad, on_bad=wanted["on_bad"])
    form = settle_form(surveys, size=wanted.get("size"), channels=wanted.get("channels"), bits=wanted.get("bits"),
                       fit=wanted["fit"])
    return Look(sources, form, surveys, dropped)


def prepare(opened: Parts, recipe: recipes.Recipe, *, name: str, tell: Tell = silent) -> Data:
    """The parts of a data set -> its splits, in one form, without what cannot be read."""
    seen, kept, on_bad = look(opened, recipe), recipe["loading"], recipe["pictures"]["on_bad"]
    form, dropped = seen.form, list(seen.dropped)
    splits = divide(seen.sources, **recipe["split"])
    splits["train"] = limited(splits["train"], kept["fraction"], recipe["run"]["seed"])
    total = sum(len(source) for source in splits.values())
    keep = fits(total, form, share=kept["memory"])
    notes = _notes(seen.surveys, form)
    digests, named, ready = {}, {}, {}
    for part, source in splits.items():
        if not isinstance(source, InMemory):
            tell(f"decoding {count(len(source), 'picture')} ({part})")
        decoded = decode_all(source, form, keep=keep, progress=tell)
        digests[part] = decoded.digest
        dropped += decoded.bad
        named[part] = drop(source, decoded.bad, on_bad="skip")
        ready[part] = drop(decoded.source, decoded.bad, on_bad=on_bad)
    streamed = any(not isinstance(source, InMemory) for source in ready.values())
    if streamed:
        notes.append(f"{total:,} decoded pictures take {total * picture_bytes(form) / 1e6:,.0f} MB, more than "
                     f"loading.memory={kept['memory']:g} of the free memory: they are decoded anew each epoch")
    account = {
        "name": name, "source": opened.account, "classes": {key: list(v) for key, v in ready["train"].classes.items()},
        "form": {"channels": form.channels, "height": form.height, "width": form.width, "fit": form.fit,
                 "bits": form.bits},
        "kept_in_memory": not streamed, "splits": {part: _counts(source) for part, source in ready.items()},
        "fingerprint": fingerprint(splits, digests),
        "dropped": [{"file": one.file, "reason": one.reason} for one in dropped],
        "notes": notes, "files": listing(named),
    }
    return Data(ready, form, account)


def _notes(surveys: Sequence[Survey], form: Form) -> list[str]:
    """What was decided about the form of the pictures, where they do not have it already."""
    headers = [header for one in surveys for header in one.headers if header is not None]
    sizes = {(header.height, header.width) for header in headers}
    if sizes == {form.size}:
        return []
    way = {"crop": "their middle cut out", "pad": "letterboxed", "squash": "stretched"}[form.fit]
    had = "1 size" if len(sizes) == 1 else f"{len(sizes):,} sizes"
    return [f"pictures of {had} are brought to {form.height} x {form.width}, {way} (pictures.size, pictures.fit)"]


def _counts(source: Collection) -> dict[str, Any]:
    label: Any = source.targets.get("label")
    if label is None:
        return {"count": len(source)}
    names = source.classes["label"]
    found = torch.bincount(label.index.clamp(min=0), minlength=len(names)).tolist()
    return {"count": len(source), "per_class": dict(zip(names, found, strict=True))}
