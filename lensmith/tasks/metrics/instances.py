"""How well objects are found with their pixels: COCO's average precision of masks, that of boxes beside it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lensmith.tasks.metrics.box_matching import Matches, mask_overlaps, match, predicted_boxes, true_boxes
from lensmith.tasks.metrics.boxes import BoxMetrics, measured_matches
from lensmith.values.instance_masks import Masks
from lensmith.values.value import Value

_COLUMNS = ("classes", "scores", "rank", "image", "right", "wrong")
_DETAILS = ("confusion", "confusion_names")    # that boxes give and masks do not


class InstanceMetrics:
    """The numbers of `pycocotools` for the same masks as `mask_mAP50-95` and so on, those of the boxes as `box_...`.

    Masks are compared when they come, in the network's pixels, and not kept: what is kept is which met which. Sizes are
    in the files' pixels, of the truth as its annotation says.
    """

    def __init__(self, classes: tuple[str, ...], *, target: str = "masks"):
        self.classes, self.target = classes, target
        self.boxes = BoxMetrics(classes)
        self.columns: dict[str, list[Tensor]] = {name: [] for name in _COLUMNS}
        self.positives = torch.zeros(len(classes), 4, dtype=torch.int64)

    def update(self, predictions: dict[str, Value], targets: dict[str, Value], *, count: int) -> None:
        """Count the `count` pictures of a batch: stacked `Masks`, corners and areas in the file's pixels.

        Raises DataError for a class that the task does not know.
        """
        predicted, truth = predictions[self.target], targets[self.target]
        assert isinstance(predicted, Masks) and isinstance(truth, Masks)
        before = self.boxes.pictures
        self.boxes.update({"boxes": predicted.boxes()}, {"boxes": truth.boxes()}, count=count)
        matches = match(predicted_boxes(predicted), true_boxes(truth), len(self.classes),
                        overlap=mask_overlaps(predicted, truth))
        for name in _COLUMNS:
            column = torch.from_numpy(getattr(matches, name))
            self.columns[name].append(column + before if name == "image" else column)
        self.positives += torch.from_numpy(matches.positives)

    def state(self) -> dict[str, Tensor]:
        """What met what, and every box."""
        return {"positives": self.positives, **{f"boxes_{name}": column for name, column in self.boxes.state().items()},
                **{name: torch.cat(columns) for name, columns in self.columns.items() if columns}}

    def merge(self, state: dict[str, Tensor]) -> None:
        """Add another's, of the pictures that come after those counted here."""
        for name in _COLUMNS:
            if name in state:
                self.columns[name].append(state[name] + self.boxes.pictures if name == "image" else state[name])
        self.positives = self.positives + state["positives"]
        self.boxes.merge({name.removeprefix("boxes_"): column for name, column in state.items()
                          if name.startswith("boxes_")})

    def matches(self) -> Matches:
        """Which predicted mask met which true one, of all that were counted."""
        columns = {name: torch.cat(columns).numpy() for name, columns in self.columns.items()}
        order = np.lexsort((columns["rank"], columns["image"], columns["classes"]))
        return Matches(**{name: column[order] for name, column in columns.items()}, positives=self.positives.numpy())

    def result(self) -> dict[str, Any]:
        """The metrics of boxes for the masks and for their boxes, intervals, and the details of the masks, of which a
        row of `per_class` holds the boxes' too. Raises DataError where no picture has an object."""
        by_box = self.boxes.result()
        by_mask = measured_matches(self.classes, self.matches(), true_boxes(self.boxes.boxes("true")),
                                   self.boxes.pictures)
        details = by_mask["details"] | {name: by_box["details"][name] for name in _DETAILS if name in by_box["details"]}
        box_rows = {row["class"]: row for row in by_box["details"]["per_class"]}
        details["per_class"] = [{**row, "box AP50-95": box_rows[row["class"]]["AP50-95"]}
                                for row in details["per_class"]]
        headlines = {f"{side}_{name}": value for side, result in (("mask", by_mask), ("box", by_box))
                     for name, value in result.items() if name not in ("intervals", "details")}
        intervals = {f"{side}_{name}": ends for side, result in (("mask", by_mask), ("box", by_box))
                     for name, ends in result["intervals"].items()}
        return {**headlines, "intervals": intervals, "details": details}
