"""Who answers for whom: both ways of assigning against the papers' words in plain loops."""

import pytest
import torch

from lensmith.tasks.losses.point_assignment import best_anchors, in_crowds, pad, task_aligned
from lensmith.values.boxes import Boxes


def truth(pictures: int = 3, most: int = 6, seed: int = 0, size: int = 64, crowd: bool = False) -> Boxes:
    draw = torch.Generator().manual_seed(seed)
    image = torch.randint(pictures, (most * pictures // 2,), generator=draw).sort().values
    low = torch.rand(len(image), 2, generator=draw) * size * 0.7
    extent = torch.rand(len(image), 2, generator=draw) * size * 0.4 + 2
    return Boxes(torch.cat((low, (low + extent).clamp(max=size)), 1),
                 torch.randint(4, (len(image),), generator=draw), image=image,
                 crowd=torch.arange(len(image)) % 3 == 0 if crowd else None)


def grid(size: int = 64, strides: tuple[int, ...] = (8, 16)) -> tuple[torch.Tensor, torch.Tensor]:
    points = [((x + 0.5) * s, (y + 0.5) * s, s) for s in strides for y in range(size // s) for x in range(size // s)]
    table = torch.tensor(points)
    return table[:, :2], table[:, 2]


def overlap(a: list[float], b: list[float]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_padding_keeps_every_object_in_its_picture() -> None:
    boxes = truth(crowd=True)
    table = pad(boxes, 5)
    kept = ~boxes.crowd
    assert table.there.sum(1).tolist() == torch.bincount(boxes.image[kept], minlength=5).tolist()
    assert torch.equal(table.corners[table.there], boxes.corners[kept])
    assert torch.equal(table.classes[table.there], boxes.classes[kept])


def test_points_in_crowds_are_found() -> None:
    boxes, (centres, _) = truth(crowd=True), grid()
    found = in_crowds(boxes, centres, 3)
    assert found.any() and not found.all()
    for picture in range(3):
        for number, (x, y) in enumerate(centres.tolist()):
            inside = any(x0 < x < x1 and y0 < y < y1 for (x0, y0, x1, y1), one, crowd in
                         zip(boxes.corners.tolist(), boxes.image.tolist(), boxes.crowd.tolist(), strict=True)
                         if crowd and one == picture)
            assert found[picture, number] == inside
    assert not in_crowds(truth(), centres, 3).any()


@pytest.mark.parametrize("seed", range(4))
def test_task_alignment_is_that_of_the_paper(seed: int) -> None:
    boxes, (centres, strides) = truth(seed=seed), grid()
    draw = torch.Generator().manual_seed(seed + 10)
    chances = torch.rand(3, len(centres), 4, generator=draw)
    away = torch.rand(3, len(centres), 4, generator=draw) * 20 + 1
    corners = torch.cat((centres - away[..., :2], centres + away[..., 2:]), 2)
    found = task_aligned(chances, corners, centres, strides, pad(boxes, 3), most=5)
    for picture in range(3):
        mine = [i for i, one in enumerate(boxes.image.tolist()) if one == picture]
        wants: dict[int, list[tuple[float, int, float]]] = {}    # point -> (IoU, row, alignment)
        for row, number in enumerate(mine):
            x0, y0, x1, y1 = boxes.corners[number].tolist()
            middle, half = ((x0 + x1) / 2, (y0 + y1) / 2), (max((x1 - x0) / 2, 4), max((y1 - y0) / 2, 4))
            ranked = []
            for point, (x, y) in enumerate(centres.tolist()):
                if abs(x - middle[0]) <= half[0] and abs(y - middle[1]) <= half[1]:
                    iou = overlap(corners[picture, point].tolist(), [x0, y0, x1, y1])
                    chance = chances[picture, point, boxes.classes[number]].item()
                    ranked.append((chance**0.5 * iou**6, point, iou))
            for alignment, point, iou in sorted(ranked, reverse=True)[:5]:
                wants.setdefault(point, []).append((iou, row, alignment))
        owner = {point: max(candidates) for point, candidates in wants.items()}
        for row in range(len(mine)):
            own = {point: one for point, one in owner.items() if one[1] == row}
            for point, (_, _, alignment) in own.items():
                best = max(one[2] for one in own.values())
                wanted = alignment / best * max(one[0] for one in own.values())
                assert found.quality[picture, point].item() == pytest.approx(wanted, rel=1e-3, abs=1e-6)
                assert found.row[picture, point] == row
        assert set(found.quality[picture].nonzero()[:, 0].tolist()) <= set(owner)


def test_objects_smaller_than_a_cell_are_answered_for() -> None:
    centres, strides = grid()
    tiny = Boxes(torch.tensor([[7.0, 7.0, 9.0, 9.0], [40.5, 12.5, 41.5, 13.5]]), torch.tensor([0, 1]),
                 image=torch.tensor([0, 0]))
    corners = torch.cat((centres - 6, centres + 6), 1)[None]
    found = task_aligned(torch.full((1, len(centres), 2), 0.3), corners, centres, strides, pad(tiny, 1))
    answered = found.row[0][found.quality[0] > 0]
    assert set(answered.tolist()) == {0, 1}


def test_no_object_gives_no_answer() -> None:
    centres, strides = grid()
    none = pad(Boxes(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), image=torch.empty(0, dtype=torch.int64)), 2)
    corners = torch.cat((centres - 6, centres + 6), 1).expand(2, -1, -1)
    assert task_aligned(torch.rand(2, len(centres), 3), corners, centres, strides, none).quality.sum() == 0
    assert (best_anchors(none, centres, strides[:, None].expand(-1, 2), centres) == -1).all()


@pytest.mark.parametrize("seed", range(4))
def test_each_object_has_one_anchor_by_shape(seed: int) -> None:
    """The paper's rule: the best of all shapes, in the cell of the centre of the level to which the shape belongs."""
    boxes = truth(seed=seed)
    shapes = {8: [(6.0, 9.0), (12.0, 7.0)], 16: [(20.0, 16.0), (14.0, 30.0)]}
    cells, strides, extents, keys = [], [], [], []
    for stride, own in shapes.items():
        for shape in own:
            for y in range(64 // stride):
                for x in range(64 // stride):
                    cells.append((x * stride, y * stride))
                    strides.append((stride, stride))
                    extents.append(shape)
                    keys.append((shape, x, y))
    found = best_anchors(pad(boxes, 3), *(torch.tensor(one, dtype=torch.float32) for one in (cells, strides, extents)))
    wanted = torch.full_like(found, -1)
    row = [0, 0, 0]
    for (x0, y0, x1, y1), picture in zip(boxes.corners.tolist(), boxes.image.tolist(), strict=True):
        def alike(shape: tuple[float, float], own: tuple[float, float] = (x1 - x0, y1 - y0)) -> float:
            return overlap([0, 0, *shape], [0, 0, *own])

        stride, best = max(((s, shape) for s, own in shapes.items() for shape in own), key=lambda one: alike(one[1]))
        cell = (best, int((x0 + x1) / 2 // stride), int((y0 + y1) / 2 // stride))
        wanted[picture, keys.index(cell)] = row[picture]    # the later object has it
        row[picture] += 1
    assert torch.equal(found, wanted)


def test_a_centre_on_the_border_belongs_to_the_last_cell() -> None:
    edge = Boxes(torch.tensor([[60.0, 60.0, 68.0, 68.0], [-9.0, 20.0, 3.0, 30.0]]), torch.tensor([0, 0]),
                 image=torch.tensor([0, 0]))
    centres, strides = grid(strides=(8,))
    both = strides[:, None].expand(-1, 2)
    found = best_anchors(pad(edge, 1), centres - both / 2, both, both)
    assert found[0, -1] == 0 and found[0, 3 * 8] == 1 and (found >= 0).sum() == 2
