"""Tags of a data set: unknown is NaN."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lensmith.base.errors import count
from lensmith.base.picture_headers import Header
from lensmith.data.sources.kinds.target_kind import spread_rows
from lensmith.data.sources.sample import Collection
from lensmith.values.labels import Tags


def spread(tags: Tags, rows: np.ndarray, headers: Sequence[Header | None], classes: int) -> Tags:
    return Tags(spread_rows(tags.present, rows, len(headers), torch.nan))


def known(source: Collection, target: str) -> np.ndarray:
    tags = source.targets[target]
    assert isinstance(tags, Tags)
    return np.asarray((~tags.present.isnan()).any(1).numpy())


def per_class(tags: Tags, classes: int) -> Tensor:
    return (tags.present >= 0.5).sum(0)


def known_in_words(values: Sequence[Tags], names: Sequence[str]) -> str:
    """`5 tags`"""
    return count(len(names), "tag")
