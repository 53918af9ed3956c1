"""What a network in a file says of itself: all that a program needs to use it, as JSON in the file's metadata."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from lensmith.base.device import check_picture_fits
from lensmith.base.errors import ModelError, in_short
from lensmith.base.pictures import Fit, Form, Interpolation, form_of

KEY = "lensmith"    # of the entry in the metadata of an ONNX file
FORMAT = 2          # of what the entry holds
_FORMATS = (1, FORMAT)    # that are read; files of the first fit no pictures
INPUT = "pictures"
_KINDS = ("label", "tags", "numbers", "boxes", "mask", "masks")
OBJECTS_IN_FILES = ("boxes", "masks")
# Which output of a kind says how sure the answers are, by its number in `outputs_of`; of the others the first.
_SCORES = {"mask": 1, "boxes": 2, "masks": 3}


@dataclass(frozen=True)
class TargetFacts:
    """One target that a file gives an answer to."""

    kind: str                     # label, tags, numbers, boxes, mask or masks
    classes: tuple[str, ...]      # the names of its classes or quantities, by number
    threshold: float | None = None    # of tags, from which one is present; of objects, the least score in the file
    shown: float | None = None        # of objects, the least score that a prediction shows by itself
    overlap: float | None = None      # of objects, the IoU above which the worse of two was left out
    most: int | None = None           # of objects, the rows that each picture has in the file


@dataclass(frozen=True)
class FileFacts:
    """The entry as a whole."""

    targets: dict[str, TargetFacts]
    form: Form                              # what the pictures are brought to before they go in
    any_size: bool                          # whether the network takes pictures of other sizes too
    task: dict[str, Any]                    # the section [task] of the recipe
    category_ids: tuple[int, ...] | None    # of the classes in the COCO file that was learned from
    version: str                            # of Lensmith
    fingerprint: dict[str, str | None] = field(default_factory=dict)    # of the weights, and of the data
    # Whether pictures go in one at a time at their own size, are fitted inside, and answers come in their pixels.
    fits_inside: bool = False

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        return {name: target.classes for name, target in self.targets.items()}

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The names of the tensors that the file gives, by target."""
        return {name: outputs_of(name, target.kind, fits_inside=self.fits_inside)
                for name, target in self.targets.items()}

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the tensors that change least where an answer does: how sure it is, and numbers themselves.
        Corners have another order as soon as two scores change places. Not of a file that fits pictures inside."""
        return tuple(self.outputs[name][_SCORES.get(target.kind, 0)] for name, target in self.targets.items())

    def key(self) -> str:
        """A hash of all that the file depends on, 32 hex digits."""
        content = json.dumps([asdict(self) | {"any_size": None}, FORMAT], sort_keys=True, default=str)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def as_json(self) -> str:
        content = asdict(self) | {"format": FORMAT, "form": self.form.as_json(), "input": INPUT,
                                  "outputs": {name: list(names) for name, names in self.outputs.items()}}
        return json.dumps(content, ensure_ascii=False)


def outputs_of(name: str, kind: str, *, fits_inside: bool = False) -> tuple[str, ...]:
    """The names of the tensors that hold the answers to the target `name`.

    - label, tags: float [batch, classes], probabilities. numbers: float [batch, quantities], in their own units.
    - mask: uint8 [batch, height, width], classes; NAME_scores: float [batch, classes, height, width], probabilities.
    - boxes: float [batch, most, 4], x0 y0 x1 y1 in pixels of the pictures, the best first; NAME_classes: int64
      [batch, most], -1 behind the last object; NAME_scores: float [batch, most]; NAME_count: int64 [batch].
    - masks: uint8 [batch, most, height, width], 1 inside of an object; NAME_boxes, NAME_classes, NAME_scores and
      NAME_count as of boxes; NAME_margins: float [batch, most, rows, columns], above 0 inside, in cells over the
      picture.

    A file that fits the picture inside gives no scores of masks and no margins, masks of as many objects as there are,
    and the class 255 where the network saw nothing.
    """
    parts = {"mask": ("scores",), "boxes": ("classes", "scores", "count"),
             "masks": ("boxes", "classes", "scores", "count", "margins")}.get(kind, ())
    if fits_inside and kind in ("mask", "masks"):
        parts = parts[:-1]
    return (name, *(f"{name}_{part}" for part in parts))


def facts_of_file(text: str, file: str) -> FileFacts:
    """The facts that `FileFacts.as_json` wrote. Raises ModelError for other content."""
    try:
        content = json.loads(text)
        found = content["format"]
        if found not in _FORMATS:
            raise ModelError(f"{file} has facts of format {in_short(found)}, and this version reads up to {FORMAT}: "
                             "export the run again, or use the version of Lensmith that wrote the file")
        fits_inside = found == FORMAT and content["fits_inside"]
        targets = {str(name): _target(target) for name, target in content["targets"].items()}
        form = form_of(content["form"])
        check_picture_fits(form.channels, form.height, form.width)
        if not (targets and form.fit in get_args(Fit) and form.bits in (8, 16)
                and form.interpolation in get_args(Interpolation) and isinstance(content["any_size"], bool)
                and isinstance(fits_inside, bool)):
            raise ValueError("its form or its targets are none")
        task = content["task"]
        if not (isinstance(task, dict) and isinstance(task["name"], str)):
            raise ValueError("it names no task")
        ids = content["category_ids"]
        return FileFacts(targets, form, content["any_size"], task, None if ids is None else tuple(map(int, ids)),
                         str(content["version"]), dict(content["fingerprint"]), fits_inside)
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ModelError(f"what {file} says of itself cannot be read ({what}): export the run again") from error


def _target(content: dict[str, Any]) -> TargetFacts:
    target = TargetFacts(**{**content, "classes": tuple(map(str, content["classes"]))})
    numbers = (target.threshold, target.shown, target.overlap)
    if target.kind not in _KINDS or not target.classes or \
            not all(number is None or 0 <= float(number) <= 1 for number in numbers):
        raise ValueError(f"a target of kind {target.kind!r}")
    if target.kind in ("tags", *OBJECTS_IN_FILES) and target.threshold is None:
        raise ValueError(f"a target of kind {target.kind!r} without a threshold")
    return target
