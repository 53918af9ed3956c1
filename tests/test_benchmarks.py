"""The benchmarks: all compile, and the tiny form of what needs no other environment than ours."""

import json
import os
import py_compile
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lensmith.base.device import environment
from lensmith.data.formats import named_sets as find
from lensmith.engine.plan.plan import Plan
from lensmith.models.backbones import find_backbone
from lensmith.models.network import Network

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"
PROGRAM = """
from turns import Turn
turn = Turn()
turn.told = {"colour": "blue"}
for pictures in (5, 10, 20):
    turn.begin()
    turn.end(pictures)
"""
ABOUT = {"processor": "a processor", "cores": 2, "threads": 2, "memory_gb": 16.0, "instructions": "AVX2", "cuda": [],
         "python": "3.11.7", "packages": {"torch": "2.15.0"}, "load": 0.5, "gflops_float32": 200.0,
         "gflops_bfloat16": 1500.0}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.stem)
def test_compiles(path: Path, tmp_path: Path) -> None:
    py_compile.compile(str(path), cfile=str(tmp_path / "compiled"), doraise=True)
    assert path.name == "__init__.py" or path.read_text().startswith('"""')


def test_results_are_written_and_shown_on_the_page(module: Any, tmp_path: Path) -> None:
    rows = [{"network": "lenet", "pictures/s": 12345.6, "ratio": None}, {"network": "a|b", "pictures/s": 7.25,
                                                                        "ratio": 2.5}]
    path = module("results").write("kernels", "python benchmarks/kernels.py", rows, ["Taken at noon."], about=ABOUT,
                                   folder=tmp_path / "results")
    assert json.loads(path.read_text())["rows"] == rows
    module("report").main(tmp_path / "results", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text().splitlines()
    assert "## Operators" in page and any(line.startswith("`python benchmarks/kernels.py`, 20") for line in page)
    assert "| network | pictures/s | ratio |" in page
    assert "| lenet | 12,346 |  |" in page and "| a\\|b | 7.25 | 2.5 |" in page
    assert "- Taken at noon" in page
    assert any("200 GFLOP/s in float32 and 1500 in bfloat16" in line for line in page)
    assert "- CIFAR-10: `cifar` has no results yet" in page
    assert any(line.startswith("- GPUs: none was at hand") for line in page)


def test_rows_have_the_same_columns(module: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the rows of start have different columns"):
        module("results").write("start", "x", [{"a": 1}, {"b": 1}], about=ABOUT, folder=tmp_path)


def test_no_results_are_told(module: Any, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run a benchmark first"):
        module("report").main(tmp_path, tmp_path / "page.md")


def test_the_machine_is_described(module: Any) -> None:
    found = module("results").machine(size=128, seconds=0.01)
    assert found["gflops_float32"] > 0 and found["gflops_bfloat16"] > 0
    assert found["packages"] == environment()["packages"] and set(found) == set(ABOUT)


def test_the_page_is_that_of_the_results(module: Any, tmp_path: Path) -> None:
    if not list((FOLDER / "results").glob("*.json")):
        pytest.skip("no benchmark has been run")
    module("report").main(target=tmp_path / "page.md")
    assert (FOLDER.parent / "docs" / "performance.md").read_text() == (tmp_path / "page.md").read_text(), \
        "docs/performance.md is not what benchmarks/report.py makes of benchmarks/results: run it"


def test_results_are_added_to_those_of_other_networks(module: Any, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    results = module("results")
    assert results.former("throughput", ABOUT, folder=tmp_path) == {}
    results.write("throughput", "python a.py", [{"network": "lenet", "ratio": 1.0}, {"network": "vgg16", "ratio": 2.0}],
                  ["Of all", "lenet: slow", "vgg16: fast"], about=ABOUT, folder=tmp_path)
    monkeypatch.setattr(sys, "argv", ["/somewhere/throughput.py", "--add", "--programs", "plain PyTorch"])
    old = results.former("throughput", ABOUT | {"load": 2.0, "gflops_float32": 100.0}, folder=tmp_path)
    command, rows, notes = results.merged(
        old, results.this_command(), [{"network": "vgg16", "ratio": 3.0, "rounds": 5}], ["Of all", "vgg16: faster"])
    assert command == "python a.py; python benchmarks/throughput.py --add --programs 'plain PyTorch'"
    assert rows == [{"network": "lenet", "ratio": 1.0, "rounds": None}, {"network": "vgg16", "ratio": 3.0, "rounds": 5}]
    assert notes == ["lenet: slow", "Of all", "vgg16: faster"]
    assert results.merged({}, command, rows, notes) == (command, rows, notes)


def test_results_of_another_machine_are_not_added_to(module: Any, tmp_path: Path) -> None:
    results = module("results")
    results.write("throughput", "x", [], about=ABOUT, folder=tmp_path)
    with pytest.raises(SystemExit, match="nothing can be added to throughput.json: it was measured with cores 2, here "
                                         "that is 4; run without --add"):
        results.former("throughput", ABOUT | {"cores": 4}, folder=tmp_path)


def test_a_whole_process_is_measured_apart_from_the_one_that_asks(module: Any) -> None:
    run = module("results").whole_run
    ended = run([sys.executable, "-c", "import os; print('a'); print(os.environ['COLOUR'])"], {"COLOUR": "blue"})
    assert ended.output.splitlines() == ["a", "blue"] and ended.seconds > 0
    assert 1 < ended.megabytes < 60    # this process holds torch, which takes more
    large = run([sys.executable, "-c", "len(bytearray(100 << 20))"], {})
    assert large.megabytes == pytest.approx(ended.megabytes + 100, abs=20)


@pytest.mark.parametrize(("command", "told"), [
    ([sys.executable, "-c", "raise SystemExit(3)"], r"-c 'raise SystemExit\(3\)' failed: 3"),
    (["absent-command"], "absent-command failed: it could not be started")])
def test_a_whole_process_that_fails_ends_the_benchmark(module: Any, command: list[str], told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        module("results").whole_run(command, {})


def test_without_pictures_the_benchmarks_go_on(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("LENSMITH_DATA", raising=False)
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path))
    monkeypatch.setattr(find, "DEBIAN", tmp_path / "absent")
    monkeypatch.setattr(sys, "argv", ["classic.py"])
    module("classic").main()
    module("cifar").main(3, 1.0)
    fashion, cifar = capsys.readouterr().out.splitlines()
    assert fashion.startswith("fashion was not measured: data set 'fashion-mnist' was not found in ")
    assert cifar == ("cifar was not measured: cifar10-jpeg.tar is not there; set LENSMITH_DATA to the folder that "
                     "holds it")


@pytest.mark.parametrize("name", ["segmentation", "transfer", "tasks"])
def test_without_pets_the_benchmarks_go_on(module: Any, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    module(name).main()
    assert capsys.readouterr().out == (
        f"{name} was not measured: pets3 or weights/tf_efficientnet_lite0_fp16.safetensors is not there; set "
        "LENSMITH_DATA to the folder that holds them\n")


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as LENSMITH_DATA/pets3, with ten small pictures of two breeds."""
    folder = tmp_path / "pets3"
    for part in ("images", "trimaps"):
        (folder / part).mkdir(parents=True)
    rows = ["name,breed,species,split,width,height,head_xmin,head_ymin,head_xmax,head_ymax"]
    for number in range(10):
        breed, species = ("Bengal", "cat") if number % 2 else ("american_bulldog", "dog")
        rows.append(f"{breed}_{number},{breed},{species},trainval,40,30,5,5,20,20")
        Image.new("RGB", (40, 30), (20 * number, 90, 90)).save(folder / "images" / f"{breed}_{number}.jpg")
        mask = np.full((30, 40), 2, dtype=np.uint8)
        mask[5:20, 5:20], mask[5, 5:20] = 1, 3
        Image.fromarray(mask).save(folder / "trimaps" / f"{breed}_{number}.png")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    monkeypatch.setenv("LENSMITH_CACHE", str(tmp_path / "cache"))
    return folder


def test_the_peer_for_masks_gets_what_the_recipe_divides(module: Any, pets: Path) -> None:
    found = module("segmentation").Set(pets)
    assert found.ids == {1: 0, 2: 1} and found.names == ("pet", "rest")
    assert [len(found.pairs[part][0]) for part in ("train", "test")] == [8, 2]
    for pictures, masks in found.pairs.values():
        assert [Path(one).stem for one in pictures] == [Path(one).stem for one in masks]
        assert all(Path(one).is_file() for one in [*pictures, *masks])
    assert found.score(found.truth.classes)["mIoU"] == 1
    wrong = found.truth.classes.clone()
    wrong[wrong == 0] = 1
    assert found.score(wrong)["details"]["per_class"][0]["IoU"] == 0


def test_the_peer_for_labels_gets_what_the_recipe_divides(module: Any, pets: Path) -> None:
    found = module("transfer").Set(pets / "labels.csv")
    assert [len(found.pairs[part][0]) for part in ("train", "test")] == [8, 2]
    for pictures, breeds in found.pairs.values():
        assert [Path(one).stem.rpartition("_")[0] for one in pictures] == breeds
    breeds = found.pairs["test"][1]
    assert found.accuracy(breeds) == 1 and found.accuracy([breeds[0], "Sphynx"]) == 0.5


@pytest.mark.parametrize(("share", "told"), [
    (1.0, "training takes 0.25 of the time that it takes with --plan exact"),
    (0.5, "after the first epoch training takes, a picture, 0.20 of the time that it takes with --plan exact")])
def test_the_exact_run_is_compared_by_what_shrinks_with_its_share(module: Any, share: float, told: str) -> None:
    rows = [{"accuracy": accuracy, "training s": seconds, "s after epoch 1, of all pictures": later}
            for accuracy, seconds, later in ((0.9, 10.0, 8.0), (0.8, 11.0, 9.0), (0.8, 12.0, 9.5), (0.1, 44.0, 45.0))]
    notes = module("cifar").compared(rows, share)
    assert notes[:2] == ["least test accuracy 0.8000, mean 0.8333, of 3 seeds", told]
    assert ("the exact run went over 0.5" in notes[-1]) == (share < 1)


@pytest.fixture
def program(module: Any, tmp_path: Path) -> Any:
    """Start a program whose source is given."""
    turns = module("turns")
    started = []

    def make(source: str) -> Any:
        (tmp_path / "drawn_program.py").write_text(source)
        path = os.pathsep.join([str(tmp_path), str(FOLDER)])
        started.append(turns.Program("drawn", "drawn_program", {}, environment={"PYTHONPATH": path},
                                     log=tmp_path / "log"))
        return started[-1]

    yield make
    for one in started:
        one.end()


def test_programs_take_turns(module: Any, program: Any) -> None:
    found = program(PROGRAM)
    assert found.told["colour"] == "blue" and found.start_seconds > 0
    rates = module("turns").in_turn([found], rounds=2)
    assert len(rates) == 2 and all(rate[0] > 0 for rate in rates)


def test_a_program_is_stopped_between_its_turns(program: Any) -> None:
    found = program(PROGRAM)
    _, status = os.waitpid(found.process.pid, os.WUNTRACED)    # returns once it is stopped, or has ended
    assert os.WIFSTOPPED(status)
    found.turn()
    found.end()
    assert found.process.returncode == -9


def test_a_program_that_fails_says_why(module: Any, program: Any) -> None:
    with pytest.raises(module("turns").Failed, match="drawn ended with 1: ValueError: no pictures"):
        program("raise ValueError('no pictures')")


@pytest.mark.parametrize(("name", "inputs", "size", "small_stem"), [
    ("lenet", 1, 28, False), ("cnn3", 3, 32, False), ("resnet18", 3, 32, False), ("resnet18", 3, 32, True),
    ("mobilenet_v3_small", 3, 64, False)])
def test_the_peers_train_the_same_network(module: Any, name: str, inputs: int, size: int, small_stem: bool) -> None:
    plain = module("peers.networks").network(name, 10, small_stem=small_stem)
    options = {"small_stem": True} if small_stem else {}
    backbone = find_backbone(name, trusted=False)(inputs=inputs, size=(size, size), **options)
    own = Network(backbone, backbone.classifier(10), mean=[0.0] * inputs, deviation=[1.0] * inputs)
    weights, others = list(plain.parameters()), list(own.parameters())
    assert [one.shape for one in weights] == [one.shape for one in others]
    with torch.no_grad():
        for one, other in zip(weights, others, strict=True):
            one.copy_(other)
    images = torch.rand(2, inputs, size, size)
    torch.testing.assert_close(plain.eval()(images), own.eval()(images))


def test_pictures_are_drawn_where_there_are_none(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENSMITH_DATA", str(tmp_path / "absent"))
    assert module("pictures").class_folders("cifar", 23, tmp_path / "data") == "drawn JPEG"
    assert len(list((tmp_path / "data" / "train").glob("*/*.jpg"))) == 23
    assert len(list((tmp_path / "data" / "val").glob("*/*.jpg"))) == 10


def test_candidates_are_all_but_the_picked_and_the_refused(module: Any) -> None:
    picked = Plan("cpu", "bfloat16", "channels_last", 2, rewrites=("fold_batch_norm",))
    half, first = Plan("cpu", "bfloat16", "channels_last", 1), Plan("cpu", "float32", "contiguous", 2, compiled=True)
    told = picked.as_json() | {"timings": [
        picked.as_json() | {"verdict": "chosen"}, half.as_json() | {"verdict": "slower"},
        first.as_json() | {"verdict": "refused: its loss is 3, that of float32 2"}]}
    assert module("candidates").candidates(told) == [
        Plan("cpu", "float32", "channels_last", 2), Plan("cpu", "float32", "contiguous", 2),
        Plan("cpu", "bfloat16", "contiguous", 2), half]


@pytest.mark.slow
def test_a_quick_look_at_the_throughput() -> None:
    done = subprocess.run([sys.executable, FOLDER / "throughput.py", "--quick", "--networks", "cnn3", "--programs",
                           "plain PyTorch"], check=True, capture_output=True, text=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith("network cnn3")]
    assert ["program Lensmith" in rows[0], "program plain PyTorch" in rows[1]] == [True, True]
    assert "Lensmith faster by" in rows[1] and "written" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("command", "row", "least"), [
    (["folders.py", "1", "--count", "40", "--no-write"], "augmentation: ", 6),
    (["kernels.py", "--seconds", "0", "--no-write"], "operator ", 36)])
def test_a_quick_look_at_the_parts(command: list[str], row: str, least: int) -> None:
    before = {path: path.read_bytes() for path in (FOLDER / "results").glob("*")}
    done = subprocess.run([sys.executable, FOLDER / command[0], *command[1:]], check=True, stdout=subprocess.PIPE,
                          text=True)
    assert sum(line.startswith(row) for line in done.stdout.splitlines()) >= least and " nan" not in done.stdout
    assert {path: path.read_bytes() for path in (FOLDER / "results").glob("*")} == before
