"""Darknet's .cfg files: text into sections and options, and back byte for byte."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn, TypeVar

from lensmith.base.atomic_files import write_atomic
from lensmith.base.errors import ModelError, nearest
from lensmith.models.darknet.cfg_options import ALIASES, BESIDE_CLASSES, OPTIONS, UNSUPPORTED

MOST_BYTES = 2**20       # of a cfg file; the longest that are published have 40 thousand
MOST_SECTIONS = 2048
MOST = 65_536            # channels or pixels: a larger number is a slip
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_SLIP = 0.8              # how near the name of an option must be to a known one to be taken for a slip
_SPACE = str.maketrans("", "", " \t\r")    # Darknet drops them wherever they stand

Item = TypeVar("Item", int, float)


@dataclass(frozen=True)
class Option:
    """What stands behind `key =`, without spaces and comments."""

    line: int
    value: str


@dataclass(frozen=True)
class Section:
    """`[kind]` and the options under it. Of an option given twice the first one counts, as in Darknet."""

    file: str
    line: int
    kind: str                     # by its long name: `convolutional`, also where the file says `conv`
    options: dict[str, Option]

    def refuse(self, message: str, key: str = "") -> NoReturn:
        """Raise ModelError with the file, the line of the option (or of the section) and the section's kind."""
        line = self.options[key].line if key in self.options else self.line
        raise ModelError(f"{self.file} line {line}: [{self.kind}] {message}")

    def integer(self, key: str, default: int, *, least: int = 0, most: int = MOST) -> int:
        """The whole number behind `key`; ModelError where it is none or out of bounds."""
        if key not in self.options:
            return default
        return self._read(key, self.options[key].value, _INTEGER, int, least, most)

    def number(self, key: str, default: float, *, least: float = -1e9, most: float = 1e9) -> float:
        """The number behind `key`; ModelError where it is none or out of bounds."""
        if key not in self.options:
            return default
        return self._read(key, self.options[key].value, _NUMBER, float, least, most)

    def integers(self, key: str, *, least: int, most: int) -> tuple[int, ...]:
        """The whole numbers behind `key`, separated by commas; none where the key is absent."""
        texts = self.options[key].value.split(",") if key in self.options else []
        return tuple(self._read(key, text, _INTEGER, int, least, most) for text in texts)

    def numbers(self, key: str, *, least: float, most: float) -> tuple[float, ...]:
        """The numbers behind `key`, separated by commas, a last comma allowed; none where the key is absent."""
        texts = self.options[key].value.removesuffix(",").split(",") if key in self.options else []
        return tuple(self._read(key, text, _NUMBER, float, least, most) for text in texts)

    def word(self, key: str, default: str, known: tuple[str, ...]) -> str:
        """The word behind `key`, one of `known`; ModelError with the nearest where it is none of them."""
        word = self.options[key].value if key in self.options else default
        if word not in known:
            self.refuse(f"{key} = {_shown(word)} is unknown.{nearest(word[:60], known)} Known: {', '.join(known)}", key)
        return word

    def must_be_off(self, *keys: str) -> None:
        """ModelError for an option that changes what the layer computes and that is not supported here."""
        for key in keys:
            if key in self.options and self.number(key, 0):
                self.refuse(f"{key} = {self.options[key].value} is not supported; only {key} = 0 is", key)

    def _read(self, key: str, text: str, pattern: re.Pattern[str], kind: Callable[[str], Item], least: Item,
              most: Item) -> Item:
        value = kind(text) if pattern.fullmatch(text) else None
        if value is None or not least <= value <= most:
            what = "a whole number" if pattern is _INTEGER else "a number"
            self.refuse(f"{key} = {_shown(text)} must be {what} from {least:,} to {most:,}", key)
        return value


@dataclass(frozen=True)
class Config:
    """A cfg file: `net` is its first section, `layers` are the others in order, `text` is the file itself."""

    file: str
    text: str    # decoded with surrogateescape, so that bytes that are no UTF-8 survive
    net: Section
    layers: tuple[Section, ...]
    passed_over: tuple[str, ...] = ()    # lines that Darknet passes over too, as `line 7: ema=1`


def read_cfg(path: Path) -> Config:
    """The sections of a cfg file. ModelError, in one line, for what is no cfg, and for unknown sections."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        beside = [near.name for near in path.parent.glob("*.cfg")] if path.parent.is_dir() else []
        raise ModelError(f"cannot read the cfg {path} ({error.strerror}).{nearest(path.name, beside)} Give the path of "
                         "a Darknet .cfg file") from error
    if len(content) > MOST_BYTES:
        raise ModelError(f"{path} has more than {MOST_BYTES:,} bytes: it is no cfg. Perhaps it is the .weights file")
    return parse_cfg(content.decode("utf-8", "surrogateescape"), file=str(path))


def write_cfg(path: Path, config: Config) -> None:
    """Write the text of `config`: of a cfg that was read, the same bytes."""
    content = config.text.encode("utf-8", "surrogateescape")
    write_atomic(path, lambda aside: aside.write_bytes(content), advice="choose another place for the cfg")


def parse_cfg(text: str, *, file: str) -> Config:
    """The sections of a cfg's text; `file` is how errors name it. Raises ModelError as `read_cfg` does."""
    sections: list[Section] = []
    passed_over: list[str] = []
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.translate(_SPACE)
        if not line or line[0] in "#;":
            continue
        line = line.split("#")[0]
        where = f"{file} line {number}"
        if line[0] == "[":
            sections.append(Section(file, number, _kind(line, where), {}))
            if len(sections) > MOST_SECTIONS:
                raise ModelError(f"{where}: more than {MOST_SECTIONS:,} sections; no network of Darknet has so many")
        elif not sections:
            raise ModelError(f"{where}: {_shown(line)} stands before the first section; a cfg begins with [net]")
        elif not _add_option(sections[-1], line, number):
            passed_over.append(f"line {number}: {_shown(line)}")
    if not sections:
        raise ModelError(f"{file} has no sections; a cfg begins with [net]")
    if sections[0].kind != "net":
        sections[0].refuse("is the first section; a cfg begins with [net]")
    for section in sections[1:]:
        if section.kind == "net":
            section.refuse("comes a second time; a cfg has it once, at its beginning")
    if len(sections) == 1:
        raise ModelError(f"{file} has no layers behind [net]")
    return Config(file, text, sections[0], tuple(sections[1:]), tuple(passed_over))


