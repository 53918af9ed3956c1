"""From the sections of a recipe that speak of pictures to the pictures: opened, surveyed, divided, decoded."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch

from lensmith.base.errors import count
from lensmith.base.pictures import Fit, Form
from lensmith.base.progress import ProgressLine
from lensmith.data.sources.box_statistics import box_statistics
from lensmith.data.sources.fitting import boxes_of_files, fit_source
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import Bad, Survey, drop, refuse, settle_form, survey
from lensmith.data.sources.sample import Collection, Source, Splits
from lensmith.data.sources.split import divide, fingerprint, listing
from lensmith.data.sources.subsets import limited, without_background
from lensmith.data.sources.unknown_targets import counts_of, known_in
from lensmith.data.store.at_once import check_shares, decode_all, fits, picture_bytes, takes_long
from lensmith.data.store.file_hashes import contents_of, digest_of
from lensmith.data.store.in_background import Store
from lensmith.data.store.keep import keep_filling
from lensmith.recipe import schema as recipes
from lensmith.recipe.sections import arguments_of, entry_of, learned
from lensmith.values import OBJECTS, kinds_of, of_kind
from lensmith.values.value import Value

Tell = Callable[[str], object]


def silent(text: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Data:
    """The pictures of a run, decoded or ready to be, and what was found on the way."""

    splits: dict[str, Any]              # "train", maybe "valid" and "test" -> InMemory, Files, Filling or Reshaped
    form: Form
    account: dict[str, Any] = field(default_factory=dict)    # what data.json keeps
    store: Store | None = None          # where the pictures are decoded in the background

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = self.splits["train"].classes
        return found

    @property
    def kinds(self) -> dict[str, str]:
        """What each target is: label, tags, numbers, boxes or mask."""
        return kinds_of(self.splits["train"].targets)

    def paused(self) -> AbstractContextManager[None]:
        """Within it no picture is decoded that nobody waits for: for when something else is timed."""
        return self.store.fill.paused() if self.store is not None else nullcontext()


@dataclass(frozen=True)
class _Ready:
    """The splits of a run, ready to be trained on, and what came of their pictures."""

    splits: dict[str, Any]
    digests: dict[str, str]      # of what the files hold, by split
    bad: dict[str, list[Bad]]    # found so far, by split
    kept: str                    # in "memory", in a "file" of the cache, or "not" at all
    note: str = ""
    store: Store | None = None


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

    @property
    def kinds(self) -> dict[str, str]:
        """What each target is: label, tags, numbers, boxes or mask."""
        return kinds_of(next(iter(self.sources.values())).targets)


def open_parts(recipe: recipes.Recipe) -> Splits:
    """The data set that a resolved recipe names, as its format opens it."""
    return open_set(recipe["data"], outlines="masks" in learned(recipe, {}))


def open_set(section: recipes.Section, *, outlines: bool = False) -> Splits:
    """The data set that a resolved section [data] names; with `outlines` its objects with their pixels, which only some
    formats give."""
    entry, given = entry_of("data", section["name"], trusted=False), arguments_of(section)
    if outlines and "outlines" in signature(entry).parameters:
        given = {"outlines": True} | given
    opened: Splits = recipes.call(given, entry, open_set=open_set)
    return opened


def open_data(recipe: recipes.Recipe, *, tell: Tell = silent, whole: bool = False) -> Data:
    """Open, survey, divide and decode the data set of a resolved recipe; `whole` as of prepare()."""
    return prepare(open_parts(recipe), recipe, name=recipe["data"]["name"], tell=tell, whole=whole)


def look(opened: Splits, recipe: recipes.Recipe) -> Look:
    """Read the headers, leave out or refuse what cannot be read, settle the form."""
    wanted = recipe["pictures"]
    dropped: list[Bad] = []
    surveys, sources = [], {}
    for part, source in opened.splits.items():
        found = survey(source)
        surveys.append(found)
        dropped += found.bad
        sources[part] = drop(source, found.bad, on_bad=wanted["on_bad"])
    first = next(iter(sources.values()))
    seen = _learned(recipe, first)    # masks may still lie in their files
    fit: Fit = wanted.get("fit") or ("pad" if any(value.spatial for value in seen.values()) else "crop")
    form = settle_form(surveys, size=wanted.get("size"), channels=wanted.get("channels"), bits=wanted.get("bits"),
                       fit=fit, interpolation=wanted.get("interpolation", "bilinear"))
    for (part, source), found in zip(sources.items(), surveys, strict=True):
        sources[part] = fit_source(source, [header for header in found.headers if header is not None], form)
    return Look(sources, form, surveys, dropped)


def prepare(opened: Splits, recipe: recipes.Recipe, *, name: str, tell: Tell = silent, whole: bool = False) -> Data:
    """The parts of a data set -> its splits, in one form, without what cannot be read.

    A set that takes long to decode is decoded while it is used already; what then turns out to be bad stays a row of
    its split, is in no batch, and is in `store.bad()`. With `whole` every picture is decoded before, and then as many
    as can be are named in the account.
    """
    seen, wanted = look(opened, recipe), recipe["loading"]
    check_shares(wanted["memory"], wanted["disk"])
    splits = divide(seen.sources, **recipe["split"])
    splits["train"] = limited(splits["train"], wanted["fraction"], recipe["run"]["seed"])
    boxes = of_kind(_learned(recipe, splits["train"]), *OBJECTS)
    if boxes:
        splits["train"] = without_background(splits["train"], wanted["background"], recipe["run"]["seed"])
    on_disk = all(isinstance(source, Files) for source in splits.values())
    way = _while_used if on_disk and not whole and takes_long(splits) else _before_use
    ready = way(splits, seen.form, recipe, tell)
    dropped = [*seen.dropped, *(one for bad in ready.bad.values() for one in bad)]
    named = {part: drop(source, ready.bad.get(part, []), on_bad="skip") for part, source in splits.items()}
    form = seen.form
    account = {
        "name": name, "source": opened.account,
        "classes": {key: list(v) for key, v in ready.splits["train"].classes.items()},
        "form": {"channels": form.channels, "height": form.height, "width": form.width, "fit": form.fit,
                 "bits": form.bits, "interpolation": form.interpolation},
        "kept": ready.kept, "splits": {part: _counts(source) for part, source in ready.splits.items()},
        "fingerprint": fingerprint(splits, ready.digests), "dropped": dropped_as_json(dropped),
        "notes": _notes(seen.surveys, form) + [ready.note] * bool(ready.note), "files": listing(named),
    }
    if boxes:
        account["boxes"] = _box_statistics(splits["train"], boxes[0], form)
    return Data(ready.splits, form, account, ready.store)


def _learned(recipe: recipes.Recipe, source: Collection) -> dict[str, Value]:
    """The targets of a source that the recipe's task reads."""
    return {name: source.targets[name] for name in learned(recipe, source.classes) if name in source.targets}


