"""The command line as a whole: its verbs and their help, and what each mistake gets."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from PIL import Image

from lensmith.base.errors import DataError
from lensmith.cli.app import ALIASES, VERBS, main
from lensmith.cli.options import Json

ENDING = {"usage": 2, "data": 3, "model": 4, "stopped": 6}


@pytest.mark.parametrize(("arguments", "kind", "texts"), [
    (["train"], "usage", ["nothing to train on"]),
    (["train", "fashion-mist"], "data", ["'fashion-mist' is no recipe", "Did you mean 'fashion-mnist'?"]),
    (["train", "no/such/folder"], "data", ["'no/such/folder' is no recipe", "folder of pictures"]),
    (["train", "none.toml"], "usage", ["there is no recipe none.toml"]),
    (["train", "none.csv"], "data", ["none.csv"]),
    (["train", "shapes", "--backbone", "lennet"], "model", ["unknown backbone 'lennet'. Did you mean 'lenet'?"]),
    (["train", "shapes", "--epoch", "3"], "usage", ["No such option: --epoch. Did you mean '--epochs'?"]),
    (["train", "shapes", "--epochs", "three"], "usage",
     ["Invalid value for '--epochs'", "; got 'three'. `lensmith train --help`"]),
    (["train", "shapes", "--epochs", "0"], "usage", ["learner.epochs (--epochs) must be at least 1; got 0"]),
    (["train", "shapes", "--batch", "0"], "usage", ["loading.batch (--batch) must be at least 1; got 0"]),
    (["train", "shapes", "--rate", "-1"], "usage", ["optimizer.rate (--rate) must be above 0; got -1.0"]),
    (["train", "shapes", "learner.epoch=3"], "usage", ["has no setting 'epoch'. Did you mean 'epochs'?"]),
    (["train", "shapes", "lerner.epochs=3"], "usage", ["unknown section 'lerner'. Did you mean 'learner'?"]),
    (["train", "learner.epochs=3"], "usage", ["the first argument names the data or the recipe"]),
    (["train", f"backbone.layers={'x' * 300}"], "usage", ["the first argument names the data or the recipe"]),
    (["train", "shapes", "--device", "gpu"], "usage", ["unknown device 'gpu': accepted are auto, cpu, cuda"]),
    (["train", "shapes", "--task", "regression"], "usage", ["data set 'shapes' gives label, boxes, mask; task "
                                                             "'regression' needs numbers"]),
    (["train", "shapes", "--backbone", "lenet", "--size", "6"], "model", ["lenet cannot take pictures of 6 x 6 pixels",
                                                                          "--size"]),
    (["train", "--resume", "no/run"], "model", ["there is no run folder no/run"]),
    (["train", "--resume", "x", "--epochs", "3"], "usage", ["--resume goes on with the run as it was"]),
    (["val", "no/run"], "model", ["there is no run folder no/run"]),
    (["inspect", "lennet"], "model", ["Did you mean 'lenet'?"]),
    (["inspect", "lenet", "kernel=3"], "usage", ["backbone 'lenet' has no setting 'kernel'"]),
    (["list", "bakbones"], "usage", ["unknown list 'bakbones'. Did you mean 'backbones'?"]),
    (["data", "get", "imagenet"], "data", ["imagenet", "fashion-mnist"]),
    (["trian"], "usage", ["No such command 'trian'. Did you mean 'train'?"])])
def test_mistakes_get_one_line_and_their_exit_code(command, arguments, kind, texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    assert ended.code == ENDING[kind], ended.err
    for text in texts:
        assert text in ended.err
    if ended.err.startswith("lensmith: "):
        assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err and ended.out == ""
    assert not list(tmp_path.iterdir())    # nothing was begun


def test_a_verb_of_ones_own_is_one_entry_of_the_table(capsys, monkeypatch):
    def count(folder: Path, as_json: Json = False) -> None:
        """How many files a folder holds."""
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: give data.path")
        files = len(list(folder.iterdir()))
        typer.echo(json.dumps({"files": files}) if as_json else files)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lensmith", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main({**VERBS, "count": count, "data count": count})
        return int(ended.value.code or 0), *capsys.readouterr()

    here = Path(__file__).parent
    assert run("count", here, "--json") == (0, f'{{"files": {len(list(here.iterdir()))}}}\n', "")
    assert run("data", "count", here)[1] == f"{len(list(here.iterdir()))}\n"
    assert run("count", here / "none") == (3, "", f"lensmith: {here / 'none'} is no folder: give data.path\n")
    assert re.search(r"^  count +How many files a folder holds\.$", run("--help")[1], re.MULTILINE)
    assert "  count  How many files a folder holds.\n" in run("data", "--help")[1]
    assert "--json" in run("count", "--help")[1]


def test_the_help_lists_every_verb_and_no_alias(command):
    ended = command("--help")
    listed = [line.split()[0] for line in ended.out.partition("Commands:\n")[2].splitlines()]
    assert listed == [*dict.fromkeys(words.split()[0] for words in VERBS)] and not set(listed) & set(ALIASES)


def test_help_is_quick_and_does_not_wait_for_torch():
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "lensmith", "--help"], capture_output=True,
                          text=True, check=True)
    assert "train" in done.stdout and "predict" in done.stdout
    assert time.monotonic() - started < 30    # a hang, not a benchmark: that is benchmarks/start.py
    imported = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line]
    assert not {"torch", "numpy", "PIL", "matplotlib", "pydantic"} & set(imported)


def test_a_reader_that_leaves_is_no_error():
    done = subprocess.run(f"{sys.executable} -m lensmith list | head -n 1", shell=True, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0 and done.stdout.startswith("name") and done.stderr == ""


def test_the_module_runs_as_the_command():
    done = subprocess.run([sys.executable, "-m", "lensmith", "train"], capture_output=True, text=True, check=False,
                          env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 2 and done.stderr.startswith("lensmith: nothing to train on")


@pytest.mark.parametrize("words", [
    ["train"], ["val"], ["inspect"], ["predict"], ["compare"], ["list", "runs", "--runs"], ["train", "--resume"],
    ["train", "shapes", "--weights"], ["train", "shapes", "--plan"], ["data", "show"],
    ["train", "shapes", "--backbone"]])
def test_a_name_of_300_letters_is_one_line(command, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = command(*words, "x" * 300)
    assert ended.code in ENDING.values() and ended.err.startswith("lensmith: ") and ended.err.count("\n") == 1


def test_names_that_are_no_utf_8_are_refused_in_one_line(tmp_path, monkeypatch):
    folder = tmp_path / "dir\udce9" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "1.png")
    (tmp_path / "dir\udce9" / "b").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "dir\udce9" / "b" / "1.png")
    done = subprocess.run([sys.executable, "-m", "lensmith", "train", os.fsencode(tmp_path / "dir\udce9"), "--dry-run"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "path must be text in UTF-8, as a recipe is; got " in done.stderr and "dir\\udce9" in done.stderr


def test_a_recipe_of_thousands_of_digits_or_brackets_is_one_line(command, tmp_path):
    for text in (f"[run]\nseed = {'9' * 5000}\n", f"a = {'[' * 5000}", f"[run]\nseed = 0x{'f' * 9000}\n",
                 '[data]\nname = "folder"\npath = "a\\u0000b"\n', "[optimizer]\nname = 'adamw'\nrate = nan\n"):
        (tmp_path / "one.toml").write_text(text)
        ended = command("train", tmp_path / "one.toml", "--dry-run")
        assert ended.code == 2 and ended.err.startswith("lensmith: ") and ended.err.count("\n") == 1, ended.err
    ended = command("train", "shapes", f"run.seed={'9' * 5000}", "--dry-run")
    assert ended.code == 2 and "(--seed) has a value that cannot be read" in ended.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_device_is_said_once():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "lensmith", "list"], stdout=full, stderr=subprocess.PIPE,
                              text=True, check=False)
    assert done.returncode == 6
    assert done.stderr == "lensmith: a file or a connection cannot be read or written (No space left on device): " \
        "free some space, then give the command again\n"


def test_only_one_place_prints():
    """What is printed there cannot command a terminal."""
    import lensmith.cli as package

    files = {path.name: path.read_text(encoding="utf-8").count("print(") for path in
             Path(package.__file__).parent.glob("*.py")}
    assert [name for name, number in files.items() if number] == ["terminal.py"]
