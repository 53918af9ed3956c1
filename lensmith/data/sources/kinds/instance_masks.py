"""Objects with their pixels in a data set: as boxes, of which no pixels are kept where some pictures are unknown."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.picture_headers import Header
from lensmith.base.pictures import Form
from lensmith.data.sources.kinds.boxes import per_class
from lensmith.data.sources.kinds.target_kind import fit_matrices, warp_to_form
from lensmith.data.sources.outlined_objects import OutlinedObjects, rasterised
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


def known_in_words(values: Sequence[Boxes], names: Sequence[str]) -> str:
    """`252 objects of 3 classes`"""
    number = sum(int(per_class(objects, len(names)).sum()) for objects in values)
    return f"{count(number, 'object')} of {count(len(names), 'class')}"


def to_form(value: Boxes, headers: Sequence[Header], fits: Tensor, form: Form) -> Value:
    """Outlines become pixels: raises DataError and UserError as `rasterised` does."""
    if not isinstance(value, OutlinedObjects):
        return warp_to_form(value, headers, fits, form)
    sizes = np.array([(header.height, header.width) for header in headers], dtype=np.int64).reshape(-1, 2)
    return rasterised(value.warp(fit_matrices(fits), form.size), fits, sizes, form)
