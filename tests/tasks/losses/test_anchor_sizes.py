"""Typical sizes: k-means written out in plain loops, and what happens where there is little to cluster."""

import numpy as np
import pytest
import torch

from lensmith.tasks.losses.anchor_sizes import COCO, cluster, shape_iou


def plain(extents: list[tuple[float, float]], count: int) -> list[tuple[float, float]]:
    """K-means in plain Python, from the same quantiles of the area."""
    def overlap(a, b):
        shared = min(a[0], b[0]) * min(a[1], b[1])
        return shared / (a[0] * a[1] + b[0] * b[1] - shared)

    extents = sorted(extents, key=lambda one: (one[0] * one[1], one[0]))
    centres = [extents[int((i + 0.5) / count * len(extents))] for i in range(count)]
    for _ in range(100):
        groups = [[] for _ in centres]
        for one in extents:
            groups[max(range(count), key=lambda i, one=one: overlap(one, centres[i]))].append(one)
        moved = [(sum(a for a, _ in group) / len(group), sum(b for _, b in group) / len(group)) if group else old
                 for group, old in zip(groups, centres, strict=True)]
        if moved == centres:
            break
        centres = moved
    return sorted(centres, key=lambda one: one[0] * one[1])


def drawn(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).lognormal(3.5, 0.8, (count, 2))).float()


@pytest.mark.parametrize(("length", "count"), [(300, 9), (60, 3), (40, 6)])
def test_the_clusters_are_those_of_plain_loops(length: int, count: int) -> None:
    extents = drawn(length)
    wanted = plain([tuple(one) for one in extents.double().tolist()], count)
    assert torch.allclose(cluster(extents, count), torch.tensor(wanted), rtol=1e-5)


def test_the_order_of_the_extents_does_not_matter() -> None:
    extents = drawn(200)
    mixed = extents[torch.randperm(200, generator=torch.Generator().manual_seed(1))]
    found = cluster(extents, 9)
    assert torch.equal(found, cluster(mixed, 9))
    assert (found.prod(1).diff() >= 0).all()


def test_clusters_that_lie_apart_are_found() -> None:
    middles = torch.tensor([[10.0, 12], [60, 30], [200, 220]])
    extents = (middles[:, None] * (1 + 0.05 * drawn(3 * 50, 2).view(3, 50, 2).log().sub(3.5))).flatten(0, 1)
    assert torch.allclose(cluster(extents, 3), extents.view(3, 50, 2).mean(1), rtol=1e-4)


def test_little_data_gives_sizes_around_what_there_is() -> None:
    assert torch.equal(cluster(torch.empty(0, 2), 9), torch.tensor(COCO))
    for few in (torch.tensor([[20.0, 30.0]]), torch.tensor([[20.0, 30.0]] * 50), torch.tensor([[20.0, 30], [50, 40]])):
        found = cluster(few, 9)
        assert found.shape == (9, 2) and len(found.unique(dim=0)) == 9 and (found > 0).all()
        assert shape_iou(few[:1], found).max() > 0.6
    broken = torch.tensor([[0.0, 5.0], [-3.0, 4.0], [20.0, 30.0]])
    assert torch.equal(cluster(broken, 3), cluster(broken[2:], 3))


def test_one_size_that_is_very_common_does_not_hide_the_others() -> None:
    found = cluster(torch.cat((torch.full((1000, 2), 8.0), drawn(40) + 60)), 9)
    assert len(found.unique(dim=0)) == 9
