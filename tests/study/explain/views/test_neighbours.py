"""Neighbours are those of a plain double loop."""

from collections.abc import Callable

import numpy as np
import pytest
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.study.explain.views.neighbours import draw_neighbours, neighbours
from lensmith.study.explain.views.view import ViewSubject

Sight = Callable[..., ViewSubject]


def test_they_are_those_of_a_plain_double_loop(sight: Sight, images: Tensor):
    subject = sight()
    found = neighbours(subject, nearest=11)
    vectors = []
    for row in range(len(images)):
        maps = subject.network.backbone(subject.network.standardise(images[row][None]))[-1]
        vectors.append(maps.detach()[0].mean((1, 2)).numpy().astype(np.float64))
    for one, named in zip(found.pictures, (4, 1), strict=True):
        near = []
        for row, other in enumerate(vectors):
            product = sum(a * b for a, b in zip(vectors[named], other, strict=True))
            sizes = sum(a * a for a in vectors[named]) ** 0.5 * sum(b * b for b in other) ** 0.5
            near.append((product / sizes, row))
        near.sort(key=lambda pair: -pair[0])
        assert [each.file for each in one.neighbours] == [f"{row:02d}.png" for _, row in near]
        assert [each.cosine for each in one.neighbours] == pytest.approx([cosine for cosine, _ in near], abs=1e-5)
        assert one.neighbours[0].file == f"{named:02d}.png"    # a picture is its own nearest
        assert one.neighbours[0].cosine == pytest.approx(1, abs=1e-6)
        assert [each.truth for each in one.neighbours] == [("ant", "bee", "cat")[row % 3] for _, row in near]


def test_a_sheet_for_each_picture(sight: Sight):
    panels = draw_neighbours(neighbours(sight(), nearest=3))
    assert [len(panel.lines) for panel in panels] == [4, 4]
    assert panels[0].lines[0].startswith("Searched: 11 training pictures, by the features of the backbone's last map.")


def test_a_layer_that_gives_no_numbers_of_a_picture(sight: Sight):
    with pytest.raises(UserError) as refused:
        neighbours(sight(layers=("head.dens",)))
    assert str(refused.value).startswith("the network has no layer 'head.dens'. Did you mean 'head.dense'?")


def test_a_setting_that_cannot_be(sight: Sight):
    with pytest.raises(UserError) as refused:
        neighbours(sight(), nearest=0)
    assert str(refused.value) == "nearest=0 of neighbours cannot be: accepted are whole numbers from 1 to 100"