def _kind(line: str, where: str) -> str:
    if not line.endswith("]"):
        raise ModelError(f"{where}: {_shown(line)} begins like a section but has no closing bracket; write [net]")
    name = line[1:-1]
    kind = ALIASES.get(name, name)
    if kind in UNSUPPORTED:
        raise ModelError(f"{where}: [{name}] is a layer of Darknet that is not supported here. "
                         f"Supported: {', '.join(OPTIONS)}")
    if kind not in OPTIONS:
        raise ModelError(f"{where}: unknown section {_shown(line)}.{nearest(name[:60], [*OPTIONS, *ALIASES])} "
                         f"Known: {', '.join(OPTIONS)}")
    return kind


def _add_option(section: Section, line: str, number: int) -> bool:
    """Add the option of a line; False where the line says nothing that Darknet reads. Raises ModelError for what looks
    like a slip: an option of a name that is nearly known."""
    key, equals, value = line.partition("=")
    known = OPTIONS[section.kind]
    if not key or (not equals and any(line.startswith(name) for name in known if len(name) > 1)):
        raise ModelError(f"{section.file} line {number}: {_shown(line)} under [{section.kind}] is neither a section "
                         "nor an option; write key=value, and # before a comment")
    if not equals:
        return False
    if key not in known:
        if get_close_matches(key[:60], known, n=1, cutoff=_SLIP):
            raise ModelError(f"{section.file} line {number}: [{section.kind}] has no option {_shown(key)}."
                             f"{nearest(key[:60], known)} Known: {', '.join(sorted(known))}")
        return False
    section.options.setdefault(key, Option(number, value))
    return True


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else f"{text[:60]}...")


def with_classes(config: Config, classes: int) -> Config:
    """The same network for another number of classes: text with other `classes` and other filters before them.

    For a detector the options `classes` of each yolo, gaussian_yolo or region layer and `filters` of the convolution
    before it are rewritten, for a classifier the width of its last layer with weights. All else in the text stays, so
    that every other layer keeps its number and its shape. Raises ModelError where the layer before is no convolution.
    """
    edits: list[tuple[Section, str, int]] = []
    for number, section in enumerate(config.layers):
        if section.kind not in BESIDE_CLASSES:
            continue
        before = config.layers[number - 1]
        if number == 0 or before.kind != "convolutional":
            section.refuse("must stand right behind a [convolutional] to be given other classes")
        anchors = len(section.integers("mask", least=0, most=MOST)) or section.integer("num", 1, least=1)
        numbers = classes + BESIDE_CLASSES[section.kind]
        edits += [(before, "filters", anchors * numbers), (section, "classes", classes)]
    if not edits:
        weighted = [section for section in config.layers if section.kind in ("convolutional", "connected")]
        if not weighted:
            raise ModelError(f"{config.file} has no layer with weights that could give {classes} classes")
        edits.append((weighted[-1], "filters" if weighted[-1].kind == "convolutional" else "output", classes))
    return _edited(config, edits)


def with_pictures(config: Config, *, inputs: int, size: tuple[int, int]) -> Config:
    """The same network for pictures of so many channels and of `size` (height, width): other text in [net], where it
    says something else."""
    wanted = {"height": size[0], "width": size[1], "channels": inputs}
    edits = [(config.net, key, value) for key, value in wanted.items()
             if config.net.integer(key, 3 if key == "channels" else 0) != value]
    return _edited(config, edits) if edits else config


def _edited(config: Config, edits: list[tuple[Section, str, int]]) -> Config:
    """The config with these options set to these numbers, and all else in its text as it was."""
    lines = config.text.split("\n")
    # From the end, so that a line that is added moves none that is still to be edited.
    for section, key, value in sorted(edits, key=lambda edit: (edit[0].line, edit[1] in edit[0].options), reverse=True):
        if key in section.options:
            index = section.options[key].line - 1
            match = re.fullmatch(r"([^=]*=)([ \t]*)(.*)", lines[index], re.DOTALL)
            assert match is not None    # the option was read from this line
            start, spaces, old = match.groups()
            tail = re.search(r"[ \t\r]*(#.*)?$", old, re.DOTALL)
            lines[index] = f"{start}{spaces}{value}{tail.group() if tail else ''}"
        else:
            lines.insert(section.line, f"{key}={value}")
    return parse_cfg("\n".join(lines), file=config.file)
