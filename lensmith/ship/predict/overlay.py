"""A prediction drawn over its picture."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lensmith.base.errors import DataError
from lensmith.base.picture_headers import BadPicture
from lensmith.base.viewing import open_viewable, open_whole
from lensmith.ship.answers import ANSWERS
from lensmith.ship.answers.by_target import targets_in_words
from lensmith.ship.predict.prediction import Prediction

_LEAST, _MOST = 224, 1024    # pixels of a captioned picture's longer edge


def is_drawn(prediction: Prediction) -> bool:
    """Whether anything of it is drawn over the picture."""
    return prediction.map is not None or \
        any(ANSWERS[value.kind].draw is not None for value in prediction.values.values())


def overlaid(prediction: Prediction) -> Image.Image:
    """The picture at its own size with what can be drawn on it, and below it what cannot, in words."""
    try:
        if prediction.map is not None:
            names = prediction.names[prediction.first("label")]
            return captioned(prediction.map.drawn(Path(prediction.file), names), prediction.text(1))
        picture = open_whole(Path(prediction.file))
    except BadPicture as error:
        raise DataError(f"{prediction.file} {error}") from error
    picture, text = drawn_over(picture, prediction), undrawn(prediction, 1)
    return captioned(picture, text) if text else picture


def drawn_over(picture: Image.Image, prediction: Prediction) -> Image.Image:
    """The picture with the values that cover all of it drawn on it, and the others over them."""
    for covers in (True, False):
        for name, value in prediction.values.items():
            answer = ANSWERS[value.kind]
            if answer.draw is not None and answer.covers is covers:
                picture = answer.draw(picture, value, prediction.names[name])
    return picture


def undrawn(prediction: Prediction, k: int) -> str:
    """In words what cannot be drawn over the picture."""
    others = {name: value for name, value in prediction.values.items() if ANSWERS[value.kind].draw is None}
    return targets_in_words(others, prediction.names, k)


def caption(source: Path, text: str) -> Image.Image:
    """The picture, upright and large enough to be looked at, with a line of text under it. Raises DataError."""
    try:
        image = open_viewable(source, least=_LEAST, most=_MOST)
    except BadPicture as error:
        raise DataError(f"{source} {error}") from error
    return captioned(image, text)


def captioned(image: Image.Image, text: str) -> Image.Image:
    """The picture with a line of text under it."""
    text = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    height = max(13, image.width // 32)
    font = ImageFont.load_default(size=height)
    width = max(image.width, round(font.getlength(text)) + 12)
    sheet = Image.new("RGB", (width, image.height + round(height * 1.8)), "white")
    sheet.paste(image, ((width - image.width) // 2, 0))
    ImageDraw.Draw(sheet).text((6, image.height + height * 0.3), text, fill="black", font=font)
    return sheet
