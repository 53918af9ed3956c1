"""The view `channel_pictures`: the pictures of a set that excite a channel most, and where in them."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lensmith.base.errors import escaped
from lensmith.base.pictures import Place
from lensmith.base.viewing import viewable
from lensmith.data.sources.fitting import corners_in_file
from lensmith.study.explain.views.layers import channel_of, layer_in_words, map_of, one_layer
from lensmith.study.explain.views.sheet import in_rows, number_in_words, resized_to, sheet, wrapped_words
from lensmith.study.explain.views.view import Panel, ViewedSet, ViewSubject, whole

_COLUMNS = 4
_EDGE = 150       # pixels of a picture
_LEAST = 18       # pixels of a frame on it


@dataclass(frozen=True)
class Exciting:
    """A picture, and the cell of the channel's map that has its largest value."""

    file: str
    activation: float
    cell: tuple[int, int]         # row, column
    box: tuple[float, ...]        # x0 y0 x1 y1 of the cell in the network's pixels
    in_file: tuple[float, ...]    # the same in the file's pixels, cut off at its edges
    image: Tensor                 # uint8 or uint16 [channels, height, width], as the network takes it


@dataclass(frozen=True)
class ChannelTop:
    """The pictures that excite one channel most, those first."""

    channel: int
    pictures: list[Exciting]


@dataclass(frozen=True)
class ChannelPictures:
    """For channels of a layer the pictures that excite them most."""

    layer: str
    searched: str         # the set in words
    channels: list[ChannelTop]
    strongest: Tensor     # float32 [pictures, channels]: the largest activation of every channel in each picture
    files: list[str]      # of these pictures

    def as_json(self) -> dict[str, Any]:
        return {"layer": self.layer, "searched": self.searched, "channels": [
            {"channel": one.channel, "pictures": [
                {"file": each.file, "activation": each.activation, "cell": list(each.cell), "box": list(each.box),
                 "in_file": list(each.in_file)} for each in one.pictures]} for one in self.channels]}

    def in_words(self) -> list[str]:
        return [f"channel {one.channel}: most in {escaped(each.file)}, {number_in_words(each.activation)}"
                for one in self.channels for each in one.pictures[:1]]


@dataclass(frozen=True)
class _Strongest:
    """The largest value of each channel's map in each picture of a set."""

    values: Tensor     # float32 [pictures, channels]
    means: Tensor      # float32 [pictures, channels]: of the whole map
    cells: Tensor      # int64 [pictures, channels], row by row
    shape: tuple[int, int]
    rows: list[int]
    places: list[Place]

    def strongest_first(self, channel: int) -> list[int]:
        """The pictures by the channel's largest value; of equal ones, as ReLU6 has many, the larger mean first."""
        by_mean = self.means[:, channel].argsort(descending=True, stable=True)
        order = self.values[by_mean, channel].argsort(descending=True, stable=True)
        return [int(row) for row in by_mean[order]]


def channel_pictures(subject: ViewSubject, *, channel: int | None = None, channels: int = 6, top: int = 8,
                     pictures: int = 1000) -> ChannelPictures:
    """For channels of a layer, of the backbone's last map by itself, the pictures of the set in which the largest value
    of the channel's map is largest, each with the cell that has it.

    channel: one, from 0; by itself those whose largest values differ most from picture to picture.
    channels: how many are chosen by themselves.
    top: how many pictures are given for each.
    pictures: of the set, so many at most are searched, spread evenly.
    """
    most, chosen = (whole("channel_pictures", name, value, most=100) for name, value in
                    (("top", top), ("channels", channels)))
    assert subject.set is not None
    searched = subject.set.at_most(whole("channel_pictures", "pictures", pictures, most=1_000_000))
    layer = one_layer(subject)
    found = _strongest(subject, searched, layer)
    if channel is None:
        order = found.values.std(0, correction=0).argsort(descending=True, stable=True)[:chosen].tolist()
    else:
        order = [channel_of(channel, found.values.shape[1], layer)]
    tops = []
    for number in order:
        rows = found.strongest_first(number)[:most]
        tops.append(ChannelTop(number, [_exciting(subject, searched, found, row, number) for row in rows]))
    return ChannelPictures(layer, searched.in_words(), tops, found.values, [place.file for place in found.places])


