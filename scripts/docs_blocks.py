"""What a page of the documentation has to be run: its blocks of commands and code, and its numbers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

FENCE = re.compile(r"^```(console|python|toml|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FRONT = re.compile(r"\A---\n(.*?)^---\n", re.MULTILINE | re.DOTALL)
# <!--=FILE KEY FORMAT-->0.8906<!--/-->: the number under a dotted key of a JSON file that the page's commands wrote.
NUMBER = re.compile(r"<!--=(\S+) (\S+)(?: (\S+))?-->([^<]*)<!--/-->")
DIGITS = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
ELSEWHERE = "..."    # any lines; within a line, any text
ALL = "?"            # the only line of an output that is yet to be written


# Lines that are otherwise on another machine, or another day: the plan, the forecast, the epochs, progress.
PASSING = re.compile(r"training into |about \d|epoch \d|one epoch takes|decoding \d|looked at \d|"
                     r"(computing )?features of|the network is written|[\w: ]+ is opened$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: `console`, `python`, `toml`, or the `text` that the Python before it prints."""

    kind: str
    text: str
    begin: int    # of `text` in the page

    @property
    def file(self) -> str | None:
        """The file that the block is, by its first line `# NAME`."""
        named = re.match(r"# ([\w-]+\.(?:py|toml))\n", self.text)
        return named[1] if named and self.kind in ("python", "toml") else None


@dataclass(frozen=True)
class Command:
    """A line behind `$ `, with what it ends with and what it prints."""

    line: str
    code: int
    output: tuple[str, ...]


def blocks_of(page: str) -> list[Block]:
    """The blocks in their order."""
    return [Block(found[1], found[2], found.start(2)) for found in FENCE.finditer(page)]


def needs_of(page: str) -> dict[str, str]:
    """{name in the page's folder: what it is} of the front matter's `needs`."""
    front = FRONT.match(page)
    found = (yaml.safe_load(front[1]) or {}).get("needs", {}) if front else {}
    return {str(name): str(what) for name, what in found.items()}


def commands_of(text: str) -> list[Command]:
    """The commands of a console block. `# exit 4` behind one says what it ends with."""
    commands: list[Command] = []
    line, output = "", list[str]()
    for one in [*text.splitlines(), "$ "]:
        if line.endswith("\\"):
            line = f"{line}\n{one}"
        elif one.startswith("$ "):
            if line:
                code = re.search(r"\s+# exit (\d+)$", line)
                commands.append(Command(line, int(code[1]) if code else 0, tuple(output)))
            line, output = one.removeprefix("$ "), []
        else:
            output.append(one)
    return commands


def console(commands: Sequence[Command]) -> str:
    """The text of a console block."""
    return "".join("\n".join([f"$ {one.line}", *one.output]) + "\n" for one in commands)


def without_numbers(line: str) -> str:
    """The line with each number as #, and a blank for any blanks."""
    return re.sub(r"\s+", " ", DIGITS.sub("#", line)).strip()


def renewed(expected: Sequence[str], printed: Sequence[str]) -> list[str] | str:
    """The expected lines with the numbers that were printed, or the first line that was not printed where it should
    be."""
    if list(expected) == [ALL]:
        return in_page(printed)
    lines: list[str] = []
    at, anywhere = 0, False
    for line in expected:
        if line.strip() == ELSEWHERE:
            anywhere = True
            lines.append(line)
            continue
        pattern = re.compile(".*".join(re.escape(without_numbers(part)) for part in line.split(ELSEWHERE)))
        reach = range(at, len(printed) if anywhere else min(at + 1, len(printed)))
        found = next((n for n in reach if pattern.fullmatch(without_numbers(printed[n]))), None)
        if found is None:
            return line
        lines.append(line if ELSEWHERE in line else printed[found].rstrip())
        at, anywhere = found + 1, False
    return lines if anywhere or at == len(printed) or not expected else ELSEWHERE


def in_page(printed: Sequence[str]) -> list[str]:
    """What a page shows of an output at first: without the lines that pass, which an ellipsis stands for."""
    lines: list[str] = []
    for line in printed:
        if not PASSING.match(line):
            lines.append(line.rstrip())
        elif not lines or lines[-1] != ELSEWHERE:
            lines.append(ELSEWHERE)
    return lines
