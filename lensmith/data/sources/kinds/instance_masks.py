"""Objects with their pixels in a data set: as boxes, of which no pixels are kept where some pictures are unknown."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from lensmith.base.pictures import Form, Header
from lensmith.data.sources.kinds.target_kind import fit_matrices, warp_to_form
from lensmith.data.sources.outlined_objects import OutlinedObjects, rasterised
from lensmith.values.boxes import Boxes
from lensmith.values.value import Value


def to_form(value: Boxes, headers: Sequence[Header], fits: Tensor, form: Form) -> Value:
    """Outlines become pixels: raises DataError and UserError as `rasterised` does."""
    if not isinstance(value, OutlinedObjects):
        return warp_to_form(value, headers, fits, form)
    sizes = np.array([(header.height, header.width) for header in headers], dtype=np.int64).reshape(-1, 2)
    return rasterised(value.warp(fit_matrices(fits), form.size), fits, sizes, form)
