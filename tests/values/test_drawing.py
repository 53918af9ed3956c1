"""Where frames and names are drawn, that they can be told apart and read, and that nothing leaves the picture."""

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.values.boxes import Boxes
from lensmith.values.drawing import colour_of, draw_boxes, draw_mask, draw_masks, draw_words, printable, surest
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.semantic_mask import Mask

GROUND = (100, 100, 100)
NAMES = ("ant", "bee", "cat")


def boxes(*corners: tuple[float, ...], classes: list[int] | None = None, scores: list[float] | None = None) -> Boxes:
    table = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
    return Boxes(table, torch.tensor(classes if classes is not None else [0] * len(table), dtype=torch.int64),
                 torch.tensor(scores) if scores is not None else None)


def drawn(value: Boxes, *, size: tuple[int, int] = (320, 240), names: tuple[str, ...] = NAMES,
          scale: tuple[float, float] = (1, 1)) -> np.ndarray:
    return np.array(draw_boxes(Image.new("RGB", size, GROUND), value, names, scale=scale))


def changed(shown: np.ndarray) -> np.ndarray:
    return (shown != GROUND).any(2)


def test_a_frame_lies_on_the_edges_of_its_box() -> None:
    shown = drawn(boxes((60, 80, 200, 180)), names=("",))
    rows, columns = changed(shown[80:]).nonzero()
    assert (rows.min() + 80, rows.max() + 80, columns.min(), columns.max()) == (80, 179, 60, 199)
    assert (shown[130, 60] == colour_of(0)).all() and (shown[179, 100] == colour_of(0)).all()
    assert (shown[90:170, 70:190] == GROUND).all()    # hollow
    scaled = drawn(boxes((30, 20, 100, 45)), names=("",), scale=(2, 4))
    assert (scaled == shown).all()


def test_the_picture_given_is_left_as_it_was_whatever_its_mode() -> None:
    for mode in ("L", "RGB", "RGBA"):
        picture = Image.new(mode, (64, 64), 9 if mode == "L" else (9, 9, 9))
        before = picture.tobytes()
        shown = draw_boxes(picture, boxes((5, 5, 60, 60)), NAMES)
        assert shown.mode == "RGB" and picture.tobytes() == before and shown.tobytes() != before


def test_names_stand_above_their_boxes_or_inside_at_the_edge() -> None:
    above, inside = drawn(boxes((60, 80, 200, 180))), drawn(boxes((60, 3, 200, 180)))
    plate = (above[60:79, 60:90] == colour_of(0)).all(2)
    assert plate.sum() > 100 and not changed(above[: 80 - 20]).any()
    assert (inside[4:14, 62:80] == colour_of(0)).all(2).sum() > 50
    with_score = drawn(boxes((60, 80, 200, 180), scores=[0.5]))
    assert changed(with_score[:79]).any(0).sum() > changed(above[:79]).any(0).sum()    # the plate is longer


@pytest.mark.parametrize("corners", [(-50, -50, 20, 20), (310, 230, 400, 300), (300, 0, 320, 240), (-9, 235, 400, 260),
                                     (0, 0, 320, 240), (50, 50, 50, 50), (500, 500, 600, 600)])
def test_boxes_at_and_beyond_the_edges_and_long_names_stay_inside(corners: tuple[float, ...]) -> None:
    shown = drawn(boxes(corners, scores=[1.0]), names=("a very long name of a class " * 9,))
    assert shown.shape == (240, 320, 3) and changed(shown).any()
    for size in ((1, 1), (3, 200), (20, 20)):    # too small for letters: the frame alone
        assert drawn(boxes(corners), size=size).shape == (*size[::-1], 3)


def test_the_surest_is_on_top() -> None:
    both = boxes((60, 80, 200, 180), (60, 80, 200, 180), classes=[0, 1], scores=[0.9, 0.3])
    assert (drawn(both)[130, 60] == colour_of(0)).all()


def test_neighbouring_classes_have_colours_of_their_own_and_letters_a_contrast() -> None:
    colours = np.array([colour_of(number) for number in range(200)], dtype=float)
    assert ((colours >= 0) & (colours <= 255)).all() and len({tuple(one) for one in colours}) == 200
    apart = np.abs(colours[:20, None] - colours[None, :20]).sum(2) + 999 * np.eye(20)
    assert apart.min() > 60
    for number in range(20):
        shown = drawn(boxes((60, 80, 200, 180), classes=[number]), names=("MMMM",) * 20)
        plate = shown[62:79, 60:100].reshape(-1, 3).astype(float)
        darkest, lightest = plate.sum(1).min(), plate.sum(1).max()
        assert lightest - darkest > 250, number


