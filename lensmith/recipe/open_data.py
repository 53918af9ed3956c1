"""Opens, surveys, divides and decodes the pictures that the sections of a recipe describe."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from lensmith.base.errors import DataError, count
from lensmith.base.picture_headers import MOST_PIXELS, accept_pixels
from lensmith.base.pictures import Fit, Form
from lensmith.base.progress import ProgressLine
from lensmith.data.formats.files_below import other_formats
from lensmith.data.formats.known_classes import KnownClasses
from lensmith.data.formats.reading_rules import READING
from lensmith.data.sources.box_statistics import box_statistics
from lensmith.data.sources.deep_values import cut_in_words, deep_in_words, given_values, values_of_files
from lensmith.data.sources.fitting import boxes_of_files, fit_source
from lensmith.data.sources.in_memory import InMemory
from lensmith.data.sources.leave_out import without_listed
from lensmith.data.sources.picture_files import Files
from lensmith.data.sources.picture_form import Bad, Survey, drop, refuse, settle_form, survey
from lensmith.data.sources.sample import Collection, Source, Splits
from lensmith.data.sources.split import divide, fingerprint, listing
from lensmith.data.sources.subsets import limited, without_background
from lensmith.data.sources.unknown_targets import counts_of, known_in, unmeasurable
from lensmith.data.store.at_once import check_fractions, decode_all, fits, picture_bytes, takes_long
from lensmith.data.store.file_hashes import contents_of, digest_of
from lensmith.data.store.in_background import Store
from lensmith.data.store.keep import keep_filling
from lensmith.data.store.same_contents import refuse_repeats, same_contents, without_repeats
from lensmith.recipe import schema as recipes
from lensmith.recipe.defaults import usual_form
from lensmith.recipe.sections import arguments_of, entry_of, learned_targets
from lensmith.values import OBJECTS, kinds_of, of_kind
from lensmith.values.value import Value

Tell = Callable[[str], object]


def silent(text: str) -> None:
    """Drop the line: nobody reads it."""


@dataclass(frozen=True)
class Data:
    """The pictures of a run, decoded or ready to be decoded, and the account of how they were prepared."""

    splits: dict[str, Any]              # by name ("train", maybe "valid", "test"): InMemory, Files, Filling or Reshaped
    form: Form
    account: dict[str, Any] = field(default_factory=dict)    # the content of data.json
    store: Store | None = None          # decodes the pictures in the background, if anything does
    natural: Form | None = None         # the form that the pictures have by themselves; None: not known
    pictures: int = 0                   # that the training split is taken from
    # The folder below which the names of a split's places lie; None of pictures that lie in no files of their own.
    roots: Mapping[str, Path | None] = field(default_factory=dict)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        classes: dict[str, tuple[str, ...]] = self.splits["train"].classes
        return classes

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each target: label, tags, numbers, boxes, mask or masks."""
        return kinds_of(self.splits["train"].targets)

    def paused(self) -> AbstractContextManager[None]:
        """A context that stops decoding in the background, so that it does not disturb what is timed in it."""
        return self.store.fill.paused() if self.store is not None else nullcontext()


@dataclass(frozen=True)
class _Ready:
    """The splits of a run, ready to be trained on, with the digests and the bad pictures of each."""

    splits: dict[str, Any]
    digests: dict[str, str]      # of the contents of the files, by split
    bad: dict[str, list[Bad]]    # the pictures known to be bad so far, by split
    kept: str                    # where decoded pictures are: in "memory", in a "file" of the cache, or "not" kept
    note: str = ""
    store: Store | None = None


