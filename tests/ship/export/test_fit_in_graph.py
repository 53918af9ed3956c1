"""What brings a picture of any size to the form, and answers back, beside the canonical decode and the values."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.pictures import Form, Place, bring, fit_of, refit
from lensmith.data.sources.fitting import in_files, trimmed
from lensmith.data.sources.sample import Batch
from lensmith.ship.export.fit_in_graph import AnswersInPicture, FitPicture, fitting_of
from lensmith.ship.runtimes.file_facts import TargetFacts
from lensmith.values.boxes import Boxes
from lensmith.values.instance_masks import Masks, pack_bits
from lensmith.values.semantic_mask import Mask

FITS = ("crop", "pad", "squash")
SIZES = ((60, 90), (90, 60), (37, 41), (128, 320), (500, 375), (11, 200))    # of pictures; some larger, some smaller


def picture(height: int, width: int, channels: int = 3) -> Image.Image:
    """Smooth colours with some noise, as photos have."""
    draw = np.random.default_rng(height * width)
    coarse = Image.fromarray(draw.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize((width, height), 3)
    pixels = np.asarray(coarse).astype(int) + draw.integers(-20, 21, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB" if channels == 3 else "L")


def as_tensor(image: Image.Image) -> torch.Tensor:
    array = np.array(image)
    return torch.from_numpy(array if array.ndim == 3 else array[:, :, None]).permute(2, 0, 1)[None].contiguous()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_are_those_of_the_canonical_decode(fit: str, interpolation: str):
    for channels, (height, width) in ((3, (64, 64)), (1, (64, 96)), (3, (320, 416))):
        form = Form(channels, height, width, fit=fit, interpolation=interpolation)    # type: ignore[arg-type]
        for size in SIZES:
            image = picture(*size, channels)
            found = FitPicture(form, trims=False)(as_tensor(image))[0]
            expected = bring(image, form)[0]
            apart = (found.int() - expected.int()).abs()
            assert found.shape == expected.shape and found.dtype == torch.uint8
            assert (apart <= 1).float().mean() >= 0.999 and apart.max() <= 3, (channels, size)


def test_pictures_of_sixteen_bits_are_too():
    form = Form(1, 32, 48, fit="pad", bits=16)
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 65536, (1, 50, 60)).astype(np.uint16))
    found, expected = FitPicture(form, trims=False)(values[None])[0], refit(values, form)
    assert found.dtype == torch.uint16 and (found.int() - expected.int()).abs().max() <= 1


def sizes() -> Iterator[tuple[int, int]]:
    """Chance sizes, and multiples of round numbers, of which many give a half to round."""
    draw = random.Random(0)
    for _ in range(150):
        yield draw.randint(1, 3000), draw.randint(1, 3000)
        yield draw.choice((5, 25, 125)) * draw.randint(1, 20), draw.choice((5, 25, 125)) * draw.randint(1, 20)


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_lies_in_the_form_as_its_place_says(fit: str):
    for height, width in ((224, 224), (320, 416), (97, 333)):
        form = Form(1, height, width, fit=fit)    # type: ignore[arg-type]
        for size in sizes():
            scale, shift = fitting_of(torch.zeros(1, 1, 1, 1).expand(1, 1, *size), form, trims=False).to_picture()
            expected = fit_of(size, form)
            found = torch.cat((scale.flip(0), shift.flip(0))).tolist()
            assert found == pytest.approx(expected, abs=1e-3, rel=1e-6), size


def test_a_letterbox_is_cut_as_predicting_cuts_it():
    form = Form(3, 128, 96, fit="pad")
    for size in SIZES:
        image = picture(*size)
        brought, place = bring(image, form)
        expected = trimmed(Batch(brought[None], {}, [place]))
        found = FitPicture(form, trims=True)(as_tensor(image))
        assert found.shape == expected.images.shape and (found.int() - expected.images.int()).abs().max() <= 1, size
        scale, shift = fitting_of(as_tensor(image), form, trims=True).to_picture()
        assert torch.cat((scale.flip(0), shift.flip(0))).tolist() == pytest.approx(expected.places[0].fit, abs=1e-3)


def answers_to(kind: str, size: tuple[int, int], form: Form, answers: list[torch.Tensor]) -> list[torch.Tensor]:
    targets = {"target": TargetFacts(kind, ("a", "b", "c"))}
    found: list[torch.Tensor] = AnswersInPicture(targets, form, trims=False)(torch.zeros(1, 3, *size), answers)
    return found


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES)
def test_answers_are_those_of_the_values(fit: str, size: tuple[int, int]):
    form = Form(3, 64, 48, fit=fit)    # type: ignore[arg-type]
    place, draw = Place("", size, fit_of(size, form)), torch.Generator().manual_seed(0)
    scores = torch.rand((3, *form.size), generator=draw).softmax(0)
    (mask,) = answers_to("mask", size, form, [scores[None]])
    expected = Mask(scores.argmax(0), scores).in_file(place, form.size).classes
    assert mask.shape == (1, *size) and (mask[0] != expected).float().mean() < 1e-3

    low = torch.rand((6, 2), generator=draw) * 30
    corners = torch.cat((low, low + 5 + torch.rand((6, 2), generator=draw) * 12), 1)
    classes, image = torch.tensor([0, 1, 2, 0, -1, -1]), torch.zeros(4, dtype=torch.int64)
    margins = torch.randn((6, 16, 12), generator=draw)
    bits = pack_bits(torch.ones(4, *form.size, dtype=torch.bool))
    masks = Masks(corners[:4], classes[:4], torch.ones(4), image, bits=bits, margins=margins[:4])
    there = in_files({"masks": masks}, [place])["masks"]
    assert isinstance(there, Boxes)
    (boxes,) = answers_to("boxes", size, form, [corners[None], classes[None]])
    torch.testing.assert_close(boxes[0, :4], there.corners)
    assert (boxes[0, 4:] == 0).all()
    pixels, again = answers_to("masks", size, form, [corners[None], classes[None], margins[None]])
    in_file = there[0].in_file(place, form.size)
    assert isinstance(in_file, Masks) and torch.equal(again, boxes) and pixels.shape == (1, 4, *size)
    assert (pixels[0].bool() != in_file.pixels()[..., : size[1]]).float().mean() < 1e-3
