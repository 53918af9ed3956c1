"""The search for candidates beside all pairs, and the fit of one thumbnail on another."""

import numpy as np
import pytest
from PIL import Image

from lensmith.study.check.duplicates import near_threshold
from lensmith.study.check.near_candidates import WINDOWS, Candidates, candidates_among
from lensmith.study.check.near_pairs import Similarity, fitted_details, similarity
from tests.study.check.conftest import drawn


def thumbnails(images: list[Image.Image]) -> tuple[np.ndarray, np.ndarray]:
    light = np.stack([np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR)) for image in images])
    return light, np.full((len(images), 2, 8, 8), 128, np.uint8)


def test_copies_are_among_the_candidates_and_all_pairs_are_not_compared():
    images = [drawn(seed, 64, 64) for seed in range(400)]
    copies = [images[row].crop((4, 2, 64, 61)) for row in range(0, 400, 20)]
    light, _ = thumbnails(images + copies)
    found = candidates_among(light)
    pairs = {tuple(sorted(pair)) for pair in zip(found.first.tolist(), found.second.tolist(), strict=True)}
    assert {(20 * i, 400 + i) for i in range(20)} <= pairs and len(pairs) < 60
    assert (found.first != found.second).all() and found.cosine.min() > 0.9


def test_candidates_are_the_same_each_time():
    light, _ = thumbnails([drawn(seed // 2, 40, 40) for seed in range(30)])
    first, second = candidates_among(light), candidates_among(light)
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in ("first", "second", "windows"))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_hardly_any_pictures(number: int):
    light, colours = thumbnails([drawn(seed) for seed in range(3)])
    found = candidates_among(light[:number])
    assert not len(found.first) and not len(similarity(light[:number], colours[:number], found).details)


@pytest.mark.parametrize("box", [(0, 0, 90, 90), (10, 5, 100, 95), (6, 3, 97, 100), (0, 9, 94, 100)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_window_is_fitted_to_the_picture_that_was_cut_out_there(box, mirrored: bool):
    image = drawn(5, 100, 100)
    cut = image.crop(box).resize((100, 100), Image.Resampling.BICUBIC)
    cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else cut
    light, colours = thumbnails([image, cut])
    whole = next(i for i, window in enumerate(WINDOWS) if window.across == window.down == (0.0, 1.0) and
                 window.mirrored == mirrored)
    pair = Candidates(np.array([0]), np.array([1]), np.array([whole]), np.array([1.0], np.float32))
    fitted = similarity(light, colours, pair)
    plain = np.corrcoef(*(np.gradient(array.astype(float))[0].ravel() for array in
                          (light[0][:, ::-1] if mirrored else light[0], light[1])))[0, 1]
    assert fitted.details[0] > 0.97 and fitted.light[0] > 0.99 and plain < fitted.details[0] - 0.03


def test_other_pictures_do_not_fit_and_brightness_does_not_matter():
    image = drawn(7)
    darker = image.point(lambda value: value * 0.6 + 20)
    light, colours = thumbnails([image, darker, drawn(8)])
    zeros = np.zeros(2, np.int64)
    fitted = similarity(light, colours, Candidates(zeros, np.array([1, 2]), zeros, np.ones(2, np.float32)))
    assert fitted.details[0] > 0.995 and fitted.details[1] < 0.6


def test_the_threshold_rises_where_most_pictures_hang_together():
    draw = np.random.default_rng(0)
    rows = np.arange(1_000)
    copies = near_threshold(rows[::2], rows[1::2], draw.uniform(0.9, 1, 500), 1_000)    # each has one copy
    assert copies == 0.95
    chain = near_threshold(rows[:-1], rows[1:], draw.uniform(0.951, 0.985, 999), 1_000)    # each is like the next
    assert chain >= 0.98
    assert near_threshold(rows[:0], rows[:0], np.zeros(0), 1_000) == 0.95


def test_red_and_blue_copies_are_two_pictures():
    details = np.full(3, 0.99, np.float32)
    alike = Similarity(details, np.array([1.0, 0.5, 1.0]), np.array([0.0, 0.0, 80.0]))
    assert fitted_details(alike).tolist() == pytest.approx([0.99, 0, 0])
