"""`lensmith check` on CIFAR-10 and Fashion-MNIST: planted near duplicates that it finds, pairs that it names on the
untouched set, and time and memory beside cleanvision.

    python benchmarks/check.py [--planted 100] [--pictures 60000] [--tar FILE] [--sheet sheet.jpg] [--no-write]

The 60,000 JPEG files of cifar10-jpeg.tar in LENSMITH_DATA. Copies of 100 training pictures are planted into the test
split: a quarter each cropped to 90 % to 97 % of the edge, mirrored, re-encoded at JPEG quality 40, and 20 % brighter or
darker; and 100 others with all of these at once. The same command with the same thresholds runs on the untouched set;
of 50 of its test pictures that are near a training picture, drawn by the seed, the pair is put on a contact sheet to be
looked at. cleanvision looks at the same folder in the same run, with all its checks and all cores. Every program is a
process of its own; where others work on the machine too, processor seconds say more than seconds.
"""

import argparse
import io
import json
import os
import random
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageOps
from results import Ended, this_command, whole_run, write

CHANGES = ("cropped", "mirrored", "JPEG 40", "brightness 20 %")
ALL_CHANGES = "all at once"
_EDGE, _SHOWN = 96, 50    # pixels of a picture on the sheet, and pairs on it
_PEER = """
import json, sys
from cleanvision import Imagelab
lab = Imagelab(data_path=sys.argv[1])
lab.find_issues(verbose=False)
sets = {kind: len(lab.info[kind]["sets"]) for kind in ("exact_duplicates", "near_duplicates")}
print(json.dumps(sets))
"""


