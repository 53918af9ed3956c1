"""The page of a check: one HTML file with the findings and their pictures side by side, which opens offline."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from lensmith.base.atomic_files import write_text
from lensmith.base.errors import count
from lensmith.base.html_page import image_address, render_page
from lensmith.base.output_folder import output_folder
from lensmith.study.check.finding import Finding, Pictured
from lensmith.study.check.known_set import KnownSet
from lensmith.values.drawing import colour_of

PAGE = "check.html"
_TEMPLATE = Path(__file__).parent / "templates" / "check.html.jinja"
ADVICE = "name another folder with --out"
_SHOWN = 24        # groups of a finding
_IN_GROUP = 6      # pictures of a group
_EDGE = 256        # pixels: the longer edge of a picture on the page
_SMALL = 96        # pixels: a picture with shorter edges is enlarged without smoothing
_QUALITY = 85      # of JPEG


def write_check(known: KnownSet, findings: Sequence[Finding], folder: Path) -> Path:
    """Write the page into a folder, new or with its own earlier page -> the page's path. Raises UserError as
    `output_folder` does."""
    text = _rendered(known, findings)
    with output_folder(folder, advice=ADVICE) as aside:
        write_text(aside / PAGE, text, advice=ADVICE)
    return folder / PAGE


def _rendered(known: KnownSet, findings: Sequence[Finding]) -> str:
    splits = ", ".join(f"{len(rows):,} {split}" for split, rows in known.splits.items())
    about = f"{count(len(known.pictures), 'picture')}; training would use {splits}."
    return render_page(_TEMPLATE, {"source": known.source, "about": about,
                                   "findings": [_shown(known, finding) for finding in findings]})


def _shown(known: KnownSet, finding: Finding) -> dict[str, Any]:
    groups = finding.groups[:_SHOWN]
    command = shlex.join(["lensmith", "check", known.source, "--all"])
    more = f"{len(finding.groups) - len(groups):,} more; {command} lists all." if len(finding.groups) > len(groups) \
        else ""
    facts = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in finding.numbers.items())
    return {"severity": finding.severity, "kind": finding.kind, "number": f"{finding.number:,}", "facts": facts,
            "sentence": finding.sentence, "more": more, "pairs": any(len(group.pictures) > 1 for group in groups),
            "groups": [_shown_group(known, group) for group in groups]}


def _shown_group(known: KnownSet, group: Pictured) -> dict[str, Any]:
    pictures = []
    for number, picture in enumerate(group.pictures[:_IN_GROUP]):
        caption = group.captions[number] if number < len(group.captions) else ""
        pictures.append({"split": picture.split, "path": picture.path, "caption": caption,
                         **_as_data(known, picture.row, group.boxes if number == 0 else ())})
    return {"pictures": pictures, "score": "" if group.score is None else f"score {group.score:.3f}"}


def _as_data(known: KnownSet, row: int, boxes: Sequence[tuple[float, ...]]) -> Mapping[str, Any]:
    """A picture as a data URI; empty where it cannot be read."""
    image = known.image(row, _EDGE)
    if image is None:
        return {"data": "", "small": False}
    height, width = known.pictures.sizes[row].tolist()
    drawn = image.convert("RGB")
    brush = ImageDraw.Draw(drawn)
    for number, (left, top, right, bottom) in enumerate(boxes):
        across, down = drawn.width / width, drawn.height / height
        low = left * across, top * down
        high = max(low[0], right * across - 1), max(low[1], bottom * down - 1)
        brush.rectangle((*low, *high), outline=colour_of(number), width=2)
    return {"data": _data_uri(drawn), "small": max(drawn.size) <= _SMALL}


def _data_uri(image: Image.Image) -> str:
    small = max(image.size) <= _SMALL
    return image_address(image, "png") if small else image_address(image, "jpeg", quality=_QUALITY)
