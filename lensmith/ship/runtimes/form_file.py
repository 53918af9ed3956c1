"""What a user says of an ONNX file that others have written: a short TOML file, the `--form` of a command."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import UserError, count, nearest
from lensmith.base.pictures import Fit, Form, Interpolation
from lensmith.base.read_file import Unreadable, bounded_text, toml_of
from lensmith.recipe.schema import settle
from lensmith.ship.runtimes.file_facts import FileFacts, TargetFacts

_BY = "others"    # what stands for the version of Lensmith that wrote a file
# task -> the kind of its target, the axes of the output that it is read from, and the least and the most classes.
_KINDS: dict[str, tuple[str, int, int, int]] = {
    "classification": ("label", 2, 2, 1 << 20), "tagging": ("tags", 2, 1, 1 << 20),
    "regression": ("numbers", 2, 1, 1 << 20), "segmentation": ("mask", 4, 2, 255)}
# The layers at the end of a network whose outputs are probabilities already.
_PROBABILITIES = ("Softmax", "Sigmoid")
_LARGEST = 16 << 20    # bytes of a file of class names


@dataclass(frozen=True)
class FormFile:
    """The settings of the file, each with its default."""

    task: Literal["classification", "tagging", "regression", "segmentation"] = "classification"
    classes: list[str] | str | None = None    # names by number, or a text file with one a line; None: the numbers
    size: int | list[int] | None = None       # pixels, edge or [height, width]; None: as the file says
    fit: Fit = "crop"
    interpolation: Interpolation = "bilinear"
    colours: Literal["rgb", "bgr"] = "rgb"    # the order of the channels
    mean: float | list[float] | None = None   # of values from 0 to 1, of each channel or of all: taken away,
    deviation: float | list[float] | None = None    # and what is divided by
    output: str | None = None                 # of several the one that is read
    scores: Literal["logits", "probabilities"] | None = None    # None: probabilities behind a softmax or sigmoid
    threshold: float = 0.5                    # from which a tag is present


@dataclass(frozen=True)
class Signature:
    """What goes into a file of others, and what of it is read, so that pictures and answers can be brought to it."""

    type: str              # float32, float16 or uint8
    channels_last: bool
    batch: int | None      # how many pictures go in at once; None: any number
    bgr: bool
    mean: tuple[float, ...]         # of each channel, of values from 0 to 1
    deviation: tuple[float, ...]
    output: str
    logits: bool


def read_form(path: Path) -> FormFile:
    """The settings of a form file. Raises UserError for a file that cannot be read or has other settings."""
    try:
        settings = toml_of(path)
    except Unreadable as error:
        near = nearest(path.name, [file.name for file in path.parent.glob("*.toml")]) if error.missing else ""
        raise UserError(f"the form {path} cannot be read: {error.reason}.{near}") from error
    form = FormFile(**settle(settings, FormFile, str(path)))
    size = form_size(form)
    if size is not None and (len(size) != 2 or not all(1 <= edge <= 1 << 20 for edge in size)):
        raise UserError(f"{path}: size must be an edge, as 224, or height and width, as [224, 320]; got {form.size}")
    return form


def form_size(form: FormFile) -> tuple[int, ...] | None:
    """(height, width), where the form says it."""
    return form.size if form.size is None else (form.size, form.size) if isinstance(form.size, int) else \
        tuple(form.size)


def facts_of_others(path: Path, form: FormFile, found: Mapping[str, Any], file: str) -> tuple[FileFacts, Signature]:
    """What a file of others says by its form, and how pictures and answers are brought to it.

    `path` is that of the form; `found` is the signature that `look_into_file` found in `file`. Raises UserError where
    the form lacks something or does not belong to the file.
    """
    channels, (height, width) = found["channels"], found["size"]
    check_picture_fits(channels, height, width)
    kind, axes, least, most = _KINDS[form.task]
    output = _output(path, form, found["outputs"])
    shape = found["outputs"][output]
    # Of [batch, classes, 1, 1], as fully convolutional classifiers give it, the last two say nothing.
    if len(shape) < axes or any(edge != 1 for edge in shape[axes:]) or not least <= shape[1] <= most:
        raise UserError(f"the output {output!r} of {file} has shape {_in_words(shape)}, and task = {form.task!r} in "
                        f"{path} reads {axes} axes, on the second {least} to {most:,} classes: name another task or "
                        "output")
    logits = form.scores == "logits" if form.scores else found["last"].get(output) not in _PROBABILITIES
    mean, deviation = _standardising(path, form, channels, file, whole=found["type"] == "uint8")
    facts = FileFacts({kind: TargetFacts(kind, _classes(path, form, shape[1], file),
                                         form.threshold if kind == "tags" else None)},
                      Form(channels, height, width, fit=form.fit, interpolation=form.interpolation),
                      any_size=found["any_size"], task={"name": form.task}, category_ids=None, version=_BY,
                      fingerprint={"weights": _hash_of(Path(file)), "data": None})
    return facts, Signature(found["type"], found["channels_last"], found["batch"], form.colours == "bgr", mean,
                            deviation, output, logits)


def _hash_of(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _output(path: Path, form: FormFile, outputs: Mapping[str, Any]) -> str:
    names = ", ".join(f"{name!r} ({_in_words(shape)})" for name, shape in outputs.items())
    if form.output is None:
        if len(outputs) != 1:
            raise UserError(f"the file gives {count(len(outputs), 'output')}, {names}: say in {path} which is read, as "
                            f"output = \"{next(iter(outputs), '')}\"")
        return next(iter(outputs))
    if form.output not in outputs:
        near = nearest(form.output, outputs)
        raise UserError(f"{path} names output {form.output!r}, and the file gives {names}.{near}")
    return form.output


def _standardising(path: Path, form: FormFile, channels: int, file: str, *,
                   whole: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, of values from 0 to 1."""
    if whole:
        if form.mean is not None or form.deviation is not None:
            raise UserError(f"{file} takes pictures as they are, uint8: leave mean and deviation out of {path}")
        return (0.0,) * channels, (1.0,) * channels
    if form.mean is None or form.deviation is None:
        raise UserError(f"{file} takes pictures of fractional numbers: say in {path} what is taken away from values "
                        "between 0 and 1 and what they are divided by, as mean = [0.485, 0.456, 0.406] and deviation = "
                        "[0.229, 0.224, 0.225] for most networks of ImageNet, or mean = 0 and deviation = 1")
    given = {"mean": form.mean, "deviation": form.deviation}
    mean, deviation = (tuple(value) if isinstance(value, list) else (value,) * channels for value in given.values())
    for name, value in (("mean", mean), ("deviation", deviation)):
        if len(value) != channels or (name == "deviation" and min(value) <= 0):
            above = " above 0" if name == "deviation" else ""
            raise UserError(f"{path}: {name} must be a number{above}, or one for each of the {channels} channels; got "
                            f"{given[name]}")
    return mean, deviation


def _classes(path: Path, form: FormFile, outputs: int, file: str) -> tuple[str, ...]:
    names = form.classes
    if names is None:
        return tuple(map(str, range(outputs)))
    where = str(path)
    if isinstance(names, str):
        listed = path.parent / Path(names).expanduser()
        try:
            text = bounded_text(listed, largest=_LARGEST)
        except Unreadable as error:
            raise UserError(f"{path} names classes = {names!r}, which cannot be read ({error.reason}): give a text "
                            "file with one name a line") from error
        names, where = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if line.strip()], str(listed)
    if len(names) != outputs:
        raise UserError(f"{where} has {count(len(names), 'name')}, and {file} gives {outputs:,}: name the classes in "
                        "their order")
    if len(set(names)) < len(names) or not all(names):
        twice = next((name for name in names if not name or names.count(name) > 1), "")
        raise UserError(f"{where} names class {twice!r} more than once, or empty: give each a name of its own")
    return tuple(names)


def _in_words(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "one number"
