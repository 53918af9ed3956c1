"""From picture files to predictions: what a network says of each, as values, JSON, CSV rows and captioned pictures."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from lensmith.base.pictures import BadPicture, Form, Place, bring, decode
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.engine.evaluate import for_inference, predictions
from lensmith.engine.plan.plan import Plan
from lensmith.ship.predict.prediction import Prediction
from lensmith.tasks.task import Task
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, object_in_file
from lensmith.values.semantic_mask import Mask, in_file
from lensmith.values.value import Value

_SCORES = 1 << 25            # of pixels and classes that are held at a time, 128 MB


def predict(network: nn.Module, task: Task, files: Sequence[Path | Image.Image], *, form: Form, plan: Plan,
            names: dict[str, tuple[str, ...]], batch: int = 64,
            only: Mapping[str, Tensor] | None = None) -> Iterator[Prediction]:
    """A prediction for each file, in order; one that cannot be read gives the reason, not another picture's answer.
    Boxes and masks are in the file's pixels; of a target in `only` boxes of those classes alone (int64 [k])."""
    if kept := task.kept_per_pixel:
        batch = max(1, min(batch, _SCORES // (form.height * form.width * kept)))
    for start in range(0, len(files), batch):
        chosen = files[start : start + batch]
        answers: dict[int, Prediction] = {}
        images, places, rows = [], [], []
        for i, file in enumerate(chosen):
            name = f"picture {start + i}" if isinstance(file, Image.Image) else str(file)
            try:
                image, place = read(file, form, name)
            except BadPicture as error:
                answers[i] = Prediction(name, error=str(error), from_memory=isinstance(file, Image.Image))
                continue
            images.append(image)
            places.append(place)
            rows.append(i)
        if images:
            whole = Batch(torch.stack(images), {}, places)
            if form.fit == "pad" and task.needs == ("boxes",):
                whole = trimmed(whole)
            network, plan = for_inference(network, plan, whole.images[:2].to(plan.device))
            for _, said, _ in predictions(network, task, [whole], plan=plan):
                found = in_files(said, whole.places)
                for key, classes in (only or {}).items():
                    boxes = found[key]
                    assert isinstance(boxes, Boxes)
                    found[key] = boxes.chosen(torch.isin(boxes.classes, classes))
                for number, i in enumerate(rows):
                    single = {key: _single(value, number, places[number], form.size) for key, value in found.items()}
                    answers[i] = Prediction(places[number].file, single, names,
                                            from_memory=isinstance(chosen[i], Image.Image),
                                            size=places[number].size)
        yield from (answers[i] for i in range(len(chosen)))


def _single(value: Value, number: int, place: Place, size: tuple[int, int]) -> Value:
    """The value of one picture; masks only now in the file's size, since a stack has one, `size`."""
    one = value[number]
    if isinstance(one, Masks):
        return object_in_file(one, place, size)
    return in_file(one, place) if isinstance(one, Mask) else one


def read(file: Path | Image.Image, form: Form, name: str) -> tuple[torch.Tensor, Place]:
    """A file or a Pillow picture in `form`, and its place; raises BadPicture."""
    if not isinstance(file, Image.Image):
        return decode(file, form, name=name)
    try:
        if 0 in file.size:
            raise BadPicture("has no pixels")
        return bring(ImageOps.exif_transpose(file), form, name=name)
    except BadPicture:
        raise
    except Exception as error:    # it may be opened and not yet decoded, closed again, or of a mode without colours
        raise BadPicture(f"cannot be decoded ({type(error).__name__}: {error})") from error
