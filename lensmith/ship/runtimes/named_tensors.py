"""The tensors that a file gives, by name, as stacked values."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from lensmith.base.errors import ModelError
from lensmith.ship.runtimes.file_facts import TargetFacts, outputs_of
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.labels import Label, Numbers, Tags
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import Value

_PER_OBJECT = (("batch", "most"), ("batch", "most"), ("batch",))    # classes, scores and their number
# The axes of each output of a kind, in the order of `outputs_of`; those of a fixed length are in `_check_shapes`.
_AXES: dict[str, tuple[tuple[str, ...], ...]] = {
    "label": (("batch", "classes"),), "tags": (("batch", "classes"),), "numbers": (("batch", "classes"),),
    "mask": (("batch", "height", "width"), ("batch", "classes", "height", "width")),
    "boxes": (("batch", "most", "corners"), *_PER_OBJECT),
    "masks": (("batch", "most", "height", "width"), ("batch", "most", "corners"), *_PER_OBJECT,
              ("batch", "most", "rows", "columns")),
}
# kind of a whole picture's value -> it, from its first tensor, its pixels' scores and the threshold of the target.
_OF_PICTURES: dict[str, Callable[[Tensor, Tensor | None, float | None], Value]] = {
    "label": lambda first, scores, threshold: Label(first.argmax(1), first),
    "tags": lambda first, scores, threshold: Tags((first >= (threshold or 0.0)).float(), first),
    "numbers": lambda first, scores, threshold: Numbers(first),
    "mask": lambda first, scores, threshold: Mask(first, scores),
}


def value_in(tensors: Mapping[str, Tensor], name: str, target: TargetFacts, *, threshold: float | None = None,
             for_files: bool = False, fits_inside: bool = False) -> Value:
    """The stacked value of the target `name` in the tensors of a batch (`file_facts.outputs_of`).

    Of objects those from `threshold` on, by itself all. `for_files` keeps what bringing an answer to the size of its
    file needs. `fits_inside` as of FileFacts. Raises ModelError where a tensor is missing or has another shape than the
    target's.
    """
    _check_shapes(tensors, name, target, fits_inside=fits_inside)
    if target.kind in _OF_PICTURES:
        scores = tensors.get(f"{name}_scores") if for_files else None
        return _OF_PICTURES[target.kind](tensors[name], scores, target.threshold)
    return _objects(tensors, name, target, threshold=threshold, for_files=for_files)


def _check_shapes(tensors: Mapping[str, Tensor], name: str, target: TargetFacts, *, fits_inside: bool) -> None:
    fixed = {"classes": len(target.classes), "most": target.most, "corners": 4}
    outputs = outputs_of(name, target.kind, fits_inside=fits_inside)
    for output, axes in zip(outputs, _AXES[target.kind], strict=False):    # the last one is left out by some
        if fits_inside and target.kind == "masks" and output == name:
            axes = ("batch", "objects", "height", "width")
        if output not in tensors:
            raise ModelError(f"the file gives no output {output!r}, which its target {name!r} has: export the run "
                             "again")
        shape = tuple(tensors[output].shape)
        if len(shape) != len(axes) or \
                any(fixed.get(axis, edge) != edge for axis, edge in zip(axes, shape, strict=True)):
            raise ModelError(f"the file's output {output!r} has shape {' x '.join(map(str, shape))}, and its target "
                             f"says {' x '.join(str(fixed.get(axis, axis)) for axis in axes)}: export the run again")


def _objects(tensors: Mapping[str, Tensor], name: str, target: TargetFacts, *, threshold: float | None,
             for_files: bool) -> Boxes:
    scores, margins = tensors[f"{name}_scores"], tensors.get(f"{name}_margins")
    there = torch.arange(scores.shape[1]) < tensors[f"{name}_count"][:, None]
    if threshold is not None:
        there &= scores >= threshold
    image, _ = there.nonzero(as_tuple=True)
    classes = tensors[f"{name}_classes"][there].long()    # OpenVINO gives int32
    if target.kind == "boxes":
        return Boxes(tensors[name][there], classes, scores[there], image)
    pixels = tensors[name]
    return Masks(tensors[f"{name}_boxes"][there], classes, scores[there], image,
                 bits=pack_bits(pixels[there[:, : pixels.shape[1]]]),
                 margins=margins[there] if for_files and margins is not None else None)
