"""The view `neighbours`: the pictures of a set whose features are most like a picture's."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from lensmith.base.errors import escaped
from lensmith.base.viewing import viewable
from lensmith.study.explain.views.features import pooled_features
from lensmith.study.explain.views.layers import layer_in_words, one_layer
from lensmith.study.explain.views.sheet import in_rows, resized_to, sheet, wrapped_words
from lensmith.study.explain.views.view import Panel, ViewSubject, whole

_COLUMNS = 4
_EDGE = 150    # pixels of a picture


@dataclass(frozen=True)
class Neighbour:
    """A picture of the set."""

    file: str
    cosine: float          # with the picture, 1 where the features point the same way
    truth: str | None      # its class in the data
    said: str | None       # what the network says of it
    image: Tensor          # uint8 or uint16 [channels, height, width], as the network takes it


@dataclass(frozen=True)
class Nearest:
    """One picture and those that are most like it, nearest first."""

    file: str
    said: str | None
    image: Tensor
    neighbours: list[Neighbour]


@dataclass(frozen=True)
class Neighbours:
    """For each picture the nearest of the set."""

    layer: str
    searched: str          # the set in words
    pictures: list[Nearest]
    vectors: Tensor        # float32 [pictures, channels]: the features of the pictures that were named
    of_set: Tensor         # float32 [set, channels]: those of the set

    def as_json(self) -> dict[str, Any]:
        return {"layer": self.layer, "searched": self.searched, "pictures": [
            {"file": one.file, "said": one.said, "neighbours": [
                {"file": each.file, "cosine": round(each.cosine, 6), "class": each.truth, "said": each.said}
                for each in one.neighbours]} for one in self.pictures]}

    def in_words(self) -> list[str]:
        """For each picture the nearest other one."""
        others = [(one, [each for each in one.neighbours if not one.file.endswith(each.file)]) for one in self.pictures]
        return [f"{escaped(one.file)}: nearest {escaped(near[0].file)}, cosine {near[0].cosine:.4f}"
                for one, near in others if near]


def neighbours(subject: ViewSubject, *, nearest: int = 7, pictures: int = 2000) -> Neighbours:
    """For each picture the pictures of the set with the largest cosine between their features, which are the means over
    the cells of a layer's map, of the backbone's last one by itself.

    nearest: how many are given.
    pictures: of the set, so many at most are searched, spread evenly.
    """
    wanted = whole("neighbours", "nearest", nearest, most=100)
    assert subject.pictures is not None and subject.set is not None
    searched = subject.set.at_most(whole("neighbours", "pictures", pictures, most=1_000_000))
    layer = one_layer(subject)
    own, others = pooled_features(subject, subject.pictures, layer), pooled_features(subject, searched, layer)
    cosines = F.normalize(own.vectors, dim=1) @ F.normalize(others.vectors, dim=1).T
    found = []
    for row in range(len(own.rows)):
        # Equal pictures come in the order of the set, so that the same call gives the same list.
        order = cosines[row].argsort(descending=True, stable=True)[:wanted].tolist()
        near = [Neighbour(others.files[i], float(cosines[row, i]), others.truth[i], others.said[i],
                          searched.picture(others.rows[i])) for i in order]
        found.append(Nearest(own.files[row], own.said[row], subject.pictures.picture(own.rows[row]), near))
    return Neighbours(layer, searched.in_words(), found, own.vectors, others.vectors)


def draw_neighbours(found: Neighbours) -> list[Panel]:
    """A sheet for each picture: itself first, then the nearest."""
    panels = []
    for number, one in enumerate(found.pictures):
        images = [one.image, *(each.image for each in one.neighbours)]
        tiles = [resized_to(viewable(image, least=1, most=4096), _EDGE) for image in images]
        labels = [f"the picture\n{one.said or ''}",
                  *(f"{each.cosine:.3f}\n{each.truth or each.said or ''}" for each in one.neighbours)]
        image = sheet(in_rows(tiles, columns=_COLUMNS), under=wrapped_words(labels, columns=_COLUMNS))
        lines = [f"Searched: {found.searched}, by the features of {layer_in_words(found.layer)}. The number beneath is "
                 "the cosine: 1 is the same direction, 0 nothing in common."]
        lines += [f"{place}. {escaped(each.file)}: cosine {each.cosine:.4f}{_classes(each)}"
                  for place, each in enumerate(one.neighbours, 1)]
        said = f", the network says {one.said}" if one.said else ""
        panels.append(Panel(f"neighbours-{number:03d}", image, f"{escaped(one.file)}{said}", tuple(lines)))
    return panels


def _classes(one: Neighbour) -> str:
    """Its class in the data, and what the network says where that is not the same."""
    said = f", the network says {one.said}" if one.said and one.said != one.truth else ""
    return (f", {one.truth}" if one.truth else "") + said