def test_a_line_is_thicker_on_a_large_picture_and_thin_around_a_crowd() -> None:
    def thickness(value: Boxes, size: tuple[int, int]) -> int:
        return int(changed(drawn(value, size=size, names=("",)))[size[1] // 2].sum())

    small, large = thickness(boxes((50, 0, 250, 240)), (320, 240)), thickness(boxes((50, 0, 1250, 1200)), (1600, 1200))
    assert small == 2 and large == 12
    value = boxes((50, 0, 1250, 1200))
    crowd = Boxes(value.corners, value.classes, crowd=torch.tensor([True]))
    assert thickness(crowd, (1600, 1200)) == 2


def test_names_with_signs_that_cannot_be_printed_are_drawn() -> None:
    for name in ("a\nb\t\x1b", "猫", "n\udce9", "<&>"):
        assert changed(drawn(boxes((60, 80, 200, 180)), names=(name,))).any()


def test_the_surest_boxes_are_those_that_reach_a_score() -> None:
    value = boxes((0, 0, 1, 1), (0, 0, 2, 2), (0, 0, 3, 3), scores=[0.9, 0.25, 0.1], classes=[0, 1, 2])
    kept = surest(value, 0.25)
    assert kept.classes.tolist() == [0, 1] and kept.corners[1].tolist() == [0, 0, 2, 2]
    truth = boxes((0, 0, 1, 1))
    assert surest(truth, 0.25) is truth


@pytest.mark.parametrize("words", ["ant 97.1 %", "ant " * 200, "\udcff ant"])
def test_words_stand_in_the_upper_left_corner_and_never_leave_it(words: str) -> None:
    ground = Image.new("L", (320, 240), 100)
    shown = np.array(draw_words(ground, words))
    rows, columns = changed(shown).nonzero()
    assert shown.shape == (240, 320, 3) and rows.min() == columns.min() == 0 and 8 <= rows.max() < 24
    assert shown.max() > 200 and np.asarray(ground).max() == 100    # on a copy


def test_words_are_left_out_of_a_picture_without_room() -> None:
    assert not changed(np.array(draw_words(Image.new("RGB", (12, 12), GROUND), "ant 97.1 %"))).any()


def test_a_mask_lies_over_its_picture_at_the_pictures_size() -> None:
    classes = torch.zeros(6, 8, dtype=torch.uint8)
    classes[3:, :4], classes[:, 6:] = 2, 255
    picture = Image.new("L", (320, 240), 100)
    shown = np.array(draw_mask(picture, Mask(classes), ("", "", "")))
    assert shown.shape == (240, 320, 3) and picture.getpixel((0, 0)) == 100
    assert (shown[:, 241:] == 100).all()    # void
    for number, (y, x) in ((0, (100, 100)), (2, (200, 60))):
        assert np.abs(shown[y, x] - (np.array(colour_of(number)) + 100) / 2).max() <= 0.5
    assert (shown[120, :160] == colour_of(2)).all()    # where one class meets another its colour covers all


def test_the_names_of_the_classes_met_stand_in_the_corner_and_fit() -> None:
    classes = torch.arange(40).repeat(40, 1).to(torch.uint8)
    plain, named = (np.array(draw_mask(Image.new("RGB", (320, 240), GROUND), Mask(classes), names))
                    for names in ([""] * 40, ["a bee\n"] * 40))
    rows, columns = (plain != named).any(2).nonzero()
    assert rows.max() < 200 and columns.max() < 80 and len(rows) > 2000
    draw_mask(Image.new("RGB", (5, 3)), Mask(classes), ["ant"] * 40)    # too small for letters
    assert printable("a\nb\x1b") == "a�b�"


def test_masks_lie_under_their_boxes_at_the_pictures_size():
    """Masks of 20 x 15 pixels on a picture ten times as large: their edge in the colour, within half of it."""
    pixels = torch.zeros(2, 15, 20, dtype=torch.bool)
    pixels[0, 5:10, 4:8] = pixels[1, 2:12, 12:18] = True
    masks = Masks(torch.tensor([[4.0, 5, 8, 10], [12, 2, 18, 12]]), torch.tensor([1, 2]), torch.tensor([0.5, 0.9]),
                  bits=pack_bits(pixels))
    seen = np.asarray(draw_masks(Image.new("RGB", (200, 150), GROUND), masks, NAMES, width=20, scale=(10, 10)))
    assert tuple(seen[20, 5]) == GROUND and tuple(seen[140, 190]) == GROUND
    for row, kind in ((75, 1), (90, 2)):
        column = 60 if kind == 1 else 150
        half = (np.array(GROUND) + np.array(colour_of(kind))) / 2
        assert np.abs(seen[row, column] - half).max() <= 1
        assert tuple(seen[row, 40 if kind == 1 else 120]) == colour_of(kind)
    assert type(surest(masks, 0.6)) is Masks and surest(masks, 0.6).bits.shape == (1, 15, 3)