def _box_statistics(source: Source, target: str, form: Form) -> dict[str, Any]:
    """What the boxes of a target are like, of the pictures of which they are known."""
    names = source.classes[target]
    boxes, sizes = boxes_of_files(source, form, target)
    rows = torch.from_numpy(known_in(source, target).nonzero()[0])
    return box_statistics(boxes.take(rows), sizes[rows], names)


def dropped_as_json(bad: Sequence[Bad]) -> list[dict[str, str]]:
    """Pictures that cannot be used, as data.json lists them."""
    return [{"file": one.file, "reason": one.reason} for one in bad]


def _before_use(splits: Mapping[str, Any], form: Form, recipe: recipes.Recipe, tell: Tell) -> _Ready:
    """Decode every picture now, and keep them where they fit into memory."""
    memory, on_bad = recipe["loading"]["memory"], recipe["pictures"]["on_bad"]
    total = sum(len(source) for source in splits.values())
    keep = fits(total, form, share=memory)
    digests, ready, bad = {}, {}, {}
    for part, source in splits.items():
        if not isinstance(source, InMemory):
            tell(f"decoding {count(len(source), 'picture')} ({part})")
        decoded = decode_all(source, form, keep=keep, progress=tell)
        digests[part], bad[part] = decoded.digest, decoded.bad
        ready[part] = drop(decoded.source, decoded.bad, on_bad=on_bad)
    kept = all(isinstance(source, InMemory) for source in ready.values())
    note = "" if kept else f"{_too_large(total, form, memory)}: they are decoded anew each epoch"
    return _Ready(ready, digests, bad, "memory" if kept else "not", note)


def _while_used(splits: Mapping[str, Files], form: Form, recipe: recipes.Recipe, tell: Tell) -> _Ready:
    """Begin to decode the pictures; where they fit neither into memory nor into the cache they are decoded when they
    are asked for."""
    memory, disk = recipe["loading"]["memory"], recipe["loading"]["disk"]
    total = sum(len(source) for source in splits.values())
    contents = {part: contents_of(source.paths, root=source.root, tell=tell) for part, source in splits.items()}
    digests = {part: digest_of(found.hashes) for part, found in contents.items()}
    kept = keep_filling(splits, contents, form, memory=memory, disk=disk, tell=tell)
    refusing = recipe["pictures"]["on_bad"] == "refuse"
    if kept is None:
        if refusing:
            for source in splits.values():
                refuse(decode_all(source, form, keep=False, progress=tell).bad)
        room = (f" and, as a file of the cache, more than loading.disk={disk:g} of cache and free disk together"
                if disk else "")
        return _Ready({part: source.shaped(form) for part, source in splits.items()}, digests, {}, "not",
                      f"{_too_large(total, form, memory)}{room}: they are decoded anew each epoch")
    if refusing:
        tell(f"decoding {count(total, 'picture')}")
        kept.store.wait(ProgressLine("decoded", total, tell))
        refuse(kept.store.bad())
    if kept.folder is None:
        return _Ready(dict(kept.sources), digests, {}, "memory", store=kept.store)
    return _Ready(dict(kept.sources), digests, {}, "file", f"{_too_large(total, form, memory)}: they are kept in "
                  f"{kept.folder}", kept.store)


def _too_large(total: int, form: Form, memory: float) -> str:
    return (f"{total:,} decoded pictures take {total * picture_bytes(form) / 1e6:,.0f} MB, more than "
            f"loading.memory={memory:g} of the free memory")


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
    """The pictures of a split, and, where it has labels or several targets, how many of each class."""
    if len(source.targets) < 2 and not of_kind(source.targets, "label"):
        return {"count": len(source)}
    parts = counts_of(source)
    if "label" in parts:
        return {"count": len(source), "per_class": parts["label"]["per_class"]}
    per_class = {}
    for part, found in parts.items():
        for name, number in found.get("per_class", {"known": found["known"]}).items():
            per_class[f"{part}: {name}"] = number
        if found["unknown"]:
            per_class[f"{part} not known"] = found["unknown"]
    return {"count": len(source), "per_class": per_class, "parts": parts}