@torch.no_grad()
def _strongest(subject: ViewSubject, pictures: ViewedSet, layer: str) -> _Strongest:
    values, means, cells = list[Tensor](), list[Tensor](), list[Tensor]()
    rows, places, shape = list[int](), list[Place](), (1, 1)
    for batch in pictures.batches():
        _, maps = map_of(subject, layer, batch.images.to(subject.device).float())
        shape = maps.shape[2], maps.shape[3]
        strongest = maps.flatten(2).max(2)
        values.append(strongest.values.float().cpu())
        means.append(maps.float().mean((2, 3)).cpu())
        cells.append(strongest.indices.cpu())
        rows += batch.indices.tolist()
        places += list(batch.places)
    return _Strongest(torch.cat(values), torch.cat(means), torch.cat(cells), shape, rows, places)


def _exciting(subject: ViewSubject, pictures: ViewedSet, found: _Strongest, row: int, channel: int) -> Exciting:
    cell = divmod(int(found.cells[row, channel]), found.shape[1])
    height, width = subject.form.size
    high, wide = height / found.shape[0], width / found.shape[1]
    box = cell[1] * wide, cell[0] * high, (cell[1] + 1) * wide, (cell[0] + 1) * high
    place = found.places[row]
    return Exciting(place.file, float(found.values[row, channel]), cell, box, corners_in_file(box, place),
                    pictures.picture(found.rows[row]))


def draw_channel_pictures(found: ChannelPictures) -> list[Panel]:
    """A sheet for each channel: its pictures with a frame around the cell."""
    panels = []
    for one in found.channels:
        tiles = [_framed(each) for each in one.pictures]
        labels = [number_in_words(each.activation) for each in one.pictures]
        image = sheet(in_rows(tiles, columns=_COLUMNS), under=wrapped_words(labels, columns=_COLUMNS))
        lines = [f"Searched: {found.searched}. The number beneath is the largest activation; the frame is the cell of "
                 "the map that has it."]
        lines += [f"{place}. {escaped(each.file)}: {number_in_words(each.activation)}, at pixels "
                  f"{each.in_file[0]:.0f} to {each.in_file[2]:.0f} across and {each.in_file[1]:.0f} to "
                  f"{each.in_file[3]:.0f} down" for place, each in enumerate(one.pictures, 1)]
        panels.append(Panel(f"channel_pictures-{one.channel:04d}", image,
                            f"Channel {one.channel} of {layer_in_words(found.layer)}", tuple(lines)))
    return panels


def _framed(one: Exciting) -> Image.Image:
    """The picture with a frame, white on black, around the cell; none where the cell is the whole picture."""
    drawn = resized_to(viewable(one.image, least=1, most=4096), _EDGE).convert("RGB")
    scale = drawn.width / one.image.shape[2], drawn.height / one.image.shape[1]
    edges = [edge * scale[axis % 2] for axis, edge in enumerate(one.box)]
    if edges[2] - edges[0] >= drawn.width - 1 and edges[3] - edges[1] >= drawn.height - 1:
        return drawn
    middle = (edges[0] + edges[2]) / 2, (edges[1] + edges[3]) / 2
    half = max(edges[2] - edges[0], _LEAST) / 2, max(edges[3] - edges[1], _LEAST) / 2
    frame = [min(max(middle[axis] - half[axis], 1.0), drawn.size[axis] - 2.0) for axis in (0, 1)] + \
        [min(max(middle[axis] + half[axis], 1.0), drawn.size[axis] - 2.0) for axis in (0, 1)]
    brush = ImageDraw.Draw(drawn)
    brush.rectangle(frame, outline=(0, 0, 0), width=4)
    brush.rectangle([frame[0] + 1, frame[1] + 1, frame[2] - 1, frame[3] - 1], outline=(255, 255, 255), width=2)
    return drawn
