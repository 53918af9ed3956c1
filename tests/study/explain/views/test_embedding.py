"""The map's axes are the principal components, as NumPy's SVD has them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from lensmith.base.errors import UserError
from lensmith.study.explain.views.embedding import draw_embedding, embedding, principal_components
from lensmith.study.explain.views.view import ViewSubject

Sight = Callable[..., ViewSubject]


def test_the_components_are_those_of_an_svd():
    vectors = torch.randn(30, 7, generator=torch.Generator().manual_seed(2)) * torch.arange(1, 8) + 5
    coordinates, explained, components = principal_components(vectors)
    centred = vectors.numpy() - vectors.numpy().mean(0)
    _, sizes, right = np.linalg.svd(centred, full_matrices=False)
    for axis in range(2):
        sign = np.sign(right[axis] @ components[axis].numpy())
        assert np.allclose(sign * right[axis], components[axis].numpy(), atol=1e-5)
        assert np.allclose(sign * centred @ right[axis], coordinates[:, axis].numpy(), atol=1e-4)
        assert components[axis][components[axis].abs().argmax()] > 0
    assert np.allclose(explained.numpy(), sizes ** 2 / (sizes ** 2).sum(), atol=1e-6)
    eigenvalues = np.linalg.eigvalsh(np.cov(vectors.numpy().T))[::-1]
    assert np.allclose(explained.numpy(), eigenvalues / eigenvalues.sum(), atol=1e-5)


@pytest.mark.parametrize("vectors", [torch.ones(5, 4), torch.arange(4.0)[:, None], torch.rand(3, 1)])
def test_features_that_do_not_vary_in_two_directions_have_a_map(vectors: Tensor):
    coordinates, explained, components = principal_components(vectors)
    assert coordinates.shape == (len(vectors), 2) and components.shape == (2, vectors.shape[1])
    assert bool(coordinates.isfinite().all()) and float(coordinates[:, 1].abs().max()) < 1e-6
    assert float(explained[1]) == 0


def test_the_map_of_a_set(sight: Sight, images: Tensor):
    subject = sight()
    found = embedding(subject)
    maps = subject.network.backbone(subject.network.standardise(images))[-1].detach()
    assert torch.allclose(found.coordinates, principal_components(maps.mean((2, 3)))[0], atol=1e-3)
    assert found.classes == [("ant", "bee", "cat")[row % 3] for row in range(11)] and found.in_data
    (panel,) = draw_embedding(found)
    assert len(panel.spots) == 11 and panel.spots[3].words == "03.png: ant"
    assert [name for name, _ in panel.legend] == ["ant", "bee", "cat"]
    assert panel.axes[0].startswith(f"component 1, {100 * float(found.explained[0]):.1f} % of the variance, from ")
    assert all(0 < spot.across < 1 and 0 < spot.down < 1 for spot in panel.spots)
    # The largest second coordinate lies highest.
    assert min(range(11), key=lambda row: panel.spots[row].down) == int(found.coordinates[:, 1].argmax())


def test_two_pictures_are_no_map(sight: Sight):
    subject = sight()
    with pytest.raises(UserError) as refused:
        embedding(sight(set=subject.pictures))
    assert str(refused.value) == "embedding is a map of at least 3 pictures, and there are 2 pictures"
