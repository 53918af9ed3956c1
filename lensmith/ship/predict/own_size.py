"""The pictures of a data set at their own size, for a file that fits them itself."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from lensmith.base.pictures import OWN, Form, decode
from lensmith.data.sources.sample import Batch


def at_own_size(batches: Iterable[Batch], form: Form, root: Path | None) -> Iterator[Batch]:
    """Each picture of the batches by itself, read again from its file below `root` as large as it is; its target and
    its place stay those of the `form`. Without a `root`, each as it is. Raises BadPicture."""
    for batch in batches:
        for row in range(len(batch)):
            single = batch.take(torch.tensor([row]))
            if root is not None:
                single = replace(single, images=decode(root / single.places[0].file, replace(form, fit=OWN))[0][None])
            yield single
