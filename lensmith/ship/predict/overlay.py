"""A prediction drawn over its picture."""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from lensmith.base.errors import DataError
from lensmith.base.pictures import BadPicture
from lensmith.base.viewing import open_viewable, open_whole
from lensmith.ship.answers import by_kind as values_written
from lensmith.ship.predict.prediction import Prediction
from lensmith.values.boxes import Boxes
from lensmith.values.drawing import draw_boxes, draw_mask, draw_masks
from lensmith.values.instance_masks import Masks
from lensmith.values.labels import Label
from lensmith.values.semantic_mask import Mask
from lensmith.values.value import of_kind

_LEAST, _MOST = 224, 1024    # pixels of a captioned picture's longer edge


def overlaid(one: Prediction) -> Image.Image:
    """The picture at its own size with the masks and over them the boxes; of several targets the others below it."""
    try:
        if one.map is not None:
            return captioned(one.map.drawn(Path(one.file), one.names[one._first(Label)]), one.text(1))
        sheet = open_whole(Path(one.file))
    except BadPicture as error:
        raise DataError(f"{one.file} {error}") from error
    sheet, text = drawn_over(sheet, one), undrawn(one, 1)
    return captioned(sheet, text) if text else sheet


def drawn_over(sheet: Image.Image, one: Prediction) -> Image.Image:
    """The picture with the masks on it and over them the boxes."""
    for value, names in [(one.values[name], one.names[name]) for kind in (Mask, Boxes)
                         for name in of_kind(one.values, kind)]:
        if isinstance(value, Mask):
            sheet = draw_mask(sheet, value, names)
        elif isinstance(value, Masks):
            sheet = draw_masks(sheet, value, names, width=sheet.width)
        elif isinstance(value, Boxes):
            sheet = draw_boxes(sheet, value, names)
    return sheet


def undrawn(one: Prediction, k: int) -> str:
    """In words what was said and cannot be drawn over the picture."""
    others = {name: value for name, value in one.values.items() if not isinstance(value, Mask | Boxes)}
    return values_written.in_words(others, one.names, k)


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