@dataclass(frozen=True)
class SurveyedSplits:
    """The splits of a data set as the headers of its pictures describe them, before any picture is decoded."""

    sources: dict[str, Any]    # by split of the data set, without the pictures that cannot be read
    form: Form
    natural: Form    # that the pictures have by themselves, where the recipe names no size
    surveys: list[Survey]
    dropped: list[Bad]

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        classes: dict[str, tuple[str, ...]] = next(iter(self.sources.values())).classes
        return classes

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each target: label, tags, numbers, boxes, mask or masks."""
        return kinds_of(next(iter(self.sources.values())).targets)

    @property
    def pictures(self) -> int:
        """How many pictures the training split is taken from."""
        return len(next(iter(self.sources.values())))


def open_splits(recipe: recipes.Recipe, known: KnownClasses | None = None) -> Splits:
    """The data set that a resolved recipe names, as its format opens it; `known` as of `open_set`."""
    accept_pixels(recipe.get("pictures", {}).get("most_pixels", MOST_PIXELS))
    learned = learned_targets(recipe, {})
    return open_set(recipe["data"], outlines="masks" in learned if learned else None, known=known)


def open_set(section: recipes.Section, *, outlines: bool | None = None, known: KnownClasses | None = None) -> Splits:
    """The data set that a resolved section [data] names.

    `outlines` says whether the task learns the pixels of the objects, None where no task is named. `known` are the
    targets and classes of a network that is measured on the set. Formats that have no use for them ignore them.
    """
    entry, arguments = entry_of("data", section["name"], trusted=False), arguments_of(section)
    leave_out = arguments.pop("leave_out", None)
    if outlines is not None and "outlines" in signature(entry).parameters:
        arguments = {"outlines": outlines} | arguments
    opened: Splits = recipes.call(arguments, entry, open_set=partial(open_set, known=known), known=known)
    if leave_out is not None:
        opened = without_listed(opened, Path(leave_out).expanduser())
    others = other_formats(section.get("path", ""))
    return replace(opened, account={**opened.account, "other_formats": others}) if others else opened


def open_data(recipe: recipes.Recipe, *, tell: Tell = silent, whole: bool = False,
              known: KnownClasses | None = None) -> Data:
    """Open, survey, divide and decode the data set of a resolved recipe. `whole` means what it means in `prepare`. A
    set that a network is measured on, whose classes are `known`, may have one class."""
    return prepare(open_splits(recipe, known), recipe, name=recipe["data"]["name"], tell=tell, whole=whole,
                   held_out=known is not None)


def survey_splits(opened: Splits, recipe: recipes.Recipe, *, held_out: bool = False) -> SurveyedSplits:
    """Read the headers of all pictures, drop or refuse those that cannot be read, and settle the form. A set that is
    not `held_out` is learned from: raises DataError where it has one class alone."""
    if not held_out:
        refuse_one_class(opened)
    settings = recipe["pictures"]
    dropped: list[Bad] = []
    surveys, sources = [], {}
    for split, source in opened.splits.items():
        surveyed = survey(source, settings["most_pixels"])
        surveys.append(surveyed)
        dropped += surveyed.bad
        sources[split] = drop(source, surveyed.bad, on_bad=settings["on_bad"])
    values = settings.get("values") or values_of_files(opened.splits.values(), [found.headers for found in surveys])
    first = next(iter(sources.values()))
    targets = _learned(recipe, first)    # masks may still lie in their files
    fit: Fit = settings.get("fit") or ("pad" if any(value.spatial for value in targets.values()) else "crop")
    natural = settle_form(surveys, size=settings.get("size"), channels=settings.get("channels"),
                          bits=settings.get("bits"), fit=fit, interpolation=settings.get("interpolation") or "bilinear",
                          values=None if values is None or values == "clipped" else given_values(values),
                          most_pixels=settings["most_pixels"])
    form = usual_form(recipe, first.classes, natural, kinds=kinds_of(first.targets), pictures=len(first))
    for (split, source), surveyed in zip(sources.items(), surveys, strict=True):
        sources[split] = fit_source(source, [header for header in surveyed.headers if header is not None], form)
    return SurveyedSplits(sources, form, natural, surveys, dropped)


def prepare(opened: Splits, recipe: recipes.Recipe, *, name: str, tell: Tell = silent, whole: bool = False,
            held_out: bool = False) -> Data:
    """The splits that a data set has -> the splits of the run, in one form, without pictures that cannot be read.

    A set that takes long to decode is decoded while training already uses it. A picture that turns out to be bad then
    stays a row of its split, is in no batch, and is listed by `store.bad()`. With `whole` every picture is decoded
    first, so that the account lists all bad ones. A set that is `held_out` is measured alone, and may have one class.
    """
    surveyed, loading = survey_splits(opened, recipe, held_out=held_out), recipe["loading"]
    check_fractions(loading["memory"], loading["disk"])
    same = same_contents(surveyed.sources)
    source_account = {**opened.account, **same.account(surveyed.sources)}
    if recipe["pictures"]["on_bad"] == "refuse":
        refuse_repeats(source_account)
    sources, same = without_repeats(surveyed.sources, same)
    splits = divide(sources, **recipe["split"], alike=same.of_training())
    splits["train"] = limited(splits["train"], loading["fraction"], recipe["run"]["seed"])
    object_targets = of_kind(_learned(recipe, splits["train"]), *OBJECTS)
    if object_targets:
        splits["train"] = without_background(splits["train"], loading["background"], recipe["run"]["seed"])
    on_disk = all(isinstance(source, Files) for source in splits.values())
    decode = _while_used if on_disk and not whole and takes_long(splits) else _before_use
    form = surveyed.form
    ready = decode(splits, form, recipe, tell)
    dropped = [*surveyed.dropped, *(picture for bad in ready.bad.values() for picture in bad)]
    listed = {split: drop(source, ready.bad.get(split, []), on_bad="skip") for split, source in splits.items()}
    account = {
        "name": name, "source": {key: value for key, value in source_account.items() if key != "notes"},
        "classes": {target: list(names) for target, names in ready.splits["train"].classes.items()},
        "form": form.as_json(), "kept": ready.kept,
        "splits": {split: _counts(source) for split, source in ready.splits.items()},
        "fingerprint": fingerprint(splits, ready.digests), "reading": READING, "dropped": dropped_as_json(dropped),
        "notes": [*opened.account.get("notes", []), *_notes(surveyed.surveys, form), *[ready.note] * bool(ready.note),
                  *_not_measurable(splits, _learned(recipe, splits["train"]))],
        "files": listing(listed),
    }
    if object_targets:
        account["boxes"] = _box_statistics(splits["train"], object_targets[0], form)
    roots = {split: getattr(source, "root", None) for split, source in splits.items()}
    return Data(ready.splits, form, account, ready.store, surveyed.natural, surveyed.pictures, roots)


def refuse_one_class(opened: Splits) -> None:
    """Raise a DataError where a label of the set to learn from has one class alone."""
    first = next(iter(opened.splits.values()))
    for target in of_kind(first.targets, "label"):
        names = first.classes[target]
        if len(names) < 2:
            where = opened.account.get("folder") or "the data set"
            raise DataError(f"{where} has one class only, {names[0]!r}: to tell classes apart takes at least two")


def _learned(recipe: recipes.Recipe, source: Collection) -> dict[str, Value]:
    """The targets of a source that the recipe's task reads."""
    return {name: source.targets[name] for name in learned_targets(recipe, source.classes) if name in source.targets}


