"""What a fully convolutional classifier says of every position in a large picture: as plain data, in words, drawn."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.pictures import Form
from lensmith.base.viewing import open_whole
from lensmith.engine.plan.plan import Plan
from lensmith.tasks.task import Task
from lensmith.values.drawing import draw_mask
from lensmith.values.semantic_mask import IGNORED, Mask, between
from lensmith.values.value import Value

_AT_ONCE = 1 << 22      # interpolated scores, over all classes, that are held at a time


@dataclass(frozen=True)
class ScoreMap:
    """The probability of every class at each position that a window of the training size can take."""

    scores: Tensor                 # float [classes, rows, columns], summing to 1 over the classes
    window: tuple[float, float]    # height and width of that window, as fractions of the picture

    def likeliest(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """The classes that are the likeliest one somewhere, with the number of such positions, most first."""
        counts = Counter(self.scores.argmax(0).flatten().tolist())
        return [(names[number], positions) for number, positions in counts.most_common()]

    def as_json(self, names: Sequence[str]) -> dict[str, Any]:
        """`labels` and `scores` of the likeliest class, a list for each row of positions from the top, and the
        `window`."""
        best = self.scores.max(0)
        return {"labels": [[names[number] for number in row] for row in best.indices.tolist()],
                "scores": [[round(score, 6) for score in row] for row in best.values.tolist()],
                "window": [round(fraction, 6) for fraction in self.window]}

    def in_words(self, names: Sequence[str], k: int) -> str:
        """`of 63 places: beagle 40, cat 23`"""
        classes = self.likeliest(names)
        more = f" and {len(classes) - k} more" if len(classes) > k else ""
        return f"of {self.scores[0].numel()} places: " + ", ".join(f"{name} {n}" for name, n in classes[:k]) + more

    def drawn(self, source: Path, names: Sequence[str]) -> Image.Image:
        """The file's picture at its own size with the likeliest class of each pixel over it.

        Scores are interpolated between the middles of the windows. Raises BadPicture.
        """
        picture = open_whole(source)
        shown = [name for name, _ in self.likeliest(names)[:IGNORED]]
        scores = self.scores[[names.index(name) for name in shown]]
        rows, columns = (self._positions(axis, length) for axis, length in enumerate((picture.height, picture.width)))
        step = max(1, _AT_ONCE // (len(scores) * len(columns)))
        classes = torch.cat([between(between(scores, some_rows, 1), columns, 2).argmax(0).to(torch.uint8)
                             for some_rows in rows.split(step)])
        return draw_mask(picture, Mask(classes), shown)

    def _positions(self, axis: int, length: int) -> Tensor:
        """Where the pixels of an axis lie among the windows, in windows from the first one's middle."""
        last, window = self.scores.shape[axis + 1] - 1, self.window[axis]
        pixels = (torch.arange(length, dtype=torch.float64) + 0.5) / length
        return ((pixels - window / 2) / max(1e-9, 1 - window) * last).clamp(0, last)


Output = tuple[dict[str, Value], ScoreMap | None]


def mapping(network: nn.Module, task: Task, *, form: Form, plan: Plan) -> Callable[[Tensor], Output]:
    """A function from a picture [channels, height, width] to the answer for the whole picture and its score map.

    The score map is None where a window has one position only.
    """
    @torch.inference_mode()
    def answer(image: Tensor) -> Output:
        network.eval()
        with plan.precise():
            output = network(plan.arrange(image[None].to(plan.device)))
        values = {name: value.to("cpu")[0] for name, value in task.decode(output).items()}
        scores = output[0].float().softmax(0).cpu()
        window = form.height / image.shape[1], form.width / image.shape[2]
        return values, ScoreMap(scores, window) if scores[0].numel() > 1 else None

    return answer
