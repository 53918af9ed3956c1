"""What a layer gives for each picture of a set, the mean over its cells: the features that pictures are compared by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lensmith.study.explain.answers import explained_answers
from lensmith.study.explain.views.layers import map_of
from lensmith.study.explain.views.view import ViewedSet, ViewSubject
from lensmith.values.labels import UNKNOWN, Label
from lensmith.values.value import Value


@dataclass(frozen=True)
class PooledFeatures:
    """The features of the pictures of a set that can be read, and what is known of each."""

    vectors: Tensor            # float32 [pictures, channels]
    rows: list[int]            # of the set
    files: list[str]
    truth: list[str | None]    # the class in the data; None where none is known, or it is no label
    said: list[str | None]     # what the network says first; None where it says nothing


@torch.no_grad()
def pooled_features(subject: ViewSubject, pictures: ViewedSet, layer: str) -> PooledFeatures:
    """The features of pictures: the numbers of a layer, the mean over the cells of its map."""
    found = PooledFeatures(torch.zeros(0), [], [], [], [])
    vectors: list[Tensor] = []
    for batch in pictures.batches():
        output, maps = map_of(subject, layer, batch.images.to(subject.device).float())
        vectors.append(maps.float().mean((2, 3)).cpu())
        values = subject.task.decode(output)
        for row in range(len(batch)):
            found.rows.append(int(batch.indices[row]))
            found.files.append(batch.places[row].file)
            found.truth.append(class_in_data({name: value[row] for name, value in batch.targets.items()},
                                             subject.names))
            answers = explained_answers({name: value[row] for name, value in values.items()}, subject.names)
            found.said.append(answers[0].name if answers else None)
    return PooledFeatures(torch.cat(vectors), found.rows, found.files, found.truth, found.said)


def class_in_data(targets: Mapping[str, Value], names: Mapping[str, Sequence[str]]) -> str | None:
    """The class of a picture's first label; None where it has none."""
    for target, value in targets.items():
        if isinstance(value, Label) and int(value.index) != UNKNOWN:
            return names[target][int(value.index)]
    return None
