"""From picture files to predictions, batch by batch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from lensmith.base.orientation import upright
from lensmith.base.picture_headers import BadPicture
from lensmith.base.pictures import OWN, Form, Place, bring, decode
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import for_inference, predictions
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.prediction import Prediction
from lensmith.tasks.task import Task
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value

_SCORES = 1 << 25            # scores, over all pixels and classes, that are held at a time: 128 MB


def predict_pictures(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
                     names: dict[str, tuple[str, ...]], batch: int = 64,
                     only: Mapping[str, Tensor] | None = None) -> Iterator[Prediction]:
    """A prediction for each file, in order.

    The prediction of a file that cannot be read gives the reason, never another picture's answer. Boxes and masks are
    in the file's pixels. Of a target in `only` the boxes of those classes (int64 [k]) are given alone.

    What the network is given of a picture is the same whatever its neighbours are; only the number of pictures that it
    is given together differs, and which of them it is. That changes a score by less than 1e-5 of the largest one in
    float32, and by less than 0.02 of it in bfloat16 and 0.005 in float16 (and in float32 on CUDA, whose convolutions
    round to TF32). A deterministic plan takes each picture singly: to the bit.
    """
    if kept := task.kept_per_pixel:
        batch = max(1, min(batch, _SCORES // (form.height * form.width * kept)))
    if plan.deterministic or form.fit == OWN:
        batch = 1
    trims = form.fit == "pad" and task.needs == ("boxes",)
    for start in range(0, len(files), batch):
        chosen = files[start : start + batch]
        answers: dict[int, Prediction] = {}
        alike: dict[tuple[int, ...], list[tuple[int, Batch]]] = {}    # shape -> pictures that go together
        for i, file in enumerate(chosen):
            name = f"picture {start + i}" if isinstance(file, Image.Image) else str(file)
            try:
                image, place = read_picture(file, form, name)
            except BadPicture as error:
                answers[i] = Prediction(name, error=str(error), from_memory=isinstance(file, Image.Image))
                continue
            single = Batch(image[None], {}, [place])
            single = trimmed(single) if trims else single
            alike.setdefault(tuple(single.images.shape[2:]), []).append((i, single))
        for pictures in alike.values():
            readable = Batch(torch.cat([single.images for _, single in pictures]), {},
                             [single.places[0] for _, single in pictures])
            network, plan = for_inference(network, plan, readable.images[:2].to(plan.device))
            for _, outputs, _ in predictions(network, task, [readable], plan=plan):
                values = of_classes(in_files(outputs, readable.places), only or {})
                for number, (i, _) in enumerate(pictures):
                    place = readable.places[number]
                    # Only now in the file's size, since masks of several pictures have one size together.
                    of_file = {target: value[number].in_file(place, form.size) for target, value in values.items()}
                    answers[i] = Prediction(place.file, of_file, names, size=place.size,
                                            from_memory=isinstance(chosen[i], Image.Image))
        yield from (answers[i] for i in range(len(chosen)))


def of_classes(values: Mapping[str, Value], only: Mapping[str, Tensor]) -> dict[str, Value]:
    """The values, of each target in `only` the boxes of those classes (int64 [k]) alone."""
    chosen = dict(values)
    for target, classes in only.items():
        boxes = chosen[target]
        assert isinstance(boxes, Boxes)
        chosen[target] = boxes.chosen(torch.isin(boxes.classes, classes))
    return chosen


def read_picture(file: Path | Image.Image, form: Form, name: str) -> tuple[torch.Tensor, Place]:
    """A file or a Pillow picture in `form`, and its place; raises BadPicture."""
    if not isinstance(file, Image.Image):
        return decode(file, form, name=name)
    try:
        if 0 in file.size:
            raise BadPicture("has no pixels")
        return bring(upright(file), form, name=name)
    except BadPicture:
        raise
    except Exception as error:    # it may be opened and not yet decoded, closed again, or of a mode without colours
        raise BadPicture(f"cannot be decoded ({type(error).__name__}: {error})") from error
