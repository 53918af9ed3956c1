"""The view `embedding`: a map of pictures by their features, whose two axes are the principal components."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lensmith.base.errors import UserError, count, escaped
from lensmith.base.viewing import viewable
from lensmith.study.explain.views.features import pooled_features
from lensmith.study.explain.views.layers import layer_in_words, one_layer
from lensmith.study.explain.views.sheet import INK, LETTERS, PAPER, number_in_words
from lensmith.study.explain.views.view import Panel, Spot, ViewSubject, whole
from lensmith.values.drawing import colour_of

_FEWEST = 3             # pictures of which a map is made
_EDGE = 64              # pixels of a thumbnail: on a page it grows when it is pointed at
_SIZE = 960, 720        # pixels of the map's picture
_TILE = 34              # pixels of a thumbnail in it
_MARGIN = 0.04          # of the map's edges, that stays free
_NAMED = 20             # classes that the legend lists


@dataclass(frozen=True)
class Embedding:
    """A map of the pictures of a set that can be read."""

    layer: str
    searched: str                # the set in words
    coordinates: Tensor          # float32 [pictures, 2]: along the two principal components
    explained: Tensor            # float32 [components]: the fraction of the variance along each, largest first
    components: Tensor           # float32 [2, channels]: unit vectors; the largest entry of each is positive
    files: list[str]
    classes: list[str | None]    # by which pictures are coloured
    in_data: bool                # whether these are the classes in the data, or what the network says
    thumbnails: list[Image.Image]

    def as_json(self) -> dict[str, Any]:
        return {"layer": self.layer, "searched": self.searched, "classes_of": "data" if self.in_data else "network",
                "explained": [round(value, 6) for value in self.explained[:10].tolist()], "pictures": [
                    {"file": file, "class": name, "coordinates": at} for file, name, at in
                    zip(self.files, self.classes, self.coordinates.tolist(), strict=True)]}

    def in_words(self) -> list[str]:
        two = 100 * float(self.explained[:2].sum())
        return [f"{self.searched}; two components have {two:.1f} % of the variance of {layer_in_words(self.layer)}"]


def embedding(subject: ViewSubject, *, pictures: int = 400) -> Embedding:
    """The pictures of the set on the first two principal components of their features (Pearson 1901), which are the
    means over the cells of a layer's map, of the backbone's last one by itself.

    pictures: of the set, so many at most, spread evenly.
    """
    assert subject.set is not None
    chosen = subject.set.at_most(whole("embedding", "pictures", pictures, least=_FEWEST, most=10_000))
    layer = one_layer(subject)
    features = pooled_features(subject, chosen, layer)
    if len(features.rows) < _FEWEST:
        raise UserError(f"embedding is a map of at least {_FEWEST} pictures, and there "
                        f"{'is' if len(features.rows) == 1 else 'are'} {count(len(features.rows), 'picture')}")
    coordinates, explained, components = principal_components(features.vectors)
    in_data = any(name is not None for name in features.truth)
    thumbnails = []
    for row in features.rows:
        thumbnail = viewable(chosen.picture(row), least=1, most=_EDGE)
        thumbnails.append(thumbnail.convert("RGB"))
    return Embedding(layer, chosen.in_words(), coordinates, explained, components, features.files,
                     features.truth if in_data else features.said, in_data, thumbnails)


def principal_components(vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For float [n, channels] the places along the two directions of most variance, float32 [n, 2], the fraction of
    the variance along every direction, and the two directions [2, channels]. A direction that is missing, as of vectors
    with one channel, is zero."""
    centred = vectors.double() - vectors.double().mean(0)
    left, sizes, right = torch.linalg.svd(centred, full_matrices=False)
    if len(sizes) < 2:
        sizes, left = torch.cat((sizes, sizes.new_zeros(1))), torch.cat((left, torch.zeros_like(left)), 1)
        right = torch.cat((right, torch.zeros_like(right)))
    # The sign of a component is free; so that the same features give the same map, its largest entry is positive.
    signs = right[:2].gather(1, right[:2].abs().argmax(1, keepdim=True)).sign()[:, 0]
    signs = torch.where(signs == 0, 1.0, signs)
    variance = sizes.square()
    explained = variance / variance.sum().clamp(min=1e-300)
    return (left[:, :2] * sizes[:2] * signs).float(), explained.float(), (right[:2] * signs[:, None]).float()


def draw_embedding(found: Embedding) -> list[Panel]:
    """One map: thumbnails framed in the colours of their classes."""
    names = sorted({name for name in found.classes if name is not None})
    colours = {name: colour_of(number) for number, name in enumerate(names)}
    low, high = found.coordinates.min(0).values, found.coordinates.max(0).values
    spread = torch.where(high > low, high - low, 1.0)
    places = _MARGIN + (1 - 2 * _MARGIN) * (found.coordinates - low) / spread
    spots = tuple(Spot(float(across), 1 - float(up), image, colours.get(name or "", (128, 128, 128)),
                       escaped(file) + (f": {name}" if name else ""))
                  for (across, up), image, name, file in
                  zip(places.tolist(), found.thumbnails, found.classes, found.files, strict=True))
    axes = tuple(f"component {axis + 1}, {100 * float(found.explained[axis]):.1f} % of the variance, from "
                 f"{number_in_words(float(low[axis]))} to {number_in_words(float(high[axis]))}" for axis in (0, 1))
    legend = [(name, colours[name]) for name in names[:_NAMED]]
    if len(names) > _NAMED:
        legend.append((f"and {len(names) - _NAMED} more", (128, 128, 128)))
    whose = "its class in the data" if found.in_data else "what the network says"
    two = 100 * float(found.explained[:2].sum())
    lines = (f"{found.searched}, by the features of {layer_in_words(found.layer)}: pictures that lie near each other "
             f"look alike to the network. The two axes have {two:.1f} % of the variance, so that near on the map need "
             f"not be near in all. The frame's colour is {whose}. Point at a picture for its name.",)
    return [Panel("embedding", _drawn(spots, (axes[0], axes[1])), f"{len(spots):,} pictures", lines, spots,
                  (axes[0], axes[1]), tuple(legend))]


def _drawn(spots: tuple[Spot, ...], axes: tuple[str, str]) -> Image.Image:
    """The map as a picture, with its axes."""
    line = LETTERS + 8
    drawn = Image.new("RGB", (_SIZE[0] + 2 * line, _SIZE[1] + 2 * line), PAPER)
    brush, font = ImageDraw.Draw(drawn), ImageFont.load_default(size=LETTERS)
    brush.rectangle((line, line, line + _SIZE[0], line + _SIZE[1]), outline=INK)
    brush.text((line, 2), f"up: {axes[1]}", fill=INK, font=font)
    brush.text((line, line + _SIZE[1] + 3), f"across: {axes[0]}", fill=INK, font=font)
    for spot in spots:
        small = spot.image.copy()
        small.thumbnail((_TILE, _TILE))
        left = round(line + spot.across * _SIZE[0] - small.width / 2)
        top = round(line + spot.down * _SIZE[1] - small.height / 2)
        brush.rectangle((left - 3, top - 3, left + small.width + 2, top + small.height + 2), fill=spot.colour)
        drawn.paste(small, (left, top))
    return drawn