def _box_statistics(source: Source, target: str, form: Form) -> dict[str, Any]:
    """Statistics of the boxes of a target, over the pictures whose boxes are known."""
    names = source.classes[target]
    boxes, sizes = boxes_of_files(source, form, target)
    rows = torch.from_numpy(known_in(source, target).nonzero()[0])
    return box_statistics(boxes.take(rows), sizes[rows], names)


def dropped_as_json(bad: Sequence[Bad]) -> list[dict[str, str]]:
    """Pictures that cannot be used, as data.json lists them."""
    return [{"file": picture.file, "reason": picture.reason} for picture in bad]


def _before_use(splits: Mapping[str, Any], form: Form, recipe: recipes.Recipe, tell: Tell) -> _Ready:
    """Decode every picture now, and keep the decoded pictures if they fit into memory."""
    memory, on_bad = recipe["loading"]["memory"], recipe["pictures"]["on_bad"]
    total = sum(len(source) for source in splits.values())
    keep = fits(total, form, fraction=memory)
    digests, ready, bad = {}, {}, {}
    in_files = sum(len(source) for source in splits.values() if not isinstance(source, InMemory))
    if in_files:
        tell(f"decoding {count(in_files, 'picture')}")
    for split, source in splits.items():
        decoded = decode_all(source, form, keep=keep, progress=tell)
        digests[split], bad[split] = decoded.digest, decoded.bad
        ready[split] = drop(decoded.source, decoded.bad, on_bad=on_bad)
    kept = all(isinstance(source, InMemory) for source in ready.values())
    note = "" if kept else f"{_too_large(total, form, memory)}: they are decoded anew each epoch"
    return _Ready(ready, digests, bad, "memory" if kept else "not", note)


