"""Runs every command and code block of pages of the documentation, in a folder of its own for each page.

    python scripts/run_docs.py [--write] [PAGE ...]

Without --write it says where what is printed differs from the page, numbers aside, and ends with exit code 1. With
--write the page gets what was printed, its numbers are taken from the files that the commands wrote, and the page of
the same name in `zh/` gets the same blocks. A page's front matter names what its folder holds before:

    needs:
      pets: pets       three breeds in folders of their names, of LENSMITH_DATA/pets3
      photos: photos   LENSMITH_DATA/photos
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from docs_blocks import NUMBER, Block, blocks_of, commands_of, console, needs_of, renewed

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SECONDS = 900    # after which a command is taken to hang


def pages() -> list[Path]:
    """The pages whose blocks are run: the start, what people want, and the course."""
    return [DOCS / "start.md", *sorted((DOCS / "howto").glob("*.md")), *sorted((DOCS / "course").glob("[0-9]*.md"))]


def original_of(translated: Path) -> Path:
    """The English page that a page in another language is of."""
    if translated.parent.name == "zh":
        return translated.parents[1] / translated.name
    return translated.with_name(translated.name.replace(".zh.md", ".md"))


class Different(Exception):
    """What a page says is not what happened."""


def run_page(path: Path, *, write: bool) -> None:
    """Run a page. Raises Different with the first thing that differs, or FileNotFoundError for data that are absent."""
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix=f"{path.stem}-") as name:
        folder = Path(name)
        for there, what in needs_of(page).items():
            provide(what, folder / there)
        blocks = blocks_of(page)
        texts = list(_texts(blocks, folder))
        written = _numbers(_put(page, blocks, texts), folder)
    if not write:
        return
    path.write_text(written, encoding="utf-8")
    translated = path.parent / "zh" / path.name if path.parent.name == "course" else path.with_suffix(".zh.md")
    if translated.exists():
        translated.write_text(in_both(written, translated.read_text(encoding="utf-8")), encoding="utf-8")


def in_both(page: str, translated: str) -> str:
    """The translated page with the blocks and the numbers of `page`."""
    blocks = blocks_of(translated)
    texts = [block.text for block in blocks_of(page)]
    if len(blocks) != len(texts):
        raise Different(f"the translated page has {len(blocks)} blocks, the page itself {len(texts)}")
    numbers = {found.group(1, 2, 3): found[4] for found in NUMBER.finditer(page)}
    return NUMBER.sub(lambda found: found[0].replace(f">{found[4]}<", f">{numbers[found.group(1, 2, 3)]}<"),
                      _put(translated, blocks, texts))


def _texts(blocks: list[Block], folder: Path) -> Iterator[str]:
    """The text of each block as it should be, by running it in `folder`."""
    printed: list[str] | None = None    # by the Python block before
    for block in blocks:
        if block.file is not None:
            (folder / block.file).write_text(block.text, encoding="utf-8")
            yield block.text
        elif block.kind == "console":
            commands = []
            for command in commands_of(block.text):
                code, lines = shell(command.line, folder)
                if code != command.code:
                    raise Different(f"{command.line}\n  ended with {code}, not {command.code}:\n" + "\n".join(lines))
                commands.append(replace(command, output=tuple(_same(command.line, command.output, lines))))
            yield console(commands)
        elif block.kind == "python":
            (folder / ".block.py").write_text(block.text, encoding="utf-8")
            code, printed = shell("python .block.py", folder)
            if code:
                raise Different(f"{block.text}\n  ended with {code}:\n" + "\n".join(printed))
            yield block.text
            continue
        elif block.kind == "text" and printed is not None:
            yield "\n".join(_same("Python", block.text.splitlines(), printed)) + "\n"
        else:
            yield block.text
        printed = None


def _same(what: str, expected: Any, printed: list[str]) -> list[str]:
    if not expected:    # a command of which the page shows nothing
        return []
    found = renewed(expected, printed)
    if isinstance(found, str):
        raise Different(f"{what}\n  did not print where it should: {found}\n  it printed:\n" + "\n".join(printed))
    return found


def shell(line: str, folder: Path) -> tuple[int, list[str]]:
    """A command's exit code and the lines that it printed, with this Python's programs first on the path."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(["bash", "-c", line], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=SECONDS, stdin=subprocess.DEVNULL,
                          env={**_of_a_user(), "PATH": programs, "COLUMNS": "100", "NO_COLOR": "1",
                               "PYTHONWARNINGS": "ignore"})
    return done.returncode, done.stdout.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "").splitlines()


def _of_a_user() -> dict[str, str]:
    """The environment without what tests set: a user's programs take as many threads as there are cores."""
    return {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def _put(page: str, blocks: list[Block], texts: list[str]) -> str:
    for block, text in reversed(list(zip(blocks, texts, strict=True))):
        page = page[:block.begin] + text + page[block.begin + len(block.text):]
    return page


def _numbers(page: str, folder: Path) -> str:
    def number(found: Any) -> str:
        file, key, form = found.group(1, 2, 3)
        value = json.loads((folder / file).read_text(encoding="utf-8"))
        for step in key.split("."):
            value = value[int(step) if isinstance(value, list) else step]
        return str(found[0].replace(f">{found[4]}<", f">{value:{form or '.3f'}}<"))

    return NUMBER.sub(number, page)


def shared(name: str) -> Path:
    """What LENSMITH_DATA has under this name. Raises FileNotFoundError where it is not there."""
    path = Path(os.environ.get("LENSMITH_DATA", "absent")).absolute() / name
    if not path.exists():
        raise FileNotFoundError(f"needs {name} in LENSMITH_DATA")
    return path


def _pets(folder: Path) -> None:
    with (shared("pets3") / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            (folder / row["breed"]).mkdir(parents=True, exist_ok=True)
            picture = f"{row['name']}.jpg"
            shutil.copyfile(shared("pets3") / "images" / picture, folder / row["breed"] / picture)


def _known(name: str) -> Callable[[Path], None]:
    """A set that Lensmith finds by its name."""
    def find(folder: Path) -> None:
        code, lines = shell(f"lensmith data show {name}", folder.parent)
        if code:
            raise FileNotFoundError(f"needs {name}: {' '.join(lines)}")
    return find


def _copied(name: str) -> Callable[[Path], None]:
    """A folder of LENSMITH_DATA."""
    def copy(folder: Path) -> None:
        shutil.copytree(shared(name), folder)
    return copy


# What a page may need -> what puts it into the page's folder.
PROVIDED: dict[str, Callable[[Path], None]] = {
    "pets": _pets, "pets3": _copied("pets3"), "photos": _copied("photos"), "coco128": _copied("coco128"),
    "darknet": _copied("darknet"), "fashion-mnist": _known("fashion-mnist"),
}


def provide(what: str, folder: Path) -> None:
    """Put what a page needs into its folder. Raises FileNotFoundError where it is not on this machine."""
    PROVIDED[what](folder)


def main() -> None:
    """Run the pages that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--write", action="store_true", help="put what was printed into the pages")
    given = parser.parse_args()
    wrong = 0
    for path in given.pages or pages():
        begin = time.perf_counter()
        try:
            run_page(path, write=given.write)
            said = "as it says"
        except (Different, FileNotFoundError) as error:
            wrong += 1
            said = str(error)
        print(f"{path.name}: {time.perf_counter() - begin:.0f} s, {said}", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
