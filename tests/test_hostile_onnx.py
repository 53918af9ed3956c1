"""Whatever an ONNX file holds, a command ends with an answer or a line, in seconds and in little memory.

What is done to a file follows from its number alone, so that one that fails can be tried again by it.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from PIL import Image

from tests import hostile_onnx as hostile

HERE = Path(__file__).parent
SECONDS = 10.0          # of the processor, in which a file is refused, beside importing PyTorch
ANSWERED = 20.0         # in which one that is slow and not refused answers: it is run once before, to look into it
WAIT = 300.0            # seconds until it is ended, however busy the machine is
MEMORY = 4 << 30        # bytes that one of its processes may have
CODES = (0, 2, 3, 4)
QUICK, ALL, A_TEST = 7, 1000, 100
FORM = 'classes = ["disc", "square", "triangle"]\nmean = 0.5\ndeviation = 0.25\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a picture in a set of two classes, and a form."""
    for name in ("disc", "square"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.effect_noise((20, 24), 80).convert("RGB").save(tmp_path / "set" / name / "a.png")
    (tmp_path / "form.toml").write_text(FORM)
    (tmp_path / "files").mkdir()
    return tmp_path


def pair(number: int, models: list[onnx.ModelProto], place: Path) -> tuple[str, list[str]]:
    """What was done to the file of a number, and the command that is given it."""
    draw = random.Random(number)
    file = place / "files" / "model.onnx"
    whole = draw.choice(models)
    done = hostile.damaged(whole, draw, file)
    form = None if hostile.is_own(whole) else place / "form.toml"
    return done, hostile.command_for(file, place / "set" / "disc" / "a.png", form, draw)


def check(found: dict[str, Any], what: str) -> None:
    assert found["code"] in CODES, f"{what}: exit code {found['code']}\n{found['err'][-2000:]}"
    lines = found["err"].splitlines()
    # Behind a line on which runtime was quicker, or that one cannot run the file.
    others = [line for line in lines if not line.startswith("runtime ")]
    assert len(others) == (found["code"] != 0), f"{what}: {lines}"
    assert all(line.startswith("lensmith: ") for line in others), f"{what}: {lines}"
    assert len(found["err"]) < 3000, f"{what}: {len(found['err'])} letters"


def test_every_damage_and_every_verb_is_reached(place: Path):
    models = [hostile.own_network(), hostile.small_network()]
    found = [pair(number, models, place) for number in range(150)]
    assert {done for done, _ in found} == {"bytes", "cut", "field", "node", "far data", "loop", "huge shape", "facts"}
    assert {words[0] for _, words in found} == {"predict", "val", "inspect"}


def test_whole_files_are_used(place: Path, command):
    """What is damaged is good before, or else all would be refused for another reason."""
    onnx.save(hostile.own_network(), place / "own.onnx")
    onnx.save(hostile.small_network(), place / "others.onnx")
    picture = place / "set" / "disc" / "a.png"
    assert command("predict", place / "own.onnx", picture, "--runtime", "onnxruntime").code == 0
    assert command("val", place / "others.onnx", "--data", place / "set", "--form", place / "form.toml", "-q").code == 0


def test_damaged_files(place: Path, command):
    models = [hostile.own_network(), hostile.small_network()]
    for number in range(QUICK):
        done, words = pair(number, models, place)
        if done == "loop":    # which takes all the time that a file may take
            continue
        code, out, err = command(*words)
        check({"code": code, "out": out, "err": err}, f"file {number}: {done}; lensmith {' '.join(words)}")


class Forks:
    """Commands in processes of their own."""

    def __init__(self) -> None:
        self.server = subprocess.Popen([sys.executable, str(HERE / "fork_commands.py")], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, words: list[str]) -> dict[str, Any]:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps({"words": words, "wait": WAIT}) + "\n")
        self.server.stdin.flush()
        found: dict[str, Any] = json.loads(self.server.stdout.readline())
        return found


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    found = Forks()
    yield found
    found.server.communicate(timeout=60)    # it ends with its input


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[onnx.ModelProto]:
    """Small files, and what `lensmith export` writes of a classifier and of a detector."""
    folder, lensmith = tmp_path_factory.mktemp("exported"), [sys.executable, "-m", "lensmith"]
    for task in ("classification", "detection"):
        subprocess.run([*lensmith, "train", "shapes", "data.count=60", "data.size=64", "--task", task, "--backbone",
                        "simple", "--epochs", "1", "--plan", "exact", "--name", task, "--runs", str(folder), "-q"],
                       check=True, capture_output=True)
        subprocess.run([*lensmith, "export", str(folder / task), "-q"], check=True, capture_output=True)
    return [hostile.own_network(), hostile.small_network(),
            *(onnx.load(folder / task / "model.onnx") for task in ("classification", "detection"))]


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("first", range(QUICK, ALL + QUICK, A_TEST))
def test_a_thousand_damaged_files(models: list[onnx.ModelProto], place: Path, forks: Forks,
                                  first: int):
    for number in range(first, first + A_TEST):
        done, words = pair(number, models, place)
        what = f"file {number}: {done}; lensmith {' '.join(words)}"
        found = forks.run(words)
        check(found, what)
        limit = SECONDS if found["code"] else ANSWERED
        assert found["seconds"] < limit, f"{what}: {found['seconds']:.1f} s of the processor"
        assert found["memory"] < MEMORY, f"{what}: {found['memory'] >> 20:,} MB"
