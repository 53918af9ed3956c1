"""A picture with its boxes as it is about to be written into a set of another format."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lensmith.values.boxes import Boxes


@dataclass(frozen=True)
class PictureToWrite:
    """One picture of a set that is being written."""

    path: Path               # where the written files find it
    stem: str                # the name of its label file without suffix; no other picture of the set has the same
    size: tuple[int, int]    # height, width of the file in pixels
    boxes: Boxes             # of this picture alone, in the file's pixels

    def objects(self) -> Iterator[tuple[list[float], int, bool, float | None]]:
        """(x0 y0 x1 y1, class, crowd, the annotation's own area) of each box."""
        corners, classes = self.boxes.corners.double().tolist(), self.boxes.classes.tolist()
        crowd = self.boxes.crowd.tolist() if self.boxes.crowd is not None else [False] * len(classes)
        area = self.boxes.area.double().tolist() if self.boxes.area is not None else [None] * len(classes)
        return zip(corners, classes, crowd, area, strict=True)


def shortest(number: float, digits: int = 6) -> str:
    """A number with at most `digits` decimals, as 231 or 30.5; six of a pixel keep what a float32 corner says."""
    text = f"{number:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