def changed(image: Image.Image, change: str, draw: random.Random) -> bytes:
    """A JPEG file of the picture after a change, or after all of them."""
    if change in ("cropped", ALL_CHANGES):
        width, height = image.size
        edge = draw.randint(-(-9 * width // 10), width - 1)
        left, top = draw.randint(0, width - edge), draw.randint(0, height - edge)
        image = image.crop((left, top, left + edge, top + edge))
    if change in ("mirrored", ALL_CHANGES):
        image = ImageOps.mirror(image)
    if change in ("brightness 20 %", ALL_CHANGES):
        factor = draw.choice((0.8, 1.2))
        image = image.point(lambda value: min(255, round(value * factor)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40 if change in ("JPEG 40", ALL_CHANGES) else 75)
    return file.getvalue()


def thin_out(folder: Path, number: int) -> None:
    """Leave about so many pictures of the folder, evenly from all of its folders."""
    pictures = sorted(folder.rglob("*.jpg"))
    kept = set(pictures[:: max(1, len(pictures) // number)])
    for picture in pictures:
        if picture not in kept:
            picture.unlink()


def plant(folder: Path, number: int, seed: int) -> dict[str, str]:
    """Put changed copies of training pictures into the test split -> {copy: the change}."""
    draw = random.Random(seed)
    chosen = draw.sample(sorted((folder / "train").rglob("*.jpg")), 2 * number)
    planted = {}
    for i, path in enumerate(chosen):
        change = CHANGES[i % len(CHANGES)] if i < number else ALL_CHANGES
        copy = folder / "test" / path.parent.name / f"planted{i:03}.jpg"
        with Image.open(path) as image:
            copy.write_bytes(changed(image.convert("RGB"), change, draw))
        planted[copy.relative_to(folder).as_posix()] = change
    return planted


@dataclass(frozen=True)
class Checked:
    """What `lensmith check` said of a folder."""

    ended: Ended
    leaked: dict[str, str]           # picture of the test split -> the nearest one of the training split
    within: list[tuple[str, str]]    # near duplicates within a split: as few pairs as join them all
    pairs_across: int                # of all pictures across splits, where one may have several near it

    @property
    def across(self) -> list[tuple[str, str]]:
        return [(train, test) for test, train in self.leaked.items()]


def checked(source: str, cache: Path) -> Checked:
    """`lensmith check` without a valid split taken from train, and without a probe that is trained."""
    command = [sys.executable, "-m", "lensmith", "check", source, "split.valid=0", "--budget", "0", "--json", "--quiet"]
    ended = whole_run(command, {"LENSMITH_CACHE": str(cache)})
    leaked, within, across = dict[str, str](), list[tuple[str, str]](), 0
    for finding in json.loads(ended.output)["findings"]:
        pairs = [tuple(picture["path"] for picture in group["pictures"]) for group in finding["groups"]]
        if finding["kind"] == "leak":
            leaked |= {test: train for train, test in pairs}
            across += round(finding["numbers"]["pairs"])
        elif finding["kind"] in ("near-duplicate", "duplicate"):
            within += [(first, second) for first, second in pairs]
    return Checked(ended, leaked, within, across)


def sheet(folder: Path, pairs: list[tuple[str, str]], file: Path, seed: int) -> None:
    """A picture of 50 pairs drawn from all, five a row."""
    chosen = random.Random(seed).sample(pairs, min(_SHOWN, len(pairs)))
    page = Image.new("RGB", (5 * (2 * _EDGE + 24), -(-len(chosen) // 5) * (_EDGE + 24)), "white")
    for i, pair in enumerate(chosen):
        left, top = i % 5 * (2 * _EDGE + 24), i // 5 * (_EDGE + 24)
        ImageDraw.Draw(page).text((left + 2, top), f"{i + 1}", "black")
        for side, name in enumerate(pair):
            with Image.open(folder / name) as image:
                page.paste(image.convert("RGB").resize((_EDGE, _EDGE), Image.Resampling.BICUBIC),
                           (left + side * (_EDGE + 2), top + 14))
    page.save(file, quality=80)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--planted", type=int, default=100)
    arguments.add_argument("--pictures", type=int, default=60_000, help="of CIFAR-10, evenly from all classes")
    arguments.add_argument("--tar", type=Path, default=Path(os.environ.get("LENSMITH_DATA", "")) / "cifar10-jpeg.tar")
    arguments.add_argument("--sheet", type=Path)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--no-write", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, cache = Path(temporary) / "cifar10", Path(temporary) / "cache"
        with tarfile.open(given.tar) as archive:
            archive.extractall(folder, filter="data")
        thin_out(folder, given.pictures)
        peer = whole_run([sys.executable, "-c", _PEER, str(folder)], {})
        untouched = checked(str(folder), cache)
        if given.sheet is not None:
            sheet(folder, untouched.across, given.sheet, given.seed)
        planted = plant(folder, given.planted, given.seed)
        with_planted = checked(str(folder), cache)
        gray = checked("fashion-mnist", cache)
    rows = [row("Lensmith, CIFAR-10", untouched.ended, untouched, peer),
            row("Lensmith, CIFAR-10 with planted copies", with_planted.ended, with_planted, peer),
            row("cleanvision, CIFAR-10", peer, None, peer),
            row("Lensmith, Fashion-MNIST", gray.ended, gray, None)]
    notes = [f"{given.pictures:,} pictures of CIFAR-10", *found_of(planted, with_planted),
             f"cleanvision: {peer.output.splitlines()[-1]} sets of duplicates"]
    print(*(json.dumps(line) for line in rows), *notes, sep="\n")
    if not given.no_write:
        write("check", this_command(), rows, notes)


def row(what: str, ended: Ended, told: Checked | None, peer: Ended | None) -> dict[str, Any]:
    """A row of the table."""
    return {"what": what, "processor seconds": round(ended.processor_seconds, 1), "seconds": round(ended.seconds, 1),
            "MB": round(ended.megabytes),
            "test pictures near a training picture": None if told is None else len(told.leaked),
            "pairs across splits": None if told is None else told.pairs_across,
            "pictures again in their split": None if told is None else len(told.within),
            "cleanvision's processor seconds / its own":
                None if peer is None else round(peer.processor_seconds / ended.processor_seconds, 2)}


def found_of(planted: dict[str, str], told: Checked) -> list[str]:
    """How many of the planted copies are named as near a training picture, by change."""
    single = [copy for copy, change in planted.items() if change != ALL_CHANGES]
    lines = [f"of one change each {sum(copy in told.leaked for copy in single)} of {len(single)} planted copies found"]
    for change in (*CHANGES, ALL_CHANGES):
        copies = [copy for copy, name in planted.items() if name == change]
        lines.append(f"{change}: {sum(copy in told.leaked for copy in copies)} of {len(copies)}")
    return lines


if __name__ == "__main__":
    main()