def _while_used(splits: Mapping[str, Files], form: Form, recipe: recipes.Recipe, tell: Tell) -> _Ready:
    """Begin to decode the pictures in the background.

    Pictures that fit neither into memory nor into the cache are decoded each time they are asked for.
    """
    memory, disk = recipe["loading"]["memory"], recipe["loading"]["disk"]
    total = sum(len(source) for source in splits.values())
    contents = {split: contents_of(source.paths, root=source.root, tell=tell) for split, source in splits.items()}
    digests = {split: digest_of(content.hashes) for split, content in contents.items()}
    kept = keep_filling(splits, contents, form, memory=memory, disk=disk, tell=tell)
    refusing = recipe["pictures"]["on_bad"] == "refuse"
    if kept is None:
        if refusing:
            for source in splits.values():
                refuse(decode_all(source, form, keep=False, progress=tell).bad)
        room = (f" and, as a file of the cache, more than loading.disk={disk:g} of cache and free disk together"
                if disk else "")
        return _Ready({split: source.shaped(form) for split, source in splits.items()}, digests, {}, "not",
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
    """Lines about how pictures are brought to the form, unless all have it already."""
    headers = [header for surveyed in surveys for header in surveyed.headers if header is not None]
    bits = list(filter(None, (deep_in_words(headers, bits=form.bits, values=form.values), cut_in_words(headers))))
    sizes = {(header.height, header.width) for header in headers}
    if sizes == {form.size}:
        return bits
    method = {"crop": "their middle cut out", "pad": "letterboxed", "squash": "stretched"}[form.fit]
    size_count = "1 size" if len(sizes) == 1 else f"{len(sizes):,} sizes"
    return [f"pictures of {size_count} are brought to {form.height} x {form.width}, {method} "
            "(pictures.size, pictures.fit)", *bits]


def _not_measurable(splits: Mapping[str, Any], targets: Mapping[str, Value]) -> list[str]:
    """A line on each split that is held out and of which nothing of any target can be measured."""
    lines = []
    for split in ("valid", "test"):
        if split in splits and targets and all(unmeasurable(splits[split], target) for target in targets):
            what = "shows no object" if all(value.kind in OBJECTS for value in targets.values()) else \
                "has no picture of which the target is known"
            then = "the newest epoch is taken for the best" if split == "valid" else "no score is told of it"
            lines.append(f"the {split} split {what}, so that it cannot be measured and {then}: give it pictures that "
                         f"have one, or leave it out{' and let split.valid divide train' if split == 'valid' else ''}")
    return lines


def _counts(source: Collection) -> dict[str, Any]:
    """The number of pictures of a split, and of each class if the split has labels or several targets."""
    if len(source.targets) < 2 and not of_kind(source.targets, "label"):
        return {"count": len(source)}
    counts = counts_of(source)
    if "label" in counts:
        return {"count": len(source), "per_class": counts["label"]["per_class"]}
    per_class = {}
    for target, counted in counts.items():
        for name, number in counted.get("per_class", {"known": counted["known"]}).items():
            per_class[f"{target}: {name}"] = number
        if counted["unknown"]:
            per_class[f"{target} not known"] = counted["unknown"]
    return {"count": len(source), "per_class": per_class, "parts": counts}
